package align

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/table"
)

// DefaultTop is how many places of a list Moved looks at.
const DefaultTop = 10

// Movement says what an alignment moved: how much of the lists the preferred
// categories fill, when they should and when they should not.
type Movement struct {
	Top   int            `json:"top"`
	Rules []RuleMovement `json:"rules"` // in order of the file, then all rules as one, named ""
}

// RuleMovement is one rule's part. Inside is the moments at which it holds, Outside
// those at which no rule holds (moments of other rules are in neither, since they
// are meant to move too).
type RuleMovement struct {
	Rule    string `json:"rule"`
	Inside  Share  `json:"inside"`
	Outside Share  `json:"outside"`
}

// Share is the mean share of preferred places in a list, and how much of the lists
// stayed. Without moments everything is zero.
type Share struct {
	N      int             `json:"n"`
	Before metric.Interval `json:"before"`
	After  metric.Interval `json:"after"`
	Change metric.Interval `json:"change"` // paired
	Kept   metric.Interval `json:"kept"`   // share of the places after that were there before
}

// MovedOptions are the settings of Moved.
type MovedOptions struct {
	Top       int              // 0: DefaultTop
	Bootstrap metric.Bootstrap // its Cluster is set by Moved: whole users are drawn
}

// Moved compares two systems' lists (dense POI ids, best first, no place twice) for
// the same requests. A list shorter than Top counts by its own length.
func Moved(r *Rules, d *poi.Dataset, requests []poi.Request, before, after [][]int32, opt MovedOptions) (*Movement, error) {
	opt.Top = cmp.Or(opt.Top, DefaultTop)
	if opt.Top < 1 || len(requests) == 0 || len(before) != len(requests) || len(after) != len(requests) {
		return nil, fmt.Errorf("what moved: %w: top %d of %d and %d lists for %d requests", poi.ErrBadInput, opt.Top, len(before), len(after), len(requests))
	}
	m := mover{rules: r, d: d, requests: requests, opt: opt, at: make([][]int, len(requests))}
	check := pools{d: d}
	for i := range requests {
		if err := check.check(&requests[i]); err != nil {
			return nil, fmt.Errorf("what moved: %w", err)
		}
		for _, lists := range [][][]int32{before, after} {
			if err := checkList(lists[i], len(d.Places)); err != nil {
				return nil, fmt.Errorf("what moved: request %s: %w", requests[i].ID, err)
			}
		}
		m.before = append(m.before, before[i][:min(opt.Top, len(before[i]))])
		m.after = append(m.after, after[i][:min(opt.Top, len(after[i]))])
		m.at[i] = r.at(d, &requests[i])
	}
	out := &Movement{Top: opt.Top}
	for i := range r.Rules {
		row, err := m.row(r.Rules[i].Name, []int{i})
		if err != nil {
			return nil, fmt.Errorf("what moved: rule %q: %w", r.Rules[i].Name, err)
		}
		out.Rules = append(out.Rules, row)
	}
	row, err := m.row("", r.all())
	if err != nil {
		return nil, fmt.Errorf("what moved: %w", err)
	}
	out.Rules = append(out.Rules, row)
	return out, nil
}

func checkList(list []int32, places int) error {
	if len(list) == 0 {
		return fmt.Errorf("%w: an empty list", poi.ErrBadInput)
	}
	seen := make(map[int32]bool, len(list))
	for _, id := range list {
		if id < 0 || int(id) >= places {
			return fmt.Errorf("%w: %d of %d places", poi.ErrUnknownPOI, id, places)
		}
		if seen[id] {
			return fmt.Errorf("%w: place %d stands twice in a list", poi.ErrBadInput, id)
		}
		seen[id] = true
	}
	return nil
}

type mover struct {
	rules         *Rules
	d             *poi.Dataset
	requests      []poi.Request
	before, after [][]int32
	at            [][]int
	opt           MovedOptions
}

// row compares the moments of the listed rules with those of no rule. Inside, only
// rules that hold at the moment count.
func (m *mover) row(name string, rules []int) (RuleMovement, error) {
	inside, err := m.share(func(i int) []int {
		return slices.DeleteFunc(slices.Clone(m.at[i]), func(j int) bool { return !slices.Contains(rules, j) })
	})
	if err != nil {
		return RuleMovement{}, err
	}
	outside, err := m.share(func(i int) []int {
		if len(m.at[i]) > 0 {
			return nil
		}
		return rules
	})
	return RuleMovement{Rule: name, Inside: inside, Outside: outside}, err
}

// share averages over the requests for which of names rules; a place counts if one
// of them prefers it.
func (m *mover) share(of func(i int) []int) (Share, error) {
	var before, after, change, kept []float64
	b := m.opt.Bootstrap
	b.Cluster = nil
	for i := range m.requests {
		rules := of(i)
		if len(rules) == 0 {
			continue
		}
		x, y := m.part(m.before[i], rules), m.part(m.after[i], rules)
		before, after, change = append(before, x), append(after, y), append(change, y-x)
		same := 0
		for _, id := range m.after[i] {
			if slices.Contains(m.before[i], id) {
				same++
			}
		}
		kept = append(kept, float64(same)/float64(len(m.after[i])))
		b.Cluster = append(b.Cluster, m.requests[i].User)
	}
	if len(before) == 0 {
		return Share{}, nil
	}
	v, err := b.Means([][]float64{before, after, change, kept})
	if err != nil {
		return Share{}, err
	}
	return Share{N: len(before), Before: v[0], After: v[1], Change: v[2], Kept: v[3]}, nil
}

func (m *mover) part(list []int32, rules []int) float64 {
	n := 0
	for _, id := range list {
		if m.rules.prefers(rules, m.d.Places[id].Category) {
			n++
		}
	}
	return float64(n) / float64(len(list))
}

// caption says what the table shows.
func (m *Movement) caption() string {
	return fmt.Sprintf("Share of preferred places in the top %d, %% [95 %% interval, users drawn]", m.Top)
}

// lines returns the head and the body of the table as cells, in percent and points.
func (m *Movement) table() *table.Table {
	out := &table.Table{Caption: m.caption(), Left: 2, Head: []string{"rule", "moments", "n", "before", "after", "change, points", "kept"}}
	for _, r := range m.Rules {
		for _, part := range []struct {
			name string
			Share
		}{{"of the rule", r.Inside}, {"of no rule", r.Outside}} {
			cells := []string{cmp.Or(r.Rule, "all rules"), part.name, "0", "-", "-", "-", "-"}
			if part.N > 0 {
				cells = append(cells[:2], fmt.Sprint(part.N), part.Before.Percent(), part.After.Percent(), part.Change.Percent(), part.Kept.Percent())
			}
			out.Body = append(out.Body, cells)
		}
	}
	return out
}

// WriteText prints the movement aligned, for a terminal.
func (m *Movement) WriteText(w io.Writer) error { return m.table().Text(w) }

// WriteMarkdown prints the movement as a Markdown table.
func (m *Movement) WriteMarkdown(w io.Writer) error { return m.table().Markdown(w) }
