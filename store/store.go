// Package store is the contract of what a running service must remember: what people
// did, which POIs exist, and who may ask. Its homes (SQLite, PostgreSQL, Redis) keep
// the same promises, and package storetest holds them to it.
//
// Promises of every home:
//   - What Append, UpsertPOIs, ClosePOI, PutKey and the two deletions have reported as
//     done survives the death of this process and of the database server.
//   - A call happens whole or not at all, for other callers too.
//   - Text is compared and ordered by its bytes, in every language alike.
//   - An action is stored once (see Action). Sending it again is no error.
//   - Lists go on where they stopped, also when rows were added in between: what was
//     there from the first page to the last is seen exactly once.
//   - A Store may be used by many goroutines, and by many processes where its home can
//     be reached by them.
//
// Errors wrap poi.ErrBadInput (see Invalid), ErrNotFound, ErrBadCursor, ErrFull,
// ErrForeign, ErrUnavailable, or the error of a context that ended; nothing else.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Action is one thing a person did. It is stored once: actions of one user with the
// same ID are the same action; without an ID, those with the same time, POI and type.
type Action struct {
	User      string
	ID        string // the sender's own name of the action, may be empty
	POI       string
	TimeMS    int64 // UTC, milliseconds since 1970
	OffsetMin int16 // local time = UTC + OffsetMin
	Type      string
	UserLat   float64 // where the person stood, degrees; kept only if HasUser
	UserLng   float64
	HasUser   bool
}

// Identity is a fixed-size name of what makes an action the same action.
type Identity [16]byte

// Identity returns the action's.
func (a Action) Identity() Identity {
	h := sha256.New()
	part := func(s string) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	part(a.User)
	if a.ID != "" {
		part("id")
		part(a.ID)
	} else {
		var t [8]byte
		binary.LittleEndian.PutUint64(t[:], uint64(a.TimeMS))
		part("what")
		part(string(t[:]))
		part(a.POI)
		part(a.Type)
	}
	var id Identity
	copy(id[:], h.Sum(nil))
	return id
}

// Appended says what became of a batch of actions.
type Appended struct {
	New []bool // by position in the batch: stored now, rather than before or earlier in the batch
}

// Count returns how many actions were new.
func (a Appended) Count() int {
	n := 0
	for _, isNew := range a.New {
		if isNew {
			n++
		}
	}
	return n
}

// User is a person with stored actions. The last action is the latest in time, of
// those at the same moment the one that arrived last.
type User struct {
	User          string
	Actions       int
	LastMS        int64
	LastOffsetMin int16
}

// POI is one place of the catalog.
type POI struct {
	ID       string
	Name     string
	Category string // path, levels separated by " > "
	Lat, Lng float64
	Closed   bool  // never returned as an answer, keeps its meaning in histories
	Revision int64 // of the last change, given by the store; ignored when writing
}

// Key is an API key as the store sees it: never the key itself. Homes keep it as JSON.
type Key struct {
	ID        string   `json:"id"`
	Hash      []byte   `json:"hash"`
	Role      string   `json:"role"`
	Scenes    []string `json:"scenes"`     // nil: all
	Box       *Box     `json:"box"`        // nil: everywhere
	CreatedMS int64    `json:"created_ms"` // UTC, milliseconds since 1970
	ExpiresMS int64    `json:"expires_ms"` // 0: never
}

// Expired reports whether the key's time is over.
func (k Key) Expired(now time.Time) bool { return k.ExpiresMS != 0 && now.UnixMilli() >= k.ExpiresMS }

// Counts says how much is stored. Closed POIs count.
type Counts struct {
	Actions, Users, POIs int64
}

// Actions remembers what people did.
type Actions interface {
	// Append stores a batch of at most MaxBatch actions.
	Append(ctx context.Context, actions []Action) (Appended, error)
	// Recent returns the latest n actions (1 to MaxRecent) of a user strictly before a
	// moment, oldest first; at the same moment in the order they arrived. An unknown
	// user has none.
	Recent(ctx context.Context, user string, beforeMS int64, n int) ([]Action, error)
	// ActionsPage lists the actions of a user, or of all if user is empty, by user,
	// time and arrival. Next is empty after the last page.
	ActionsPage(ctx context.Context, user, cursor string, limit int) (page []Action, next string, err error)
	// UsersPage lists the users whose name begins with prefix, by name.
	UsersPage(ctx context.Context, prefix, cursor string, limit int) (page []User, next string, err error)
	// DeleteUser removes everything that is kept under a user's name and returns the
	// number of actions that were. An unknown user has none.
	DeleteUser(ctx context.Context, user string) (int, error)
}

// POIs is the catalog. Every change of a POI gives it a revision above all before, in
// the order in which changes become visible.
type POIs interface {
	// UpsertPOIs makes at most MaxBatch POIs be as given and returns how many that
	// changed. Of several with one ID the last counts. A POI that is as given already
	// keeps its revision; one that was closed opens unless Closed is set.
	UpsertPOIs(ctx context.Context, pois []POI) (changed int, err error)
	// POI returns one place, closed or not, or ErrNotFound.
	POI(ctx context.Context, id string) (POI, error)
	// POIsPage lists the catalog by ID, closed POIs too; with a box, what lies in it.
	POIsPage(ctx context.Context, cursor string, limit int, box *Box) (page []POI, next string, err error)
	// ClosePOI marks a POI as closed, or returns ErrNotFound. Closing twice is no change.
	ClosePOI(ctx context.Context, id string) error
	// POIsSince returns the first POIs, at most limit, whose revision is above the
	// given one, in order of revision, and the revision to ask with next time. A
	// follower starts at 0 and has seen everything when a call returns no POI.
	POIsSince(ctx context.Context, revision int64, limit int) (pois []POI, last int64, err error)
}

// Keys keeps API keys by their ID.
type Keys interface {
	// PutKey adds a key or replaces the one with its ID.
	PutKey(ctx context.Context, key Key) error
	// Keys returns all keys by ID.
	Keys(ctx context.Context) ([]Key, error)
	// DeleteKey removes a key, or returns ErrNotFound.
	DeleteKey(ctx context.Context, id string) error
}

// Store is one home of all three.
type Store interface {
	Actions
	POIs
	Keys
	// Counts may take time that grows with the number of users.
	Counts(ctx context.Context) (Counts, error)
	// Ping returns nil if the home answers.
	Ping(ctx context.Context) error
	// Name says which home this is, for people: its kind and place, without secrets.
	Name() string
	// Close lets go of the home. Calls after it fail.
	Close() error
}
