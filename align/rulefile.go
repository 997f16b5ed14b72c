package align

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/source"
)

// Limits and defaults of a rule file.
const (
	MaxRuleFile        = 1 << 20 // bytes
	MaxRules           = 100
	MaxList            = 64 // entries of one list
	MaxWeight          = 100
	DefaultNearM       = 3000
	MinNearM, MaxNearM = 50, 50_000
	DefaultAnchorShare = 0.5
	MaxAnchorShare     = 0.95
	ruleFileVersion    = 1
)

var weekdayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Load reads a rule file.
func Load(path string) (*Rules, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxRuleFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	return Parse(path, data)
}

// Parse reads the text of a rule file (docs/format/rules.md); file is its name for
// messages. The error wraps ErrRules and tells every problem found, each with its
// line.
func Parse(file string, data []byte) (*Rules, error) {
	if len(data) > MaxRuleFile {
		return nil, fmt.Errorf("%w: %s: more than %d bytes", ErrRules, file, MaxRuleFile)
	}
	var doc, more yaml.Node
	reader := yaml.NewDecoder(bytes.NewReader(data))
	if err := reader.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %s: %w", ErrRules, file, err)
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("%w: %s: the file is empty; see docs/format/rules.md", ErrRules, file)
	}
	if !errors.Is(reader.Decode(&more), io.EOF) {
		return nil, fmt.Errorf("%w: %s:%d: more than one document; remove what follows the first", ErrRules, file, more.Line)
	}
	p := &ruleParser{file: file, out: &Rules{File: file, NearM: DefaultNearM, AnchorShare: DefaultAnchorShare}}
	p.document(doc.Content[0])
	if len(p.errs) == 0 {
		p.errs = p.out.contradictions()
	}
	if err := p.out.shares(); len(p.errs) == 0 && err != nil {
		p.errs = append(p.errs, err)
	}
	if err := wrap(p.errs); err != nil {
		return nil, err
	}
	return p.out, nil
}

// ruleParser walks the YAML nodes, which know their lines, and gathers problems.
type ruleParser struct {
	file string
	out  *Rules
	errs []error
}

func (p *ruleParser) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.file, n.Line, fmt.Sprintf(format, args...)))
}

// keys calls the reader of each key of a mapping, and fails on unknown, double and
// missing ones; what names the mapping.
func (p *ruleParser) keys(n *yaml.Node, what string, read map[string]func(*yaml.Node), required ...string) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a section with keys", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		f, ok := read[key.Value]
		switch {
		case !ok:
			names := slices.Sorted(maps.Keys(read))
			p.fail(key, "unknown key %q in %s; nearest is %q (all: %s)", key.Value, what, source.Nearest(key.Value, names), strings.Join(names, ", "))
		case seen[key.Value]:
			p.fail(key, "%s has the key %q twice", what, key.Value)
		case value.ShortTag() == "!!null":
			p.fail(key, "%s of %s has no value; give one or remove the key", key.Value, what)
		default:
			f(value)
		}
		seen[key.Value] = true
	}
	for _, name := range required {
		if !seen[name] {
			p.fail(n, "%s has no %s", what, name)
		}
	}
}

func (p *ruleParser) document(n *yaml.Node) {
	p.keys(n, "the rule file", map[string]func(*yaml.Node){
		"version":      func(n *yaml.Node) { p.number(n, "version", ruleFileVersion, ruleFileVersion, new(float64)) },
		"near_m":       func(n *yaml.Node) { p.number(n, "near_m", MinNearM, MaxNearM, &p.out.NearM) },
		"anchor_share": func(n *yaml.Node) { p.number(n, "anchor_share", 0, MaxAnchorShare, &p.out.AnchorShare) },
		"rules": func(n *yaml.Node) {
			if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > MaxRules {
				p.fail(n, "rules must be a list of 1 to %d rules", MaxRules)
				return
			}
			for i, item := range n.Content {
				p.rule(item, i)
			}
		},
	}, "version", "rules")
}

func (p *ruleParser) rule(n *yaml.Node, number int) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	r := Rule{Weight: 1, line: n.Line, lines: map[string]int{}}
	what := fmt.Sprintf("rule %d", number+1)
	p.keys(n, what, map[string]func(*yaml.Node){
		"name":     func(n *yaml.Node) { r.Name, r.line = p.text(n, "name"), n.Line },
		"hours":    func(n *yaml.Node) { p.hours(n, &r) },
		"weekdays": func(n *yaml.Node) { p.weekdays(n, &r) },
		"place":    func(n *yaml.Node) { r.Area = p.place(n) },
		"prefer":   func(n *yaml.Node) { r.Prefer = p.categories(n, "prefer", &r) },
		"avoid":    func(n *yaml.Node) { r.Avoid = p.categories(n, "avoid", &r) },
		"weight":   func(n *yaml.Node) { p.number(n, "weight", 0.001, MaxWeight, &r.Weight) },
		"share":    func(n *yaml.Node) { p.number(n, "share", 0.001, 1, &r.Share) },
	}, "name", "hours", "prefer")
	r.setMinutes()
	p.out.Rules = append(p.out.Rules, r)
}

