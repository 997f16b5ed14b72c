package roster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Lease is the right to use a version. Give it back.
type Lease[E Engine] struct {
	Engine  E
	Version string
	Variant string // of the split, "" for the active version
	r       *Roster[E]
	e       *entry[E]
	back    atomic.Bool
}

// Release gives the lease back; again does nothing.
func (l *Lease[E]) Release() {
	if l.back.Swap(true) {
		return
	}
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	if l.e.leases--; l.e.leases == 0 && l.e.state == Draining {
		l.r.closeLocked(l.e)
	}
}

// Pick returns a lease of the version that answers a user: the one named, that of the
// user's share of a split, or the active one.
func (r *Roster[E]) Pick(user, version string) (*Lease[E], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, variant := r.active, ""
	switch {
	case version != "":
		if e = r.entries[version]; e == nil || !e.usable() {
			return nil, fmt.Errorf("version %s: %w; see the list of models", version, ErrUnknown)
		}
	case e == nil:
		return nil, ErrNone
	default:
		if name := r.variant(user); name != "" {
			if other := r.entries[name]; other != nil && other.usable() {
				e, variant = other, name
			}
		}
	}
	return r.lease(e, variant), nil
}

func (e *entry[E]) usable() bool { return e.state == Ready || e.state == Active || e.state == Shadow }

func (r *Roster[E]) lease(e *entry[E], variant string) *Lease[E] {
	e.leases++
	e.served++
	return &Lease[E]{Engine: e.engine, Version: e.version, Variant: variant, r: r, e: e}
}

// PickShadow returns a lease of the shadow; nil without one.
func (r *Roster[E]) PickShadow() *Lease[E] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[r.shadow]; e != nil && e.state == Shadow {
		return r.lease(e, "")
	}
	return nil
}

// Status of one version.
type Status[E Engine] struct {
	Version string
	State   string
	Err     error         // why it failed
	Engine  E             // valid unless loading or failed
	Since   time.Time     // when it was loaded, or when loading began
	Took    time.Duration // to load
	Served  int64         // leases
}

// List returns all versions, by name.
func (r *Roster[E]) List() []Status[E] {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Status[E]
	for _, e := range r.entries {
		out = append(out, Status[E]{Version: e.version, State: e.state, Err: e.err, Engine: e.engine, Since: e.since, Took: e.took, Served: e.served})
	}
	slices.SortFunc(out, func(a, b Status[E]) int { return cmp.Compare(a.Version, b.Version) })
	return out
}

// Close lets all versions go and waits until nobody uses any, or the context ends.
func (r *Roster[E]) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { r.mu.Lock(); r.empty.Broadcast(); r.mu.Unlock() })
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.active = true, nil
	for version, e := range r.entries {
		if e.state != Loading && e.state != Draining {
			r.dropLocked(version)
		}
	}
	for len(r.entries) > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("close %d versions that are in use: %w", len(r.entries), ctx.Err())
		}
		r.empty.Wait()
	}
	return nil
}
