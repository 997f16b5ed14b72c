package desk

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/roster"
)

// Models lists the loaded versions and those that could be loaded.
func (d *Desk) Models() []api.Model {
	var out []api.Model
	there := map[string]bool{}
	for _, s := range d.models.List() {
		there[s.Version] = true
		m := api.Model{Version: s.Version}
		if s.Engine != nil {
			m = s.Engine.info
			m.MemoryMB += float64(s.Engine.live.Stats().Bytes) / (1 << 20)
		}
		m.State, m.Requests, m.Loaded, m.Seconds = s.State, s.Served, s.Since.UTC(), s.Took.Seconds()
		if s.Err != nil {
			m.Reason = s.Err.Error()
		}
		out = append(out, m)
	}
	if d.o.Available != nil {
		versions, err := d.o.Available()
		if err != nil {
			d.o.Log.Warn("the shelf of models cannot be read", "error", err)
		}
		for _, v := range versions {
			if !there[v] {
				out = append(out, api.Model{Version: v, State: "available"})
			}
		}
	}
	return out
}

// ModelStats returns the counts of the serving side of every loaded version.
func (d *Desk) ModelStats() map[string]recommend.Stats {
	out := map[string]recommend.Stats{}
	for _, s := range d.models.List() {
		if s.Engine != nil {
			out[s.Version] = s.Engine.Stats()
		}
	}
	return out
}

// model is one loaded version in words.
func (d *Desk) model(version string) (*api.Model, error) {
	all := d.Models()
	i := slices.IndexFunc(all, func(m api.Model) bool { return m.Version == version })
	if i < 0 {
		return nil, fmt.Errorf("version %s: %w", version, roster.ErrUnknown)
	}
	return &all[i], nil
}

// LoadModel loads a version beside those that answer.
func (d *Desk) LoadModel(ctx context.Context, version string) (*api.Model, error) {
	if err := d.models.Load(ctx, version); err != nil {
		return nil, err
	}
	return d.model(version)
}

// ActivateModel lets a version answer, loading it if need be.
func (d *Desk) ActivateModel(ctx context.Context, version string) (*api.Model, error) {
	if err := d.models.Activate(ctx, version); err != nil {
		return nil, err
	}
	return d.model(version)
}

// RollBack lets the version before the active one answer again.
func (d *Desk) RollBack(ctx context.Context) (*api.Model, error) {
	version, err := d.models.RollBack(ctx)
	if err != nil {
		return nil, err
	}
	return d.model(version)
}

// SetTraffic replaces the A/B split and the shadow.
func (d *Desk) SetTraffic(_ context.Context, t api.Traffic) error {
	d.traffic.Lock()
	defer d.traffic.Unlock()
	var split []roster.Share
	for _, s := range t.Split {
		split = append(split, roster.Share{Version: s.Version, Share: s.Share})
	}
	if err := d.models.SetSplit(split); err != nil {
		return bad("split", nil, "%v", err)
	}
	if err := d.models.SetShadow(t.Shadow); err != nil {
		return bad("shadow", t.Shadow, "%v", err)
	}
	if t.Shadow != d.traffic.now.Shadow {
		d.shadow.reset()
	}
	d.traffic.now = t
	return nil
}

// Traffic returns the A/B split and the shadow.
func (d *Desk) Traffic() api.Traffic {
	d.traffic.Lock()
	defer d.traffic.Unlock()
	t := d.traffic.now
	t.Split = append([]api.Share{}, t.Split...)
	return t
}

// shadow compares the answers of a second version. One comparison runs at a time: a
// shadow must not slow down those who wait for an answer.
type shadow struct {
	room                    chan struct{}
	wait                    sync.WaitGroup
	compared, same, dropped atomic.Int64
	overlap                 atomic.Int64 // sum, in millionths
}

func (s *shadow) reset() {
	s.compared.Store(0)
	s.same.Store(0)
	s.dropped.Store(0)
	s.overlap.Store(0)
}

