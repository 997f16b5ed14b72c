package batch

import (
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/poi"
)

// Sampler gives the training batches of a data set as a pure function of (seed,
// epoch, step).
type Sampler struct {
	d        *poi.Dataset
	enc      *Encoder
	stats    *evidence.Stats
	evidence evidence.Config
	seed     uint64
	target   []map[int]float64 // user -> position -> weight
	phases   [2][]window       // single-status runs, whole sequences
	cache    cache
	builders sync.Pool

	mu    sync.Mutex
	epoch int
	order []planned
}

// window is a stretch of one user's sequence with the requests to learn from.
type window struct {
	user     int32
	from, to int
	requests []int
	shape    Shape
}

// planned is one batch of an epoch.
type planned struct {
	shape   Shape
	windows []int
}

// NewSampler cuts the training part of d into windows. ev is nil when the network
// has no copy head.
func NewSampler(d *poi.Dataset, enc *Encoder, stats *evidence.Stats, ev evidence.Config, seed int64) *Sampler {
	s := &Sampler{d: d, enc: enc, stats: stats, evidence: ev, seed: uint64(seed), epoch: -1}
	s.cache.limit = int64(enc.cfg.CacheMB) << 20
	if stats != nil {
		s.builders.New = func() any { return evidence.NewBuilder(stats, ev) }
	}
	s.target = targets(d, enc.cfg.LastWeight)
	for u := range d.Users {
		visits := trainPart(d.Users[u].Visits)
		for _, run := range statusRuns(visits) {
			s.cut(&s.phases[0], int32(u), run[0], run[1])
		}
		s.cut(&s.phases[1], int32(u), 0, len(visits))
	}
	return s
}

// targets gives each training target its weight: targets that end a trajectory
// weigh more when the protocol scores only those.
func targets(d *poi.Dataset, last float64) []map[int]float64 {
	out := make([]map[int]float64, len(d.Users))
	for _, t := range d.Targets[poi.Train] {
		v := d.Users[t.User].Visits
		if !v[t.Pos].Intent {
			continue
		}
		if out[t.User] == nil {
			out[t.User] = map[int]float64{}
		}
		w := 1.0
		if end := int(t.Pos) == len(v)-1 || v[t.Pos+1].Traj != v[t.Pos].Traj; end {
			w = last
		}
		out[t.User][int(t.Pos)] = w
	}
	return out
}

func trainPart(v []poi.Visit) []poi.Visit {
	n := 0
	for n < len(v) && v[n].Tag == poi.Train {
		n++
	}
	return v[:n]
}

// statusRuns returns the maximal runs of one status, [from, to).
func statusRuns(v []poi.Visit) [][2]int {
	var runs [][2]int
	for i := 0; i < len(v); {
		j := i + 1
		for j < len(v) && v[j].Status == v[i].Status {
			j++
		}
		runs = append(runs, [2]int{i, j})
		i = j
	}
	return runs
}

// cut splits [from, to) of a user into windows of Chunk requests with the actions
// before them as context.
func (s *Sampler) cut(out *[]window, user int32, from, to int) {
	c := s.enc.cfg
	for at := from; at < to; at += c.Chunk {
		w := window{user: user, to: min(at+c.Chunk, to)}
		for i := at; i < w.to; i++ {
			if _, ok := s.target[user][i]; ok {
				w.requests = append(w.requests, i)
			}
		}
		if len(w.requests) == 0 {
			continue
		}
		w.from = max(from, w.to-c.Window)
		w.shape = s.shapeOf(user, w)
		*out = append(*out, w)
	}
}

// shapeOf picks the bucket of a window: half or all of the candidates' capacity,
// a chunk or a whole window of actions.
func (s *Sampler) shapeOf(user int32, w window) Shape {
	c := s.enc.cfg
	shape := Shape{B: c.Size, N: c.Window, M: c.Chunk, C: 1}
	if w.to-w.from <= c.Chunk {
		shape.N = c.Chunk
	}
	if s.stats != nil {
		seen := map[int32]bool{}
		for _, v := range s.d.Users[user].Visits[:w.to] {
			seen[v.POI] = true
		}
		need := min(len(seen), s.evidence.MaxPast) + s.evidence.Next + s.evidence.Near
		shape.C = bucket(need, s.evidence.Max())
	}
	return shape
}

// bucket halves the capacity while the need still fits, twice at most.
func bucket(need, capacity int) int {
	for range 2 {
		if half := (capacity + 1) / 2; need <= half {
			capacity = half
		}
	}
	return capacity
}

