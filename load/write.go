package load

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/table"
)

// Text prints the result for a terminal.
func (r *Result) Text(w io.Writer) error { return r.write(w, (*table.Table).Text) }

// Markdown prints the result for a document.
func (r *Result) Markdown(w io.Writer) error { return r.write(w, (*table.Table).Markdown) }

func (r *Result) write(w io.Writer, print func(*table.Table, io.Writer) error) error {
	for i, t := range r.tables() {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := print(t, w); err != nil {
			return err
		}
	}
	return nil
}

func (r *Result) tables() []*table.Table {
	out := []*table.Table{r.latencies()}
	if t := r.failures(); len(t.Body) > 0 {
		out = append(out, t)
	}
	return append(out, r.conditions())
}

func (r *Result) latencies() *table.Table {
	t := &table.Table{Caption: r.caption(), Left: 1,
		Head: []string{"kind", "asked", "answered", "per s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", fmt.Sprintf("%% within %g ms", r.SLO), "good per s"}}
	rows := r.Kinds
	if len(rows) > 1 {
		rows = append(slices.Clone(rows), r.Total)
	}
	for _, row := range rows {
		line := []string{row.Kind, fmt.Sprint(row.Asked), fmt.Sprint(row.Answered), fmt.Sprintf("%.2f", row.PerSecond)}
		for _, e := range []Estimate{row.P50, row.P90, row.P99, row.P999} {
			line = append(line, e.text(row.Answered > 0, 1))
		}
		longest := "-"
		if row.Answered > 0 {
			longest = short(row.Max)
		}
		t.Body = append(t.Body, append(line, longest, row.Within.text(row.Asked > row.Announced, 100), fmt.Sprintf("%.2f", row.Goodput)))
	}
	return t
}

// text prints a figure times factor with its interval; "-" if there is none.
func (e Estimate) text(known bool, factor float64) string {
	if !known {
		return "-"
	}
	s := short(factor * e.Value)
	if e.Interval != nil {
		s += fmt.Sprintf(" [%s, %s]", short(factor*e.Interval[0]), short(factor*e.Interval[1]))
	}
	return s
}

// short prints at least three digits that count.
func short(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

func (r *Result) caption() string {
	loop := fmt.Sprintf("open loop, %g requests/s offered", r.Rate)
	if r.Clients > 0 {
		loop = fmt.Sprintf("closed loop, %d at a time", r.Clients)
	}
	s := fmt.Sprintf("%s: %s, %.4g s measured after %g s of warm-up, seed %d; [ ] are 95 %% intervals", r.URL, loop, r.Seconds, r.Warmup, r.Seed)
	if r.Interrupted {
		s += fmt.Sprintf("; INTERRUPTED, %g s were asked for", r.Asked)
	}
	return s
}

func (r *Result) failures() *table.Table {
	t := &table.Table{Caption: "Failures", Left: 2, Head: []string{"kind", "what", "requests"}}
	for _, row := range r.Kinds {
		for _, what := range slices.Sorted(maps.Keys(row.Errors)) {
			t.Body = append(t.Body, []string{row.Kind, what, fmt.Sprint(row.Errors[what])})
		}
		if row.Announced > 0 {
			t.Body = append(t.Body, []string{row.Kind, "announced: no connection, 503", fmt.Sprint(row.Announced)})
		}
	}
	return t
}

func (r *Result) conditions() *table.Table {
	t := &table.Table{Caption: "Conditions", Left: 2, Head: []string{"what", "value"}}
	add := func(what, format string, args ...any) {
		t.Body = append(t.Body, []string{what, fmt.Sprintf(format, args...)})
	}
	add("started", "%s", r.Started.UTC().Format(time.RFC3339))
	add("mix", "%s; %d candidates to rank", r.Mix, r.Candidates)
	add("drawn from", "%d of %d people with %d actions, %d places", r.World.People, r.World.Users, r.World.Actions, r.World.Places)
	m := r.Machine
	shared := ""
	if m.Shared {
		shared = "; load and service share this machine"
	}
	add("load ran on", "%s", strings.TrimPrefix(fmt.Sprintf("%s, %d cores, %s, %s%s", m.CPU, m.Cores, m.System, m.Go, shared), ", "))
	tooLate := ""
	if r.Total.Answered > 0 && r.Late.P99 > r.Total.P99.Value/10 {
		tooLate = "; too much for these latencies: ask less, or from another machine"
	}
	add("load was late by", "p50 %.2f ms, p99 %.2f ms, at most %.2f ms%s", r.Late.P50, r.Late.P99, r.Late.Max, tooLate)
	add("time limit", "%g ms from the moment a request was due", r.Timeout)
	for _, version := range slices.Sorted(maps.Keys(r.Models)) {
		add("answers of "+version, "%d", r.Models[version])
	}
	if r.Total.Fallback > 0 {
		add("answers of a fallback", "%d", r.Total.Fallback)
	}
	for _, w := range r.Windows {
		add("announced", "%.1f s to %.1f s: %s", w.From, w.To, w.Why)
	}
	if r.Memory != nil && len(r.Memory.Samples) > 0 {
		s := r.Memory.Samples
		most := slices.MaxFunc(s, func(a, b Sample) int { return cmp.Compare(a.ResidentMiB, b.ResidentMiB) })
		first, last := s[0], s[len(s)-1]
		add("memory of the service", "%.0f MiB at the start, %.0f at most, %.0f at the end", first.ResidentMiB, most.ResidentMiB, last.ResidentMiB)
		add("of it in use by Go", "%.0f MiB at the start, %.0f at the end; %d and %d goroutines", first.HeapMiB, last.HeapMiB, first.Goroutines, last.Goroutines)
		if r.Memory.Failed > 0 {
			add("memory not read", "%d times", r.Memory.Failed)
		}
	}
	if w := r.Writes; w != nil {
		add("acknowledged writes", "%d: %d found, %d LOST, %d not looked up", w.Acknowledged, w.Found, w.LostCount, w.Unchecked)
		for _, l := range w.Lost {
			add("lost", "action %s of user %s", l.ID, l.User)
		}
		if w.Reason != "" {
			add("not looked up", "%s", w.Reason)
		}
	}
	return t
}
