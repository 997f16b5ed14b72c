package batch

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// FeedConfig sets how requests of a feed become batches of post-training.
type FeedConfig struct {
	Requests int `yaml:"requests"` // requests of one user that share a window, M
	Options  int `yaml:"options"`  // most candidates of a request, C
	Size     int `yaml:"size"`     // windows of a batch, B
	// Until is the share of the training requests, earliest first, that a stage learns
	// from. The rest can teach a ranker how far to trust the stage's scores.
	Until float64 `yaml:"until"`
	// Folds and Fold leave the requests of some users out: users are dealt into Folds
	// parts, and a stage does not learn from part Fold (0 to Folds-1). What it says of
	// these can teach a ranker how far to trust it. 0: it learns from all.
	Folds int `yaml:"folds"`
	Fold  int `yaml:"fold"`
	// Visits is how many of each user's last first visits of the training period the
	// embed stage learns from beside the requests: the place where he went against
	// Rivals others of its category nearby.
	Visits int `yaml:"visits"`
	Rivals int `yaml:"rivals"`
}

// DefaultFeed holds the candidates of a usual request.
func DefaultFeed() FeedConfig {
	return FeedConfig{Requests: 4, Options: 16, Size: 8, Until: 1, Rivals: 7}
}

// Validate reports the first value out of range.
func (c FeedConfig) Validate() error {
	switch {
	case c.Requests < 1 || c.Requests > 256:
		return fmt.Errorf("feed.requests is %d, want 1 to 256", c.Requests)
	case c.Options < 2 || c.Options > 1024:
		return fmt.Errorf("feed.options is %d, want 2 to 1024", c.Options)
	case c.Size < 1 || c.Size > 65536:
		return fmt.Errorf("feed.size is %d, want 1 to 65536", c.Size)
	case !(c.Until > 0 && c.Until <= 1):
		return fmt.Errorf("feed.until is %g, want more than 0 and at most 1", c.Until)
	case c.Folds < 0 || c.Folds == 1 || c.Folds > 64:
		return fmt.Errorf("feed.folds is %d, want 0 for none or 2 to 64", c.Folds)
	case c.Fold < 0 || c.Fold > 0 && c.Fold >= c.Folds:
		return fmt.Errorf("feed.fold is %d, want 0 to %d", c.Fold, max(c.Folds-1, 0))
	case c.Visits < 0 || c.Visits > 1_000_000:
		return fmt.Errorf("feed.visits is %d, want 0 to 1000000", c.Visits)
	case c.Visits > 0 && (c.Rivals < 1 || c.Rivals >= c.Options):
		return fmt.Errorf("feed.rivals is %d, want 1 to %d: with the place itself they fill feed.options", c.Rivals, c.Options-1)
	}
	return nil
}

// LeavesOut reports whether a stage does not learn from a user's requests.
func (c FeedConfig) LeavesOut(user int32) bool { return c.Folds > 0 && int(user)%c.Folds == c.Fold }

// Positions of the arrays of a feed batch: InPlace to InProfile as in Batch, then
// these. X is the width of the places' media vectors, 1 (and zero) without any.
const (
	FeedAt      = InRequest + iota // [B, M] int32, actions of the window before the request
	FeedTimes                      // [B, M, 4] int32, as InTimes
	FeedClock                      // [B, M] float32, as InClock
	FeedCells                      // [B, M, 12] int32, as InCells
	FeedFrom                       // [B, M, 2] float32, as InFrom
	FeedSegment                    // [B, M] float32, as InSegment
	FeedWeight                     // [B, M] float32, 0 for padding
	FeedOption                     // [B, M, C] int32, place + 1
	FeedClicked                    // [B, M, C] float32, 1 if clicked or preferred
	FeedExtra                      // [B, M, C] float32, what a stage wants to know of each option
	FeedMedia                      // [B, N, X] float32, media vectors of the window's places
	FeedShow                       // [B, M, C, X] float32, media vectors of the options
	FeedSpot                       // [B, M, C, 2] float32, kilometres east and north of the origin: the options' places
	NumFeed
)

// FeedBatch is a batch of windows, each with requests and their options.
type FeedBatch struct {
	Arrays  [NumFeed]Array
	Weight  float64 // sum of FeedWeight
	Options int     // that are not padding
	Tokens  int     // actions that are not padding
}

// Media gives the media vectors of places; nil where there are none.
type Media interface {
	Width() int
	// At returns the vector of a dense place id, Width long.
	At(place int32) []float32
}

// FeedRow is one window with the requests of its user, in the order of time.
type FeedRow struct {
	User     int32
	Visits   []poi.Visit // all visits before the last request
	From     int         // the window is Visits[From:]
	Requests []*poi.Request
	Weights  []float64   // of the requests; nil: 1 each
	Extra    [][]float32 // of the requests' options; nil: 0
}

