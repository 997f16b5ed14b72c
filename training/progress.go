package training

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress says how training shows itself to the person who waits.
type Progress struct {
	Mode string    // "auto" (or empty), "bar", "plain", "json" or "none"
	Out  io.Writer // standard error if nil
}

// plainEvery is the time between two lines of the plain and json modes.
const plainEvery = 10 * time.Second

// status is one moment of training.
type status struct {
	Step         int     `json:"step"`
	Steps        int     `json:"steps"`
	Epoch        int     `json:"epoch"`
	Epochs       int     `json:"epochs"`
	Loss         float64 `json:"loss"`
	Rate         float64 `json:"lr"`
	TokensPerSec float64 `json:"tokens_per_second"`
	SecondsToGo  float64 `json:"eta_seconds"`
}

// display shows status and notes in one of the modes.
type display struct {
	mode string
	out  io.Writer
	bar  *progressbar.ProgressBar
	last time.Time
}

func newDisplay(p Progress, total, done int) (*display, error) {
	d := &display{mode: p.Mode, out: p.Out}
	if d.out == nil {
		d.out = os.Stderr
	}
	switch d.mode {
	case "", "auto":
		d.mode = "plain"
		if f, ok := d.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			d.mode = "bar"
		}
	case "bar", "plain", "json", "none":
	default:
		return nil, fmt.Errorf("progress mode %q: use auto, bar, plain, json or none: %w", d.mode, ErrBadConfig)
	}
	if d.mode == "bar" {
		d.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(d.out), progressbar.OptionSetPredictTime(false),
			progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionShowCount(), progressbar.OptionSetWidth(24),
			progressbar.OptionFullWidth(), progressbar.OptionSetElapsedTime(false))
		if err := d.bar.Set(done); err != nil {
			return nil, fmt.Errorf("progress bar: %w", err)
		}
	}
	return d, nil
}

// show reports a step; the plain modes print at most every plainEvery. A
// terminal that cannot be written to must not end hours of training, so
// errors of the display are dropped here on purpose.
func (d *display) show(s status) {
	switch d.mode {
	case "bar":
		d.bar.Describe(fmt.Sprintf("epoch %d/%d loss %.4f lr %.2g %s tok/s ETA %s", s.Epoch+1, s.Epochs, s.Loss, s.Rate, short(s.TokensPerSec), clock(s.SecondsToGo)))
		_ = d.bar.Set(s.Step)
	case "plain", "json":
		if time.Since(d.last) < plainEvery && s.Step < s.Steps {
			return
		}
		d.last = time.Now()
		if d.mode == "json" {
			d.json("step", s)
			return
		}
		fmt.Fprintf(d.out, "step %d/%d  epoch %d/%d  loss %.4f  lr %.3g  %s tokens/s  ETA %s\n",
			s.Step, s.Steps, s.Epoch+1, s.Epochs, s.Loss, s.Rate, short(s.TokensPerSec), clock(s.SecondsToGo))
	}
}

// note prints one line of news: a compilation, a validation result.
func (d *display) note(format string, args ...any) {
	switch d.mode {
	case "json":
		d.json("note", fmt.Sprintf(format, args...))
	case "bar":
		_ = d.bar.Clear()
		fmt.Fprintf(d.out, format+"\n", args...)
		_ = d.bar.RenderBlank()
	case "plain":
		fmt.Fprintf(d.out, format+"\n", args...)
	}
}

func (d *display) json(kind string, v any) {
	if line, err := json.Marshal(map[string]any{"event": kind, "data": v}); err == nil {
		fmt.Fprintf(d.out, "%s\n", line)
	}
}

func (d *display) close() {
	if d.bar != nil {
		_ = d.bar.Exit()
		fmt.Fprintln(d.out)
	}
}

// short prints a rate with a unit: 950, 12.3k, 4.5M.
func short(x float64) string {
	switch {
	case x >= 1e6:
		return fmt.Sprintf("%.1fM", x/1e6)
	case x >= 1e3:
		return fmt.Sprintf("%.1fk", x/1e3)
	}
	return fmt.Sprintf("%.0f", x)
}

// clock prints seconds as 1h02m, 3m04s or 5s.
func clock(s float64) string {
	d := time.Duration(s * float64(time.Second)).Round(time.Second)
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}
