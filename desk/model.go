package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/region"
	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/vector"
)

// Ranker scores places for a question: probabilities of a click.
type Ranker interface {
	Rank(ctx context.Context, q poi.Query, places []int32) ([]float64, error)
}

// Embedder gives vectors of people and places that compare by their product.
type Embedder interface {
	User(ctx context.Context, q poi.Query) ([]float32, error)
	// Places returns those of all places by dense id, row after row, and their length.
	Places(ctx context.Context) ([]float32, int, error)
}

// Parts are what a Model is made of.
type Parts struct {
	Version   string
	Name      string
	Index     string // fingerprint of the index
	Dataset   *poi.Dataset
	Lookup    func(id string) (int32, bool) // dense id of a POI
	Predictor *recommend.Predictor
	Live      recommend.LiveConfig
	Rank      Ranker     // nil: candidates are ranked by the generator
	Embed     Embedder   // nil: places have the generator's vectors, people none
	Files     []api.Part // of its bundle, if it has one
	// Vectors keeps what places are alike by; nil: in this process.
	Vectors func(context.Context, *vector.Set, vector.IndexOptions) (vector.Searcher, error)
	Close   func() error // called when the model is let go; nil: nothing to do
}

// serial tells models apart without holding them in memory.
type serial uint64

var serials atomic.Uint64

// Model is one version that answers: a network with its serving side, and what is
// looked up of its places.
type Model struct {
	p          Parts
	serial     serial
	live       *recommend.Live
	users      map[string]int32
	near       *region.Places
	categories map[string][]int32 // places of a category path and of all below it, ascending
	visits     []float64          // training visits of each place
	total      float64
	alike      vector.Searcher
	info       api.Model

	mu      sync.Mutex // of follow
	overlay overlays
}

// NewModel prepares a model and warms it up, so that its first request is as fast as
// any. Close it.
func NewModel(ctx context.Context, p Parts) (*Model, error) {
	start := time.Now()
	m := &Model{p: p, serial: serial(serials.Add(1)), users: make(map[string]int32, len(p.Dataset.Users))}
	for u := range p.Dataset.Users {
		m.users[p.Dataset.Users[u].ID] = int32(u)
	}
	var err error
	if m.near, err = region.NewPlaces(p.Dataset.Places); err != nil {
		return nil, fmt.Errorf("model %s: %w", p.Version, err)
	}
	m.count()
	m.categories = shelve(p.Dataset.Places)
	if m.live, err = p.Predictor.Live(p.Live); err != nil {
		return nil, err
	}
	if err = m.live.Warm(ctx); err == nil {
		err = m.index(ctx)
	}
	if err == nil { // what answers is tried once, as a stranger would
		_, err = m.live.Recommend(ctx, poi.Query{User: -1, TimeMS: time.Now().UnixMilli()}, recommend.Want{K: 1})
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", p.Version, closeWith(err, m.free))
	}
	m.overlay.set(&overlay{})
	m.describe(start)
	return m, nil
}

// closeWith closes what an error leaves behind.
func closeWith(err error, do func() error) error {
	if other := do(); other != nil {
		return fmt.Errorf("%w (and on closing: %w)", err, other)
	}
	return err
}

// count reads the training visits: what a fallback goes by.
func (m *Model) count() {
	m.visits = make([]float64, len(m.p.Dataset.Places))
	for u := range m.p.Dataset.Users {
		for _, v := range m.p.Dataset.Users[u].Visits {
			if v.Tag == poi.Train {
				m.visits[v.POI]++
				m.total++
			}
		}
	}
}

// index prepares the search for places alike.
func (m *Model) index(ctx context.Context) error {
	vectors := func(context.Context) ([]float32, int, error) { return m.live.Vectors() }
	if m.p.Embed != nil {
		vectors = m.p.Embed.Places
	}
	data, dim, err := vectors(ctx)
	if err != nil {
		return err
	}
	n := len(m.p.Dataset.Places)
	set := &vector.Set{IDs: make([]string, n), Dim: dim, Data: data, Lat: make([]float64, n), Lng: make([]float64, n)}
	for i, p := range m.p.Dataset.Places {
		set.IDs[i], set.Lat[i], set.Lng[i] = p.ID, p.Lat, p.Lng
	}
	keep := m.p.Vectors
	if keep == nil {
		keep = func(_ context.Context, s *vector.Set, opt vector.IndexOptions) (vector.Searcher, error) {
			return vector.NewIndex(s, opt)
		}
	}
	alike, err := keep(ctx, set, vector.IndexOptions{Measure: vector.Cosine})
	if err != nil { // a nil of its own type must not become a Searcher that is not nil
		return fmt.Errorf("keep the vectors of %d places: %w", n, err)
	}
	m.alike = alike
	return nil
}

// free closes what the model itself has opened.
func (m *Model) free() error {
	err := m.live.Close()
	if m.alike != nil {
		err = errors.Join(err, m.alike.Close())
	}
	return err
}