// Buckets returns the candidate capacities in use, for inference.
func Buckets(ev evidence.Config) []int {
	full := ev.Max()
	half := (full + 1) / 2
	return []int{(half + 1) / 2, half, full}
}

// Steps is the number of batches of an epoch.
func (s *Sampler) Steps(epoch int) int { return len(s.plan(epoch)) }

func (s *Sampler) plan(epoch int) []planned {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == epoch {
		return s.order
	}
	windows := s.windows(epoch)
	s.order = plan(rand.New(rand.NewPCG(s.seed, uint64(epoch))), len(windows), func(i int) Shape { return windows[i].shape })
	s.epoch = epoch
	return s.order
}

// plan shuffles n windows within their buckets, then the batches among each other.
func plan(rng *rand.Rand, n int, shape func(i int) Shape) []planned {
	byShape := map[Shape][]int{}
	var shapes []Shape
	for _, i := range rng.Perm(n) {
		sh := shape(i)
		if byShape[sh] == nil {
			shapes = append(shapes, sh)
		}
		byShape[sh] = append(byShape[sh], i)
	}
	var out []planned
	for _, sh := range shapes {
		for ids := byShape[sh]; len(ids) > 0; {
			n := min(sh.B, len(ids))
			out = append(out, planned{sh, ids[:n]})
			ids = ids[n:]
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// windows of an epoch: the curriculum learns single-status runs first (paper
// section 3.2.1, Training Strategy).
func (s *Sampler) windows(epoch int) []window {
	if epoch < s.enc.cfg.Curriculum {
		return s.phases[0]
	}
	return s.phases[1]
}

// Batch builds batch step of an epoch.
func (s *Sampler) Batch(epoch, step int) *Batch {
	plan := s.plan(epoch)[step]
	windows := s.windows(epoch)
	rows := make([]Row, len(plan.windows))
	for i, id := range plan.windows {
		w := windows[id]
		rows[i] = Row{User: w.user, Sequence: s.d.Users[w.user].Visits[:w.to], From: w.from, Requests: w.requests}
	}
	var sets func(*Row, int) *evidence.Set
	if s.stats != nil {
		ready := s.prepare(rows)
		sets = func(r *Row, at int) *evidence.Set { return ready[key(r.User, at)] }
	}
	weight := func(r *Row, at int) float64 { return s.target[r.User][at] }
	return s.enc.Encode(rows, plan.shape, weight, sets)
}

func key(user int32, at int) int64 { return int64(user)<<32 | int64(at) }

// prepare gives the evidence of all rows, computing what is not kept on all cores.
func (s *Sampler) prepare(rows []Row) map[int64]*evidence.Set {
	ready := map[int64]*evidence.Set{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan *Row)
	for range min(runtime.GOMAXPROCS(0), len(rows)) {
		wg.Go(func() {
			b := s.builders.Get().(*evidence.Builder)
			defer s.builders.Put(b)
			for r := range next {
				for _, at := range r.Requests {
					set := s.set(r.User, at, b)
					mu.Lock()
					ready[key(r.User, at)] = set
					mu.Unlock()
				}
			}
		})
	}
	for i := range rows {
		next <- &rows[i]
	}
	close(next)
	wg.Wait()
	return ready
}

// set returns the evidence of a training target, computing it if it is not kept.
func (s *Sampler) set(user int32, at int, b *evidence.Builder) *evidence.Set {
	if set, ok := s.cache.get(key(user, at)); ok {
		return set
	}
	q := s.d.QueryOf(poi.Target{User: user, Pos: int32(at)})
	set := new(evidence.Set)
	b.Compute(&q, set)
	s.cache.put(key(user, at), set)
	return set
}

// cache keeps evidence up to a limit of bytes; the rest is computed again.
type cache struct {
	mu    sync.RWMutex
	sets  map[int64]*evidence.Set
	bytes int64
	limit int64
}

func (c *cache) get(key int64) (*evidence.Set, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	set, ok := c.sets[key]
	return set, ok
}

func (c *cache) put(key int64, set *evidence.Set) {
	size := int64(cap(set.Features)*4 + cap(set.POIs)*4 + cap(set.Context)*4 + 96)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+size > c.limit {
		return
	}
	if c.sets == nil {
		c.sets = map[int64]*evidence.Set{}
	}
	c.sets[key] = set
	c.bytes += size
}
