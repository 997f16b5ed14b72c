// Package roster keeps the loaded versions of a model and says which one answers.
//
// A version is loaded beside those that answer, warmed by its loader, and only then
// takes over, between two requests. Requests hold a Lease; a version that was replaced
// is closed when its last lease is given back, so that none fails. The version before
// the active one stays loaded: going back is a swap, not a load.
//
// Vocabulary: the active version answers whatever no split sends elsewhere; a split
// sends a fixed share of users to another version, by a hash of the user's name, so that
// the same person meets the same version on every replica; a shadow answers beside the
// active version and nobody sees it.
package roster

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"
)

// Sentinel errors; wrapped with the version and what to do.
var (
	// ErrNone is returned while no version is active.
	ErrNone = errors.New("no model is active")
	// ErrUnknown is returned for a version that is not loaded.
	ErrUnknown = errors.New("version is not loaded")
	// ErrLoading is returned when a version is being loaded already, or let go.
	ErrLoading = errors.New("version is being loaded or let go")
	// ErrInUse is returned for a version that cannot be let go.
	ErrInUse = errors.New("version is in use")
)

// States of a version.
const (
	Loading  = "loading"
	Ready    = "ready" // loaded, answers only those who name it
	Active   = "active"
	Shadow   = "shadow"
	Draining = "draining" // answers what it has begun
	Failed   = "failed"
)

// Engine is what a roster holds.
type Engine interface {
	// Close frees what the engine holds. It is called once, when nobody uses it.
	Close() error
}

// Options of a roster; Load is required.
type Options[E Engine] struct {
	// Load returns a version ready to answer: checked, loaded and warm.
	Load func(ctx context.Context, version string) (E, error)
	// Chosen, if set, is told of a new active version before it takes over, to write it
	// down; on an error the old one stays.
	Chosen func(version string) error
	// Closed, if set, is told of versions that were let go, and of errors in doing so.
	Closed func(version string, err error)
}

// Roster is safe for concurrent use.
type Roster[E Engine] struct {
	o Options[E]

	mu       sync.Mutex
	entries  map[string]*entry[E]
	active   *entry[E]
	previous string
	shadow   string
	split    []Share
	closed   bool
	empty    *sync.Cond // signalled when an entry is gone
}

type entry[E Engine] struct {
	version string
	state   string
	engine  E
	err     error
	leases  int
	served  int64
	since   time.Time
	took    time.Duration
}

// Share sends part of the users to a version.
type Share struct {
	Version string
	Share   float64 // 0 to 1
}

// New returns an empty roster.
func New[E Engine](o Options[E]) *Roster[E] {
	r := &Roster[E]{o: o, entries: map[string]*entry[E]{}}
	r.empty = sync.NewCond(&r.mu)
	return r
}

// Load loads a version beside the others. Loading what is loaded does nothing.
func (r *Roster[E]) Load(ctx context.Context, version string) error {
	e, err := r.begin(version)
	if e == nil {
		return err
	}
	start := time.Now()
	engine, err := r.o.Load(ctx, version)
	r.mu.Lock()
	defer r.mu.Unlock()
	e.took = time.Since(start)
	if err != nil {
		e.state, e.err = Failed, err
		return fmt.Errorf("load version %s: %w", version, err)
	}
	if r.closed {
		delete(r.entries, version)
		r.empty.Broadcast()
		return errors.Join(fmt.Errorf("load version %s: the roster was closed meanwhile: %w", version, ErrNone), engine.Close())
	}
	e.engine, e.state, e.since, e.err = engine, Ready, time.Now(), nil
	return nil
}

// begin enters a version as loading; nil if there is nothing to do.
func (r *Roster[E]) begin(version string) (*entry[E], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("load version %s: %w", version, ErrNone)
	}
	if e := r.entries[version]; e != nil {
		switch e.state {
		case Loading, Draining:
			return nil, fmt.Errorf("load version %s: %w (%s); wait", version, ErrLoading, e.state)
		case Failed:
		default:
			return nil, nil
		}
	}
	e := &entry[E]{version: version, state: Loading, since: time.Now()}
	r.entries[version] = e
	return e, nil
}

