package split

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// shownCategories is how many categories the text card lists; JSON has all.
const shownCategories = 10

// WriteText writes the card for people. Widths assume a terminal of 80 columns.
func (c *Card) WriteText(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, protocol %s\n\n", c.Name, c.Protocol)
	c.writeSteps(&b)
	c.writeFacts(&b)
	c.writeHours(&b)
	writeCounts(&b, "Categories", c.Categories)
	if len(c.Types) > 1 {
		writeCounts(&b, "Action types", c.Types)
	}
	fmt.Fprintln(&b, "\nCleansing (as in the paper's Table 2)")
	if err := c.Clean.WriteText(&b); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nFingerprint %s\n", c.Fingerprint)
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the data card: %w", err)
	}
	return nil
}

func (c *Card) writeSteps(b *bytes.Buffer) {
	tw := tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "Step\tcheck-ins\tusers\tPOIs\tdropped")
	for _, s := range c.Steps {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\n", s.Name, s.Checkins, s.Users, s.POIs, s.Dropped)
	}
	_ = tw.Flush() // a bytes.Buffer takes every write
	fmt.Fprintf(b, "Rows rejected while reading: %d", c.Rejected)
	for i, r := range c.Rejects {
		fmt.Fprintf(b, "%s%s %d", [...]string{" (", ", "}[min(i, 1)], r.Name, r.N)
	}
	if len(c.Rejects) > 0 {
		b.WriteByte(')')
	}
	fmt.Fprintf(b, "\nRows with the user, POI, type and time of an earlier one, kept: %d\n\n", c.Duplicates)
}

func (c *Card) writeFacts(b *bytes.Buffer) {
	tw := tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "\ttrain\tvalidation\ttest\tall")
	fmt.Fprintf(tw, "Check-ins\t%d\t%d\t%d\t%d\n", c.Tags.Train, c.Tags.Validation, c.Tags.Test, c.Checkins)
	t := c.Targets
	fmt.Fprintf(tw, "Targets\t%d\t%d\t%d\t%d\n", t.Train, t.Validation, t.Test, t.Train+t.Validation+t.Test)
	fmt.Fprintf(tw, "Return share\t%.3f\t%.3f\t%.3f\t%.3f\n", c.ReturnShare.Train, c.ReturnShare.Validation, c.ReturnShare.Test, c.RepeatShare)
	_ = tw.Flush() // a bytes.Buffer takes every write
	fmt.Fprintf(b, "(return share: targets at a POI that the user visited before; \"all\" is of check-ins)\n\n")

	tw = tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "Check-ins per\tnumber\tmin\t25%\t50%\t75%\t90%\tmax\tmean")
	for _, s := range []struct {
		name string
		n    int
		Spread
	}{{"user", c.Users, c.SequenceLength}, {"trajectory", c.Trajectories, c.TrajectoryLength}} {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\n", s.name, s.n, s.Min, s.P25, s.P50, s.P75, s.P90, s.Max, s.Mean)
	}
	_ = tw.Flush() // a bytes.Buffer takes every write
	fmt.Fprintf(b, "\nPOIs %d, sparsity %.4f\nLocal time %s to %s (%.1f days)\n\n", c.POIs, c.Sparsity, c.Span.First, c.Span.Last, c.Span.Days)
}

// writeHours draws check-ins by local hour, one column an hour.
func (c *Card) writeHours(b *bytes.Buffer) {
	bars := []rune(" ▁▂▃▄▅▆▇█")
	top := 1
	for _, n := range c.Hours {
		top = max(top, n)
	}
	const height = 4 // lines, of 8 eighths each
	fmt.Fprintf(b, "Check-ins by local hour (top %d)\n", top)
	for line := height - 1; line >= 0; line-- {
		text := " "
		for _, n := range c.Hours {
			eighths := (n*height*8 + top - 1) / top // rounded up: a rare hour stays visible
			bar := string(bars[min(max(eighths-line*8, 0), 8)])
			text += " " + bar + bar
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	b.WriteString(" ")
	for h := range c.Hours {
		fmt.Fprintf(b, " %02d", h)
	}
	b.WriteString("\n\n")
}

func writeCounts(b *bytes.Buffer, title string, counts []Count) {
	fmt.Fprintf(b, "%s (%d)\n", title, len(counts))
	var sum, shown int64
	for _, c := range counts {
		sum += c.N
	}
	for i, c := range counts {
		if i == shownCategories {
			fmt.Fprintf(b, "  %-36s %8d %5.1f %%\n", fmt.Sprintf("and %d more", len(counts)-i), sum-shown, 100*float64(sum-shown)/float64(max(sum, 1)))
			break
		}
		shown += c.N
		name := []rune(c.Name)
		if len(name) > 36 {
			name = append(name[:35], '…')
		}
		line := fmt.Sprintf("  %-36s %8d %5.1f %% %s", string(name), c.N, 100*float64(c.N)/float64(max(sum, 1)),
			strings.Repeat("▪", int(20*c.N/max(counts[0].N, 1))))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