// FeedShape is the bucket of a row: half a window or all of it, a power of two of
// requests, and the room for options, which doubles until they fit. Few shapes, for
// each graph is compiled and keeps memory of its own.
func (e *Encoder) FeedShape(r *FeedRow, c FeedConfig) Shape {
	s := Shape{B: c.Size, N: e.cfg.Window, M: 1, C: c.Options}
	if half := (s.N + 1) / 2; len(r.Visits)-r.From <= half {
		s.N = half
	}
	for s.M < len(r.Requests) {
		s.M *= 2
	}
	s.M = min(s.M, c.Requests)
	for _, q := range r.Requests {
		for s.C < len(q.Options) {
			s.C *= 2
		}
	}
	return s
}

// EncodeFeed fills a batch; s.C is the room for options.
func (e *Encoder) EncodeFeed(rows []FeedRow, s Shape, media Media) *FeedBatch {
	window := newBatch(Shape{B: s.B, N: s.N, M: 1, C: 1}, e.cfg.Profile)
	b := newFeedBatch(s, media)
	for i := range rows {
		r := &rows[i]
		if len(r.Requests) > s.M {
			panic(fmt.Sprintf("batch: %d requests of a window in a bucket of %d", len(r.Requests), s.M))
		}
		e.who(window, r.User, i)
		end := requestHours(r.Requests[len(r.Requests)-1])
		e.actions(window, &Row{User: r.User, Sequence: r.Visits, From: r.From}, i, s.N, end)
		for m := range r.Requests {
			e.ask(b, window, r, i, m, s, end)
		}
		if media != nil {
			e.show(b, window, i, s, media)
		}
	}
	copy(b.Arrays[:InRequest], window.Arrays[:InRequest])
	b.Tokens = window.Tokens
	return b
}

func requestHours(q *poi.Request) float64 {
	return localHours(poi.Visit{TimeMS: q.TimeMS, OffsetMin: q.OffsetMin})
}

func newFeedBatch(s Shape, media Media) *FeedBatch {
	b := &FeedBatch{}
	ints := func(at int, dims ...int) { b.Arrays[at] = Array{Dims: dims, I: make([]int32, product(dims))} }
	floats := func(at int, dims ...int) { b.Arrays[at] = Array{Dims: dims, F: make([]float32, product(dims))} }
	width := 1
	if media != nil {
		width = media.Width()
	}
	ints(FeedAt, s.B, s.M)
	ints(FeedTimes, s.B, s.M, 4)
	floats(FeedClock, s.B, s.M)
	ints(FeedCells, s.B, s.M, geo.GridLevels)
	floats(FeedFrom, s.B, s.M, 2)
	floats(FeedSegment, s.B, s.M)
	floats(FeedWeight, s.B, s.M)
	ints(FeedOption, s.B, s.M, s.C)
	floats(FeedClicked, s.B, s.M, s.C)
	floats(FeedExtra, s.B, s.M, s.C)
	floats(FeedMedia, s.B, s.N, width)
	floats(FeedShow, s.B, s.M, s.C, width)
	floats(FeedSpot, s.B, s.M, s.C, 2)
	return b
}

// ask encodes request m of row i.
func (e *Encoder) ask(b *FeedBatch, window *Batch, r *FeedRow, i, m int, s Shape, end float64) {
	q, at := r.Requests[m], i*s.M+m
	if len(q.Options) > s.C {
		panic(fmt.Sprintf("batch: %d options in a bucket of %d", len(q.Options), s.C))
	}
	if int(q.Pos) < r.From || int(q.Pos) > len(r.Visits) {
		panic(fmt.Sprintf("batch: request after %d visits in a window from %d to %d", q.Pos, r.From, len(r.Visits)))
	}
	weight := 1.0
	if r.Weights != nil {
		weight = r.Weights[m]
	}
	past, inside := r.Visits[:q.Pos], int(q.Pos)-r.From
	b.Arrays[FeedAt].I[at] = int32(inside)
	copy(b.Arrays[FeedTimes].I[at*4:], calendar(poi.LocalTime(q.TimeMS, q.OffsetMin)))
	b.Arrays[FeedClock].F[at] = float32(end - requestHours(q))
	v := poi.Visit{TimeMS: q.TimeMS, OffsetMin: q.OffsetMin, HasUser: q.HasUser, UserLat: q.UserLat, UserLng: q.UserLng}
	e.stand(past, &v, b.Arrays[FeedCells].I[at*geo.GridLevels:(at+1)*geo.GridLevels], b.Arrays[FeedFrom].F[at*2:at*2+2])
	if inside > 0 {
		segment := window.Arrays[InSegment].F[i*s.N+inside-1]
		if apart(&past[len(past)-1], q.TimeMS, q.OffsetMin) {
			segment++
		}
		b.Arrays[FeedSegment].F[at] = segment
	}
	b.Arrays[FeedWeight].F[at] = float32(weight)
	b.Weight += weight
	for c, o := range q.Options {
		b.Arrays[FeedOption].I[at*s.C+c] = o.POI + 1
		b.Arrays[FeedSpot].F[(at*s.C+c)*2], b.Arrays[FeedSpot].F[(at*s.C+c)*2+1] = e.x[o.POI], e.y[o.POI]
		if o.Clicked {
			b.Arrays[FeedClicked].F[at*s.C+c] = 1
		}
		b.Options++
	}
	if r.Extra != nil {
		copy(b.Arrays[FeedExtra].F[at*s.C:(at+1)*s.C], r.Extra[m])
	}
}