func (m *Model) describe(start time.Time) {
	m.info = api.Model{Version: m.p.Version, Name: m.p.Name, Index: m.p.Index, Roles: []string{"generate"},
		Places: len(m.p.Dataset.Places), Users: len(m.p.Dataset.Users), Window: m.p.Predictor.Window(), Types: m.p.Dataset.Types,
		Seconds: time.Since(start).Seconds(), Parts: m.p.Files, MemoryMB: float64(m.p.Predictor.Weights()) / (1 << 20)}
	if m.p.Rank != nil {
		m.info.Roles = append(m.info.Roles, "rank")
	}
	if m.p.Embed != nil {
		m.info.Roles = append(m.info.Roles, "embed")
	}
	if n := len(m.p.Dataset.Places); n > 0 {
		lat, lng := make([]float64, n), make([]float64, n)
		for i, p := range m.p.Dataset.Places {
			lat[i], lng[i] = p.Lat, p.Lng
		}
		slices.Sort(lat)
		slices.Sort(lng)
		m.info.Center = &api.Point{Lat: lat[n/2], Lng: lng[n/2]}
	}
}

// Close frees the model. Nobody may use it any more.
func (m *Model) Close() error {
	err := m.free()
	if m.p.Close != nil {
		if other := m.p.Close(); err == nil {
			err = other
		}
	}
	return err
}

// Stats returns the counts of the serving side.
func (m *Model) Stats() recommend.Stats { return m.live.Stats() }

// path is a category path as categories has it.
func path(levels []string) string {
	for i := range levels {
		levels[i] = strings.TrimSpace(levels[i])
	}
	return strings.Join(levels, " > ")
}

// shelve lists the places of every category path and of all above it.
func shelve(places []poi.Place) map[string][]int32 {
	out := map[string][]int32{}
	for p := range places {
		if places[p].Category == "" {
			continue
		}
		levels := strings.Split(places[p].Category, ">")
		for n := 1; n <= len(levels); n++ {
			key := path(slices.Clone(levels[:n]))
			out[key] = append(out[key], int32(p))
		}
	}
	return out
}

// overlay is what the catalog says otherwise, or besides, of a model's places.
type overlay struct {
	revision int64
	closed   map[int32]bool
	changed  map[int32]store.POI // another name, category or position
	cold     []poi.Place         // open places that the model has never seen
	coldAt   map[string]int      // position in cold by id
	near     *region.Places      // of cold
}

// follow brings the overlay up to date with the catalog.
func (m *Model) follow(ctx context.Context, pois store.POIs) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.overlay.get()
	next := old.clone()
	fresh := false
	for {
		page, last, err := pois.POIsSince(ctx, next.revision, store.MaxPage)
		if err != nil {
			return fmt.Errorf("follow the catalog: %w", err)
		}
		if len(page) == 0 {
			break
		}
		fresh, next.revision = true, last
		for _, p := range page {
			m.note(next, p)
		}
	}
	if !fresh {
		return nil
	}
	next.cold = slices.DeleteFunc(next.cold, func(p poi.Place) bool { return p.Closed })
	next.coldAt = make(map[string]int, len(next.cold))
	for i, p := range next.cold {
		next.coldAt[p.ID] = i
	}
	var err error
	if next.near, err = region.NewPlaces(next.cold); err != nil {
		return fmt.Errorf("follow the catalog: %w", err)
	}
	m.overlay.set(next)
	return nil
}

// note enters one place of the catalog into an overlay under construction.
func (m *Model) note(o *overlay, p store.POI) {
	if at, ok := m.p.Lookup(p.ID); ok {
		own := m.p.Dataset.Places[at]
		delete(o.closed, at)
		delete(o.changed, at)
		if p.Closed {
			o.closed[at] = true
		}
		if p.Name != own.Name || p.Category != own.Category || p.Lat != own.Lat || p.Lng != own.Lng {
			o.changed[at] = p
		}
		return
	}
	place := poi.Place{ID: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng, Closed: p.Closed}
	if at, ok := o.coldAt[p.ID]; ok {
		o.cold[at] = place
		return
	}
	o.coldAt[p.ID] = len(o.cold)
	o.cold = append(o.cold, place)
}

func (o *overlay) clone() *overlay {
	out := &overlay{revision: o.revision, closed: map[int32]bool{}, changed: map[int32]store.POI{}, coldAt: map[string]int{}, cold: slices.Clone(o.cold)}
	for k := range o.closed {
		out.closed[k] = true
	}
	for k, v := range o.changed {
		out.changed[k] = v
	}
	for k, v := range o.coldAt {
		out.coldAt[k] = v
	}
	return out
}

// isCold returns a place that the model has never seen.
func (o *overlay) isCold(id string) (poi.Place, bool) {
	if at, ok := o.coldAt[id]; ok {
		return o.cold[at], true
	}
	return poi.Place{}, false
}

// place is a known place as the catalog has it now.
func (m *Model) place(o *overlay, p int32) poi.Place {
	own := m.p.Dataset.Places[p]
	if c, ok := o.changed[p]; ok {
		own.Name, own.Category, own.Lat, own.Lng = c.Name, c.Category, c.Lat, c.Lng
	}
	return own
}
