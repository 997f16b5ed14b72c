// Package desk answers requests in the words of package api: it finds the person's past,
// the model that answers, the places that may be answered with, and puts what the
// network says into words again. It knows nothing of HTTP.
//
// Vocabulary: a question is a request in a model's numbers; a cold place is one that
// the catalog has and the model has never seen; a fallback is an answer by popularity
// and distance, given when the network cannot.
//
// Errors are sorted by KindOf; Fields says which field of a request is wrong.
package desk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/roster"
	"github.com/whereto/whereto/store"
)

// Options of a Desk. Store and Load are required.
type Options struct {
	Store store.Store
	// Load opens a version of the shelf, warm (see NewModel).
	Load func(ctx context.Context, version string) (*Model, error)
	// Available lists versions that could be loaded; nil: none but those that are.
	Available func() ([]string, error)
	// Chosen, if set, writes down which version is active before it takes over.
	Chosen func(version string) error
	Log    *slog.Logger
	Hooks  Hooks
	// HotActions bounds the actions of people kept in memory; 0: DefaultHotActions.
	HotActions int
	// StateTTL is after how long a kept past is read again; 0: never, which is right
	// while this process alone writes to the store.
	StateTTL time.Duration
	// Follow is how often changes of the catalog that others made are looked for; 0:
	// every two seconds.
	Follow time.Duration
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// DefaultHotActions is about 250 MB of pasts.
const DefaultHotActions = 1_000_000

// Hooks are told what happens, for metrics. Nil ones are left out.
type Hooks struct {
	Answered      func(Answered)
	Acted         func(user, poi string, at time.Time)
	Forgot        func(user string)
	FellBack      func(reason error)
	Shadow        func(sameFirst bool, overlap float64)
	ShadowDropped func()
	StoreFailed   func(op string, err error)
	Stored        func(accepted, duplicate, rejected int)
	Loaded        func(m api.Model, err error)
	Gone          func(version string)
}

// Lack is what a model had to do without.
type Lack uint8

// Lacks.
const (
	LackNothing Lack = iota
	LackPerson       // somebody it has not seen in training, without a past
	LackPast         // a known person's past
	LackPlaces       // any place of the past that it knows
)

// Answered is one recommendation.
type Answered struct {
	User       string // empty for an inline history
	Scene      string
	Version    api.Version
	Kind       string // model or fallback
	At         time.Time
	POIs       []string
	Source     string  // of the first place
	Prob       float64 // of the first place
	DistanceM  float64 // of the first place, -1 unknown
	HistoryAge time.Duration
	HasHistory bool
	Candidates int // places that might have been answered with
	Lack       Lack
}

// Desk is safe for concurrent use.
type Desk struct {
	o       Options
	models  *roster.Roster[*Model]
	people  *people
	started time.Time
	shadow  shadow
	traffic struct {
		sync.Mutex
		now api.Traffic
	}
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// overlays is an overlay that is replaced whole.
type overlays struct{ p atomic.Pointer[overlay] }

func (o *overlays) get() *overlay     { return o.p.Load() }
func (o *overlays) set(next *overlay) { o.p.Store(next) }

// New returns a desk without a model; see ActivateModel. Close it.
func New(o Options) (*Desk, error) {
	if o.Store == nil || o.Load == nil {
		return nil, errors.New("a desk needs a store and a way to load models")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HotActions <= 0 {
		o.HotActions = DefaultHotActions
	}
	if o.Follow <= 0 {
		o.Follow = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	d := &Desk{o: o, people: newPeople(o.Store, o.HotActions, o.StateTTL, o.Now), started: o.Now(), stop: stop}
	d.shadow.room = make(chan struct{}, 1)
	d.models = roster.New(roster.Options[*Model]{Load: d.load, Chosen: o.Chosen, Closed: d.closed})
	d.stopped.Go(func() { d.followAll(ctx) })
	return d, nil
}

// load opens a version and brings it up to date with the catalog.
func (d *Desk) load(ctx context.Context, version string) (*Model, error) {
	m, err := d.o.Load(ctx, version)
	if err == nil {
		if err = m.follow(ctx, d.o.Store); err != nil {
			err = closeWith(err, m.Close)
		}
	}
	if h := d.o.Hooks.Loaded; h != nil {
		info := api.Model{Version: version}
		if err == nil {
			info = m.info
		}
		h(info, err)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (d *Desk) closed(version string, err error) {
	if err != nil {
		d.o.Log.Error("closing a model", "version", version, "error", err)
	}
	if h := d.o.Hooks.Gone; h != nil {
		h(version)
	}
}

// followAll looks for changes of the catalog until Close.
func (d *Desk) followAll(ctx context.Context) {
	tick := time.NewTicker(d.o.Follow)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := d.follow(ctx); err != nil && ctx.Err() == nil {
				d.failed("follow", err)
				d.o.Log.Warn("the catalog cannot be followed; answers go by what was known", "error", err)
			}
		}
	}
}

// follow brings all loaded models up to date with the catalog.
func (d *Desk) follow(ctx context.Context) error {
	for _, s := range d.models.List() {
		lease, err := d.models.Pick("", s.Version)
		if err != nil {
			continue // gone, or not there yet: it follows when it is loaded
		}
		err = lease.Engine.follow(ctx, d.o.Store)
		lease.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// failed counts errors of the store and returns them.
func (d *Desk) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if k := KindOf(err); d.o.Hooks.StoreFailed != nil && (k == Unavailable || k == Full || k == Internal) {
		d.o.Hooks.StoreFailed(op, err)
	}
	return err
}

// Close lets the models go once nobody uses them, or when the context ends. The store
// stays open.
func (d *Desk) Close(ctx context.Context) error {
	d.stop()
	d.stopped.Wait()
	d.shadow.wait.Wait()
	if err := d.models.Close(ctx); err != nil {
		return fmt.Errorf("close the desk: %w", err)
	}
	return nil
}
