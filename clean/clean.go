// Package clean is the paper's data cleansing and its curriculum (section
// 3.2.1): which actions the loss counts, which sequences are too monotonous to
// learn from, from where an action was done, and how a sequence falls apart
// into runs of one status.
//
// Words. An action is functional (It=0) when its POI is one that people go to
// for a purpose rather than for interest, and interest-based (It=1) otherwise.
// Richness is distinct POIs / actions of a sequence. Status is local,
// pre-travel or in-travel. D_single holds maximal runs of one status, D_multi
// the sequences that have several.
//
// Promises. Everything is a pure function of one user's sequence, given the
// per-POI verdict of a Filter; and a Filter comes from a Tally, which can be
// summed over any partition of the data. So the same code serves one machine
// and a distributed pipeline. Tally and home region are fed with training
// visits only, or a label of the future leaks into the past.
//
// Failure. Config.Validate names the setting and its range. Nothing else fails.
package clean

import (
	"fmt"
	"math"
	"strings"

	"github.com/whereto/whereto/poi"
)

// Config holds the thresholds. The paper names the quantities but not their
// values, richness apart; the defaults switch every filter off, which is what
// public check-in data needs.
type Config struct {
	// FunctionalCategories are category paths ("Medical > Hospital"); a POI whose
	// path equals one or lies below one is functional. Case is ignored.
	FunctionalCategories []string `yaml:"functional_categories"`
	// MaxActiveRatio is the highest ratio of active searches to passive clicks of
	// a POI that is still interest-based; 0 switches the rule off.
	MaxActiveRatio float64 `yaml:"max_active_ratio"`
	// MinEvents is the number of searches and clicks below which a POI's ratio
	// says nothing.
	MinEvents int64 `yaml:"min_events"`
	// ActiveTypes and PassiveTypes are the action types that count as a search
	// and as a click.
	ActiveTypes  []string `yaml:"active_types"`
	PassiveTypes []string `yaml:"passive_types"`
	// MinRichness drops sequences below it, in [0, 1]; 0 switches it off, the
	// paper uses 0.3.
	MinRichness float64 `yaml:"min_richness"`
	// HomeKM is the radius of the home region in kilometres.
	HomeKM float64 `yaml:"home_km"`
}

// Default returns the settings for check-in data: no filter, and a home region
// of 50 km, about a large city with its suburbs.
func Default() Config {
	return Config{MinEvents: 20, ActiveTypes: []string{"search"}, PassiveTypes: []string{"click"}, HomeKM: 50}
}

// Validate reports the first setting outside its range, wrapping poi.ErrBadInput.
func (c Config) Validate() error {
	switch {
	case math.IsNaN(c.MaxActiveRatio) || c.MaxActiveRatio < 0:
		return fmt.Errorf("clean: max_active_ratio %v is negative or not a number; use 0 to switch the rule off: %w", c.MaxActiveRatio, poi.ErrBadInput)
	case c.MinEvents < 0:
		return fmt.Errorf("clean: min_events %d is negative: %w", c.MinEvents, poi.ErrBadInput)
	case !(c.MinRichness >= 0 && c.MinRichness <= 1):
		return fmt.Errorf("clean: min_richness %v is outside [0, 1]: %w", c.MinRichness, poi.ErrBadInput)
	case !(c.HomeKM >= 1 && c.HomeKM <= 2000):
		return fmt.Errorf("clean: home_km %v is outside [1, 2000]: %w", c.HomeKM, poi.ErrBadInput)
	case c.MaxActiveRatio > 0 && (len(c.ActiveTypes) == 0 || len(c.PassiveTypes) == 0):
		return fmt.Errorf("clean: max_active_ratio is set but active_types or passive_types is empty; name the action types of both: %w", poi.ErrBadInput)
	}
	return nil
}

// Tally counts active searches and passive clicks of each dense POI.
type Tally struct {
	Active, Passive []int64
	role            []int8 // by dense type: +1 active, -1 passive, 0 neither
}

// NewTally returns an empty tally for places dense POIs and the given dense
// action types.
func NewTally(cfg Config, places int, types []string) *Tally {
	t := &Tally{Active: make([]int64, places), Passive: make([]int64, places), role: make([]int8, len(types))}
	for i, name := range types {
		if containsFold(cfg.ActiveTypes, name) {
			t.role[i] = 1
		} else if containsFold(cfg.PassiveTypes, name) {
			t.role[i] = -1
		}
	}
	return t
}

// Add counts one training visit.
func (t *Tally) Add(v poi.Visit) {
	switch t.role[v.Type] {
	case 1:
		t.Active[v.POI]++
	case -1:
		t.Passive[v.POI]++
	}
}

// Merge adds another tally of the same places and types.
func (t *Tally) Merge(o *Tally) {
	for i := range t.Active {
		t.Active[i] += o.Active[i]
		t.Passive[i] += o.Passive[i]
	}
}

// Functional returns, for each dense POI, whether actions on it are functional:
// its category is under a rule, or its ratio of searches to clicks is too high.
// A POI with searches and no click has an infinite ratio.
func Functional(cfg Config, places []poi.Place, t *Tally) []bool {
	rules := make([]string, len(cfg.FunctionalCategories))
	for i, r := range cfg.FunctionalCategories {
		rules[i] = normalPath(r)
	}
	out := make([]bool, len(places))
	for i, p := range places {
		out[i] = underAny(normalPath(p.Category), rules)
		if out[i] || cfg.MaxActiveRatio == 0 {
			continue
		}
		a, b := t.Active[i], t.Passive[i]
		out[i] = a+b >= max(cfg.MinEvents, 1) && float64(a) > cfg.MaxActiveRatio*float64(b)
	}
	return out
}

// normalPath folds case and the spaces around ">" of a category path.
func normalPath(path string) string {
	levels := strings.Split(strings.ToLower(path), ">")
	for i := range levels {
		levels[i] = strings.TrimSpace(levels[i])
	}
	return strings.Join(levels, " > ")
}

func underAny(path string, rules []string) bool {
	if path == "" {
		return false
	}
	for _, r := range rules {
		if r != "" && (path == r || strings.HasPrefix(path, r+" > ")) {
			return true
		}
	}
	return false
}

func containsFold(list []string, name string) bool {
	for _, s := range list {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}