// shadowTime is how long a shadow may take for an answer.
const shadowTime = 2 * time.Second

// compare lets the shadow answer the same request, unseen.
func (d *Desk) compare(ctx context.Context, r api.RecommendRequest, shown *api.RecommendResponse) {
	lease := d.models.PickShadow()
	if lease == nil {
		return
	}
	select {
	case d.shadow.room <- struct{}{}:
	default:
		lease.Release()
		d.shadow.dropped.Add(1)
		if d.o.Hooks.ShadowDropped != nil {
			d.o.Hooks.ShadowDropped()
		}
		return
	}
	ids := make([]string, len(shown.Places))
	for i, p := range shown.Places {
		ids[i] = p.POI
	}
	r.Time = shown.Time
	d.shadow.wait.Go(func() {
		defer func() { <-d.shadow.room }()
		defer lease.Release()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shadowTime)
		defer cancel()
		other, err := d.shadowed(ctx, &r, lease.Engine)
		if err != nil {
			d.o.Log.WarnContext(ctx, "the shadow gave no answer", "version", lease.Version, "error", err)
			return
		}
		same := len(ids) > 0 && len(other) > 0 && ids[0] == other[0] || len(ids) == 0 && len(other) == 0
		both := 0
		for _, id := range other {
			if slices.Contains(ids, id) {
				both++
			}
		}
		overlap := float64(both) / float64(max(1, len(ids), len(other)))
		d.shadow.compared.Add(1)
		d.shadow.overlap.Add(int64(overlap * 1e6))
		if same {
			d.shadow.same.Add(1)
		}
		if d.o.Hooks.Shadow != nil {
			d.o.Hooks.Shadow(same, overlap)
		}
	})
}

// shadowed is the list of a request by a version that does not answer it.
func (d *Desk) shadowed(ctx context.Context, r *api.RecommendRequest, m *Model) ([]string, error) {
	x, err := d.ask(ctx, &r.Who, m)
	if err != nil {
		return nil, err
	}
	w, area, err := d.want(r, x, m)
	if err != nil {
		return nil, err
	}
	answer, err := m.live.Recommend(ctx, x.q, w)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range d.merge(x, m, answer, d.coldPlaces(r, x, m, area), w.K) {
		ids = append(ids, p.POI)
	}
	return ids, nil
}

// Ready says of every part whether it works.
func (d *Desk) Ready(ctx context.Context) []api.Check {
	check := func(name string, err error) api.Check {
		c := api.Check{Name: name, OK: err == nil}
		if err != nil {
			c.Reason = err.Error()
		}
		return c
	}
	lease, err := d.models.Pick("", "")
	if err == nil {
		lease.Release()
	}
	return []api.Check{check("store", d.o.Store.Ping(ctx)), check("model", err)}
}

// Status fills what a desk knows of the service.
func (d *Desk) Status(ctx context.Context) (*api.Status, error) {
	out := &api.Status{Started: d.started.UTC(), Checks: d.Ready(ctx), Models: d.Models(), Store: d.o.Store.Name(), Ready: true}
	for _, c := range out.Checks {
		out.Ready = out.Ready && c.OK
	}
	counts, err := d.o.Store.Counts(ctx)
	if err != nil {
		if d.failed("counts", err); KindOf(err) != Unavailable {
			return nil, err
		}
	} else {
		out.Actions, out.Users, out.POIs = counts.Actions, counts.Users, counts.POIs
	}
	if t := d.Traffic(); t.Shadow != "" {
		n := d.shadow.compared.Load()
		out.Shadow = &api.ShadowStatus{Version: t.Shadow, Requests: n, Dropped: d.shadow.dropped.Load(),
			SameFirst: float64(d.shadow.same.Load()) / float64(max(1, n)), Overlap: float64(d.shadow.overlap.Load()) / 1e6 / float64(max(1, n))}
	}
	return out, nil
}