// number reads a number of lo to hi into dst; false after a problem.
func (p *ruleParser) number(n *yaml.Node, what string, lo, hi float64, dst *float64) bool {
	x, err := strconv.ParseFloat(n.Value, 64)
	if tag := n.ShortTag(); n.Kind != yaml.ScalarNode || err != nil || tag != "!!int" && tag != "!!float" || !finite(x, lo, hi) {
		p.fail(n, "%s is %q, want a number of %g to %g", what, n.Value, lo, hi)
		return false
	}
	*dst = x
	return true
}

func (p *ruleParser) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || strings.TrimSpace(n.Value) == "" || len(n.Value) > 200 || strings.ContainsFunc(n.Value, func(r rune) bool { return r < ' ' }) {
		p.fail(n, "%s is %q, want one line of text of at most 200 bytes", what, n.Value)
		return ""
	}
	return strings.TrimSpace(n.Value)
}

// list returns the entries of a list; one text alone is a list of one.
func (p *ruleParser) list(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n.Kind == yaml.ScalarNode:
		return []*yaml.Node{n}
	case n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > MaxList:
		p.fail(n, "%s must be one text or a list of 1 to %d", what, MaxList)
		return nil
	}
	return n.Content
}

func (p *ruleParser) hours(n *yaml.Node, r *Rule) {
	for _, item := range p.list(n, "hours") {
		from, to, ok := strings.Cut(item.Value, "-")
		w := Window{minuteOf(from), minuteOf(to)}
		switch {
		case !ok || w.From < 0 || w.To < 0 || w.From == minutesOfDay:
			p.fail(item, "hours %q, want HH:MM-HH:MM with times of 00:00 to 24:00", item.Value)
		case w.From == w.To:
			p.fail(item, "hours %q are empty; the whole day is 00:00-24:00", item.Value)
		default:
			r.Hours = append(r.Hours, w)
		}
	}
}

// minuteOf returns the minute of the day of "HH:MM", -1 if it is none.
func minuteOf(s string) int {
	s = strings.TrimSpace(s)
	if len(s) != 5 || s[2] != ':' {
		return -1
	}
	h, err1 := strconv.ParseUint(s[:2], 10, 8)
	m, err2 := strconv.ParseUint(s[3:], 10, 8)
	if err1 != nil || err2 != nil || m > 59 || h*60+m > minutesOfDay {
		return -1
	}
	return int(h*60 + m)
}

func (p *ruleParser) weekdays(n *yaml.Node, r *Rule) {
	for _, item := range p.list(n, "weekdays") {
		day := slices.Index(weekdayNames, item.Value)
		switch {
		case day < 0:
			p.fail(item, "weekday %q; nearest is %q (all: %s)", item.Value, source.Nearest(item.Value, weekdayNames), strings.Join(weekdayNames, ", "))
		case slices.Contains(r.Weekdays, time.Weekday(day)):
			p.fail(item, "weekday %q stands twice", item.Value)
		default:
			r.Weekdays = append(r.Weekdays, time.Weekday(day))
		}
	}
}

// categories reads paths, with or without spaces around the ">" of a level.
func (p *ruleParser) categories(n *yaml.Node, what string, r *Rule) []string {
	var out []string
	for _, item := range p.list(n, what) {
		text := p.text(item, what)
		if text == "" {
			continue
		}
		levels := strings.Split(text, ">")
		for i := range levels {
			levels[i] = strings.TrimSpace(levels[i])
		}
		path := strings.Join(levels, levelSep)
		switch {
		case slices.Contains(levels, ""):
			p.fail(item, "category %q has an empty level", text)
		case slices.Contains(out, path):
			p.fail(item, "category %q stands twice in %s", path, what)
		default:
			r.lines[path] = item.Line
			out = append(out, path)
		}
	}
	return out
}

func (p *ruleParser) place(n *yaml.Node) *Area {
	a := &Area{}
	read := map[string]func(*yaml.Node){}
	for _, f := range []struct {
		name   string
		lo, hi float64
		dst    *float64
	}{{"south", -90, 90, &a.South}, {"west", -180, 180, &a.West}, {"north", -90, 90, &a.North}, {"east", -180, 180, &a.East},
		{"lat", -90, 90, &a.Lat}, {"lng", -180, 180, &a.Lng}, {"radius_m", 1, geo.EarthRadius * 4, &a.Metres}} {
		read[f.name] = func(n *yaml.Node) { p.number(n, f.name, f.lo, f.hi, f.dst) }
	}
	box, circle := []string{"south", "west", "north", "east"}, []string{"lat", "lng", "radius_m"}
	required := box
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if slices.Contains(circle, n.Content[i].Value) {
			required = circle
		}
	}
	if slices.Equal(required, circle) {
		for _, name := range box {
			delete(read, name)
		}
	} else {
		for _, name := range circle {
			delete(read, name)
		}
	}
	problems := len(p.errs)
	p.keys(n, "place", read, required...)
	if len(p.errs) == problems && a.South > a.North {
		p.fail(n, "place: south %g is above north %g", a.South, a.North)
	}
	return a
}
