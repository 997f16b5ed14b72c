// Package split turns the actions of a log into a poi.Dataset: it filters rare
// places and users, cuts time into train, validation and test, cuts each user's
// sequence into trajectories, cleans the sequences (package clean) and names the
// check-ins to predict. docs/protocols.md defines the three protocols.
//
// Words. A protocol is the rule that names the validation and test targets. A
// part is train, validation or test. The card says what was read, what each
// filter dropped and what is left.
//
// Promises. The cut is one instant of local time for everybody: no training
// visit is later than a validation visit, and none of those later than a test
// visit. Every validation and test target's user and POI occur among the train
// targets. Statistics that cleaning or the order of places needs are counted on
// training visits only. The result depends on the actions and their Seq, not on
// the order of the slice.
//
// Failure. A bad setting wraps poi.ErrBadInput, a filter that leaves nothing
// wraps poi.ErrEmpty and names the filter and its setting.
package split

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/whereto/whereto/clean"
	"github.com/whereto/whereto/poi"
)

// The protocols.
const (
	LastOfTrajectory = "last-of-trajectory"
	EveryCheckin     = "every-checkin"
	LastOfUser       = "last-of-user"
)

// Protocols lists the names that Config.Protocol accepts.
func Protocols() []string { return []string{LastOfTrajectory, EveryCheckin, LastOfUser} }

// Config holds the settings of a split.
type Config struct {
	// Protocol and Clean are set by package pipeline, which gives them their own
	// places in a recipe.
	Protocol string       `yaml:"-"`
	Clean    clean.Config `yaml:"-"`
	// MinPOI and MinUser are the fewest check-ins of a POI and of a user that
	// stay; POIs are filtered first, then users, one pass each.
	MinPOI  int `yaml:"min_poi"`
	MinUser int `yaml:"min_user"`
	// TrainPercent and ValidationPercent are shares of all check-ins in order of
	// local time; the rest is test. Whole numbers, so that the cut is exact.
	TrainPercent      int `yaml:"train_percent"`
	ValidationPercent int `yaml:"validation_percent"`
	// GapHours starts a new trajectory after a longer gap of local time.
	GapHours int `yaml:"gap_hours"`
	// MinTrajectory drops trajectories with fewer check-ins.
	MinTrajectory int `yaml:"min_trajectory"`
}

// Default returns the published settings with the last-of-trajectory protocol.
func Default() Config {
	return Config{Protocol: LastOfTrajectory, Clean: clean.Default(), MinPOI: 10, MinUser: 10,
		TrainPercent: 80, ValidationPercent: 10, GapHours: 24, MinTrajectory: 3}
}

// Validate reports the first setting outside its range, wrapping poi.ErrBadInput.
func (c Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("split: "+format+": %w", append(args, poi.ErrBadInput)...)
	}
	switch {
	case !slices.Contains(Protocols(), c.Protocol):
		return bad("unknown protocol %q; use one of %s", c.Protocol, strings.Join(Protocols(), ", "))
	case c.MinPOI < 1 || c.MinUser < 1:
		return bad("min_poi %d and min_user %d must be at least 1", c.MinPOI, c.MinUser)
	case c.TrainPercent < 1 || c.ValidationPercent < 0 || c.TrainPercent+c.ValidationPercent > 100:
		return bad("train_percent %d and validation_percent %d must be at least 1 and 0, and 100 at most together", c.TrainPercent, c.ValidationPercent)
	case c.GapHours < 1 || c.GapHours > 24*366:
		return bad("gap_hours %d is outside [1, %d]", c.GapHours, 24*366)
	case c.MinTrajectory < 2:
		return bad("min_trajectory %d is below 2: one check-in alone has nothing to predict from", c.MinTrajectory)
	}
	return c.Clean.Validate()
}

// Build makes the data set of a protocol and its card. The actions are not
// changed and may come in any order; ties of local time keep the order of Seq.
// Card.Name and the rejects are the caller's to fill, for Build does not know the
// files.
func Build(actions []poi.Action, cfg Config) (*poi.Dataset, *Card, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	if len(actions) == 0 {
		return nil, nil, fmt.Errorf("split: no actions to split; check the path and the format: %w", poi.ErrEmpty)
	}
	if len(actions) > math.MaxInt32 {
		return nil, nil, fmt.Errorf("split: %d actions are more than the limit of %d; split the log by region: %w", len(actions), math.MaxInt32, poi.ErrBadInput)
	}
	b := newBuilder(actions, cfg)
	for _, step := range []func() error{b.filterPOIs, b.filterUsers, b.cut, b.trajectories} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	d, err := b.dataset()
	if err != nil {
		return nil, nil, err
	}
	d.Targets = targets(d, cfg.Protocol)
	if len(d.Targets[poi.Train]) == 0 {
		return nil, nil, fmt.Errorf("split: no train targets are left after cleaning and the cut at %d %%; use more data or loosen the filters: %w", cfg.TrainPercent, poi.ErrEmpty)
	}
	d.Fingerprint = Fingerprint(d)
	b.card.describe(d)
	return d, b.card, nil
}