// Activate loads a version if need be and lets it answer. The version before stays
// loaded for RollBack; the one before that is let go.
func (r *Roster[E]) Activate(ctx context.Context, version string) error {
	if err := r.Load(ctx, version); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[version]
	if e == nil || e.state == Draining {
		return fmt.Errorf("activate version %s: %w", version, ErrUnknown)
	}
	if e == r.active {
		return nil
	}
	if r.o.Chosen != nil {
		if err := r.o.Chosen(version); err != nil {
			return fmt.Errorf("activate version %s: %w; the old one stays", version, err)
		}
	}
	before := r.previous
	if r.active != nil {
		r.active.state, r.previous = Ready, r.active.version
	}
	if r.shadow == version {
		r.shadow = ""
	}
	r.active, e.state = e, Active
	if before != "" && before != version && before != r.previous {
		r.dropLocked(before)
	}
	return nil
}

// RollBack lets the version before the active one answer again, and returns its name.
func (r *Roster[E]) RollBack(ctx context.Context) (string, error) {
	r.mu.Lock()
	version := r.previous
	r.mu.Unlock()
	if version == "" {
		return "", fmt.Errorf("roll back: there was no version before the active one: %w", ErrUnknown)
	}
	return version, r.Activate(ctx, version)
}

// SetShadow makes a loaded version answer beside the active one; "" ends it.
func (r *Roster[E]) SetShadow(version string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version != "" {
		e := r.entries[version]
		if e == nil || e.state != Ready && e.state != Shadow {
			return fmt.Errorf("shadow version %s: %w, or it answers already", version, ErrUnknown)
		}
		e.state = Shadow
	}
	if old := r.entries[r.shadow]; old != nil && r.shadow != version && old.state == Shadow {
		old.state = Ready
	}
	r.shadow = version
	return nil
}

// SetSplit sends shares of the users to loaded versions; nil ends it.
func (r *Roster[E]) SetSplit(split []Share) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := 0.0
	for _, s := range split {
		e := r.entries[s.Version]
		if e == nil || e.state == Loading || e.state == Failed || e.state == Draining {
			return fmt.Errorf("split: version %s: %w; load it first", s.Version, ErrUnknown)
		}
		if !(s.Share >= 0 && s.Share <= 1) {
			return fmt.Errorf("split: version %s has a share of %v, want 0 to 1", s.Version, s.Share)
		}
		sum += s.Share
	}
	if sum > 1 {
		return fmt.Errorf("split: shares add up to %v, want at most 1", sum)
	}
	r.split = slices.Clone(split)
	return nil
}

// Drop lets a version go once nobody uses it. The active one cannot be dropped.
func (r *Roster[E]) Drop(version string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[version]
	switch {
	case e == nil:
		return fmt.Errorf("drop version %s: %w", version, ErrUnknown)
	case e == r.active:
		return fmt.Errorf("drop version %s: it is active: %w; activate another first", version, ErrInUse)
	case e.state == Loading:
		return fmt.Errorf("drop version %s: %w; wait", version, ErrLoading)
	}
	r.dropLocked(version)
	return nil
}

// dropLocked lets a version go; the lock is held.
func (r *Roster[E]) dropLocked(version string) {
	e := r.entries[version]
	if e == nil {
		return
	}
	if r.previous == version {
		r.previous = ""
	}
	if r.shadow == version {
		r.shadow = ""
	}
	r.split = slices.DeleteFunc(r.split, func(s Share) bool { return s.Version == version })
	if e.state == Failed {
		delete(r.entries, version)
		r.empty.Broadcast()
		return
	}
	if e.state = Draining; e.leases == 0 {
		r.closeLocked(e)
	}
}

// closeLocked closes a version that nobody uses, outside the lock.
func (r *Roster[E]) closeLocked(e *entry[E]) {
	go func() {
		err := e.engine.Close()
		r.mu.Lock()
		delete(r.entries, e.version)
		r.empty.Broadcast()
		r.mu.Unlock()
		if r.o.Closed != nil {
			r.o.Closed(e.version, err)
		}
	}()
}

// variant is the version that a split gives a user; "" is the active one.
func (r *Roster[E]) variant(user string) string {
	if user == "" || len(r.split) == 0 {
		return ""
	}
	h := fnv.New64a()
	h.Write([]byte("split\x00" + user))
	at := float64(mix(h.Sum64())>>11) / (1 << 53)
	for _, s := range r.split {
		if at < s.Share {
			return s.Version
		}
		at -= s.Share
	}
	return ""
}

// mix spreads the bits of a hash whose high bits hardly move for short names
// (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