// show copies the media vectors of row i.
func (e *Encoder) show(b *FeedBatch, window *Batch, i int, s Shape, media Media) {
	w := media.Width()
	fill := func(places []int32, out []float32) {
		for j, p := range places {
			if p > 0 {
				copy(out[j*w:(j+1)*w], media.At(p-1))
			}
		}
	}
	fill(window.Arrays[InPlace].I[i*s.N:(i+1)*s.N], b.Arrays[FeedMedia].F[i*s.N*w:(i+1)*s.N*w])
	fill(b.Arrays[FeedOption].I[i*s.M*s.C:(i+1)*s.M*s.C], b.Arrays[FeedShow].F[i*s.M*s.C*w:(i+1)*s.M*s.C*w])
}

// FeedSampler gives the training batches of a feed as a pure function of (seed,
// epoch, step).
type FeedSampler struct {
	d     *poi.Dataset
	enc   *Encoder
	media Media
	seed  uint64
	cfg   FeedConfig
	rows  []FeedRow

	mu    sync.Mutex
	epoch int
	order []planned
}

// FeedTask is one request to learn from.
type FeedTask struct {
	Request *poi.Request
	Weight  float64
	Extra   []float32 // of its options; nil: 0
}

// NewFeedSampler groups tasks, which are in the order of user and time, into
// windows. Tasks with more options than cfg.Options, or with Extra for some of
// their options only, wrap poi.ErrBadInput.
func NewFeedSampler(d *poi.Dataset, enc *Encoder, tasks []FeedTask, cfg FeedConfig, media Media, seed int64) (*FeedSampler, error) {
	s := &FeedSampler{d: d, enc: enc, media: media, seed: uint64(seed), cfg: cfg, epoch: -1}
	for i := range tasks {
		n, extra := len(tasks[i].Request.Options), tasks[i].Extra
		if n > cfg.Options {
			return nil, fmt.Errorf("request %s has %d candidates, feed.options allows %d: %w; raise it", tasks[i].Request.ID, n, cfg.Options, poi.ErrBadInput)
		}
		if extra != nil && len(extra) != n {
			return nil, fmt.Errorf("request %s has %d candidates and %d extra values: %w; give one for each", tasks[i].Request.ID, n, len(extra), poi.ErrBadInput)
		}
	}
	for from := 0; from < len(tasks); {
		to := from + 1
		for to < len(tasks) && to-from < cfg.Requests && s.together(&tasks[from], &tasks[to]) {
			to++
		}
		s.rows = append(s.rows, s.row(tasks[from:to]))
		from = to
	}
	if len(s.rows) == 0 {
		return nil, fmt.Errorf("no request to learn from: %w", poi.ErrEmpty)
	}
	return s, nil
}

// together reports whether a window that ends at the later request still gives the
// first half a window of actions, or all it has. Tasks that carry Extra, numbers
// computed for a request alone, only share a window that each would have alone.
func (s *FeedSampler) together(first, later *FeedTask) bool {
	a, b := int(first.Request.Pos), int(later.Request.Pos)
	from := max(0, b-s.enc.cfg.Window)
	if first.Request.User != later.Request.User {
		return false
	}
	if first.Extra != nil || later.Extra != nil {
		return from == max(0, a-s.enc.cfg.Window)
	}
	return a-from >= min(a, s.enc.cfg.Window/2)
}

func (s *FeedSampler) row(tasks []FeedTask) FeedRow {
	last := tasks[len(tasks)-1].Request
	r := FeedRow{User: last.User, Visits: s.d.Users[last.User].Visits[:last.Pos:last.Pos], From: max(0, int(last.Pos)-s.enc.cfg.Window)}
	extra := false
	for i := range tasks {
		r.Requests = append(r.Requests, tasks[i].Request)
		r.Weights = append(r.Weights, tasks[i].Weight)
		r.Extra = append(r.Extra, tasks[i].Extra)
		extra = extra || tasks[i].Extra != nil
	}
	if !extra {
		r.Extra = nil
	}
	return r
}

// Steps is the number of batches of an epoch.
func (s *FeedSampler) Steps(epoch int) int { return len(s.plan(epoch)) }

func (s *FeedSampler) plan(epoch int) []planned {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		s.order = plan(rand.New(rand.NewPCG(s.seed, uint64(epoch))), len(s.rows), func(i int) Shape { return s.enc.FeedShape(&s.rows[i], s.cfg) })
		s.epoch = epoch
	}
	return s.order
}

// Batch builds batch step of an epoch.
func (s *FeedSampler) Batch(epoch, step int) *FeedBatch {
	p := s.plan(epoch)[step]
	rows := make([]FeedRow, len(p.windows))
	for i, id := range p.windows {
		rows[i] = s.rows[id]
	}
	return s.enc.EncodeFeed(rows, p.shape, s.media)
}