// builder carries the rows through the steps.
type builder struct {
	cfg     Config
	actions []poi.Action
	rows    []row // those still in, in order of Seq, after cut of local time
	userIDs []string
	pois    []poi.Place
	types   []string
	card    *Card
	// Results of trajectories: per interned user, kept visits (POI still interned).
	visits [][]poi.Visit
}

// row is one action with its strings interned.
type row struct {
	local     int64 // local milliseconds
	at        int32 // position in actions
	user, poi int32
	typ       uint8
	tag       poi.Tag
}

// newBuilder interns users, POIs and types in order of Seq. The first row of a
// POI gives its place; an empty name or category is taken from a later row.
func newBuilder(actions []poi.Action, cfg Config) *builder {
	b := &builder{cfg: cfg, actions: actions, rows: make([]row, len(actions)), card: newCard(cfg)}
	order := make([]int32, len(actions))
	for i := range order {
		order[i] = int32(i)
	}
	bySeq := func(x, y int32) int { return cmp.Compare(actions[x].Seq, actions[y].Seq) }
	if !slices.IsSortedFunc(order, bySeq) {
		slices.SortStableFunc(order, bySeq)
	}
	users, pois, types := map[string]int32{}, map[string]int32{}, map[string]uint8{}
	for i, at := range order {
		a := &actions[at]
		r := row{local: a.TimeMS + int64(a.OffsetMin)*60_000, at: at}
		var ok bool
		if r.user, ok = users[a.User]; !ok {
			r.user = int32(len(users))
			users[a.User] = r.user
			b.userIDs = append(b.userIDs, a.User)
		}
		if r.poi, ok = pois[a.POI]; !ok {
			r.poi = int32(len(pois))
			pois[a.POI] = r.poi
			b.pois = append(b.pois, poi.Place{ID: a.POI, Lat: a.Lat, Lng: a.Lng})
		}
		p := &b.pois[r.poi]
		p.Name, p.Category = cmp.Or(p.Name, a.Name), cmp.Or(p.Category, a.Category)
		if r.typ, ok = types[a.Type]; !ok {
			r.typ = uint8(min(len(types), math.MaxUint8))
			types[a.Type] = r.typ
			b.types = append(b.types, a.Type)
		}
		b.rows[i] = r
	}
	b.step("read", b.rows)
	b.card.Duplicates = duplicates(actions, b.rows)
	return b
}

// step adds a line to the card for the rows that are in.
func (b *builder) step(name string, rows []row) {
	users, pois := make([]bool, len(b.userIDs)), make([]bool, len(b.pois))
	s := Step{Name: name, Checkins: len(rows)}
	for _, r := range rows {
		if !users[r.user] {
			users[r.user] = true
			s.Users++
		}
		if !pois[r.poi] {
			pois[r.poi] = true
			s.POIs++
		}
	}
	b.card.addStep(s)
}

// keep drops the rows for which ok is false; it fails if none is left.
func (b *builder) keep(name, setting string, ok func(*row) bool) error {
	before := len(b.rows)
	kept := b.rows[:0]
	for i := range b.rows {
		if ok(&b.rows[i]) {
			kept = append(kept, b.rows[i])
		}
	}
	b.rows = kept
	b.step(name, b.rows)
	if len(kept) == 0 {
		return fmt.Errorf("split: the filter %q dropped all of the %d check-ins that it got; lower %s or use more data: %w", name, before, setting, poi.ErrEmpty)
	}
	return nil
}

func (b *builder) filterPOIs() error {
	n := make([]int, len(b.pois))
	for _, r := range b.rows {
		n[r.poi]++
	}
	return b.keep(fmt.Sprintf("POIs with >= %d check-ins", b.cfg.MinPOI), "min_poi",
		func(r *row) bool { return n[r.poi] >= b.cfg.MinPOI })
}

func (b *builder) filterUsers() error {
	n := make([]int, len(b.userIDs))
	for _, r := range b.rows {
		n[r.user]++
	}
	return b.keep(fmt.Sprintf("users with >= %d check-ins", b.cfg.MinUser), "min_user",
		func(r *row) bool { return n[r.user] >= b.cfg.MinUser })
}

// cut sorts by local time, ties in order of Seq, and gives each row its tag.
func (b *builder) cut() error {
	slices.SortStableFunc(b.rows, func(x, y row) int { return cmp.Compare(x.local, y.local) })
	n := int64(len(b.rows))
	train := n * int64(b.cfg.TrainPercent) / 100
	validation := n * int64(b.cfg.TrainPercent+b.cfg.ValidationPercent) / 100
	if train == 0 {
		return fmt.Errorf("split: %d %% of %d check-ins leave none to train on; use more data: %w", b.cfg.TrainPercent, n, poi.ErrEmpty)
	}
	for i := range b.rows {
		switch {
		case int64(i) < train:
			b.rows[i].tag = poi.Train
		case int64(i) < validation:
			b.rows[i].tag = poi.Validation
		default:
			b.rows[i].tag = poi.Test
		}
	}
	return nil
}
