// Package poi holds the vocabulary of whereto: places, actions, visits, queries
// and ranked answers, the interfaces every predictor implements, and the
// sentinel errors that code may test for. It imports nothing of ours.
//
// Two shapes of the same event exist on purpose. An Action is what a log says:
// names, not numbers, and no assumption about order. A Visit is the same event
// inside a Dataset: POI and user are dense integers, order is chronological.
// Everything that computes works on Visits; only source, pipeline and the
// command line see Actions.
//
// Times are UTC milliseconds plus the POI's offset from UTC in minutes; every
// feature uses local time. Angles are degrees, distances metres.
package poi

import (
	"context"
	"errors"
	"time"
)

// Sentinel errors, grouped by when they occur. Wrap them with the operation,
// the value and what to do.
var (
	// ErrUnknownPOI is returned when a POI id is not in the catalog or index.
	ErrUnknownPOI = errors.New("unknown POI")
	// ErrUnknownUser is returned when a user id is not in the data set.
	ErrUnknownUser = errors.New("unknown user")
	// ErrEmpty is returned when reading or filtering leaves nothing.
	ErrEmpty = errors.New("empty result")
	// ErrBadInput is returned for a value outside its documented range.
	ErrBadInput = errors.New("bad input")
)

// Action is one user event on a POI as a log tells it: the paper's tuple of
// time, user location, POI and action type, with who did it.
type Action struct {
	User      string  // user id, never empty
	POI       string  // POI id, never empty
	Name      string  // POI name, may be empty
	Category  string  // category path, levels separated by " > "; may be empty
	Lat, Lng  float64 // of the POI, degrees
	UserLat   float64 // of the user, degrees; valid only if HasUser
	UserLng   float64
	HasUser   bool
	TimeMS    int64  // UTC, milliseconds since 1970
	OffsetMin int16  // local time = UTC + OffsetMin
	Type      string // "checkin", "search", "click", "navigate", "arrive", "favourite"
	Seq       int64  // position in the input, breaks ties of time
}

// Place is one POI of a catalog.
type Place struct {
	ID       string
	Name     string
	Category string // path, levels separated by " > "
	Lat, Lng float64
	Closed   bool // tombstoned: keeps its tokens, is never recommended
}

// Profile is what is known of a user besides his actions. All fields optional.
type Profile struct {
	Gender     string
	AgeBand    string
	Occupation string
	Tags       []string
}

// Status says from where an action was done (paper section 3.2.1, Training Strategy).
type Status uint8

// Statuses of an action.
const (
	Local     Status = iota // POI in the user's home region
	PreTravel               // POI elsewhere, user still at home
	InTravel                // user and POI both away from home
)

// Visit is an Action inside a Dataset.
type Visit struct {
	POI       int32 // dense id: position in Dataset.Places
	Traj      int32 // trajectory number within the user, from 0; visits of dropped trajectories are not in the data set
	TimeMS    int64
	OffsetMin int16
	Type      uint8 // position in Dataset.Types
	Status    Status
	Intent    bool // It=1: the loss counts this action
	HasUser   bool
	Tag       Tag
	UserLat   float32
	UserLng   float32
}

// Local returns the visit's local wall-clock time as a UTC-located time.Time.
func (v Visit) Local() time.Time { return LocalTime(v.TimeMS, v.OffsetMin) }

// LocalTime returns the wall-clock time at the given instant and offset; the
// location of the result is UTC so that Hour, Weekday and so on read local.
func LocalTime(ms int64, offsetMin int16) time.Time {
	return time.UnixMilli(ms + int64(offsetMin)*60_000).UTC()
}

// Tag says to which part of a split a visit belongs.
type Tag uint8

// Parts of a split.
const (
	Train Tag = iota
	Validation
	Test
)

// String returns "train", "validation" or "test".
func (t Tag) String() string { return [...]string{"train", "validation", "test"}[t] }

// User is one person of a Dataset.
type User struct {
	ID      string
	Profile Profile
	Visits  []Visit // chronological by local time, ties in file order
}

// Target is one check-in to predict: Users[User].Visits[Pos], given everything
// in Visits[:Pos] and the target's time (and the user's location, if any).
type Target struct {
	User, Pos int32
}

// Dataset is a cleaned, split, integer-coded set of sequences.
type Dataset struct {
	Name     string
	Protocol string
	Places   []Place  // dense POI ids
	Types    []string // dense action types
	Users    []User   // dense user ids
	// Targets by tag. Train targets are those the loss may use.
	Targets [3][]Target
	// Fingerprint is a hex SHA-256 of everything above but Name; two results can
	// be put in one table only if it is equal.
	Fingerprint string
}

// Query asks where a person goes next.
type Query struct {
	User      int32   // dense id, -1 if unknown
	History   []Visit // chronological, all strictly before the request
	TimeMS    int64
	OffsetMin int16
	Lat, Lng  float64 // the user's position; valid only if HasPos
	HasPos    bool
}

// QueryOf returns the query of a target. History aliases the data set.
func (d *Dataset) QueryOf(t Target) Query {
	v := d.Users[t.User].Visits
	at := v[t.Pos]
	return Query{User: t.User, History: v[:t.Pos:t.Pos], TimeMS: at.TimeMS, OffsetMin: at.OffsetMin,
		Lat: float64(at.UserLat), Lng: float64(at.UserLng), HasPos: at.HasUser}
}

// Label returns the dense POI id of a target.
func (d *Dataset) Label(t Target) int32 { return d.Users[t.User].Visits[t.Pos].POI }

// Scorer gives every POI of a Dataset a score, higher is likelier. Predictors
// and baselines share it, so that eval sees them all through one door.
type Scorer interface {
	// Name is the row's name in a table, for example "counter".
	Name() string
	// Scores fills dst[i][p] for queries[i] and dense POI p; len(dst)==len(queries)
	// and len(dst[i])==len(Places). Float64 so that small tie-breaks survive.
	Scores(ctx context.Context, queries []Query, dst [][]float64) error
}

// Ranked is one recommended POI.
type Ranked struct {
	POI      int32   `json:"-"`
	ID       string  `json:"poi"`
	Name     string  `json:"name,omitempty"`
	Category string  `json:"category,omitempty"`
	Lat      float64 `json:"lat"`
	Lng      float64 `json:"lng"`
	Prob     float64 `json:"probability"`
	Metres   float64 `json:"distance_m"` // from the request's position, or the last visit; -1 unknown
	Source   string  `json:"source"`     // "copy" or "generate": which head carries most of the probability
}
