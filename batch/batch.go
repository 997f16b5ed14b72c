// Package batch turns sequences into fixed-shape padded arrays for the network,
// in training and in serving alike, and fixes the order of training batches.
//
// Axes: B windows, N actions of a window, M requests of a window, C candidates of
// a request, F features of a candidate, P profile tokens. A window is a stretch of
// a user's actions; a request is a position in it that the network must predict
// from everything before. Places are dense ids plus one; 0 is padding.
//
// The order of batches is a pure function of (seed, epoch, step): seeking costs
// nothing, so a resumed run reads the same batches. Shapes come from a few
// buckets, so that a network is compiled a handful of times and never for a
// single request.
package batch

import (
	"fmt"
	"time"

	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Where the user stands at a request (docs/MODEL.md).
const (
	LocationNone     = "none"     // the paper's adaptation to check-ins: no user location
	LocationUser     = "user"     // as logged with the action
	LocationPrevious = "previous" // ours, for check-ins: the POI of the previous action
)

// Config sets windows and batches.
type Config struct {
	Window     int     `yaml:"window"`      // actions the decoder sees, N
	Chunk      int     `yaml:"chunk"`       // requests of a training window, M; the rest of the window is context
	Size       int     `yaml:"size"`        // windows of a batch, B
	Location   string  `yaml:"location"`    // none, user or previous
	LastWeight float64 `yaml:"last_weight"` // weight of targets that end a trajectory (ours; 1 = off)
	Profile    int     `yaml:"profile"`     // profile tokens before the sequence, P; 0 = none
	GeoTable   int     `yaml:"geo_table"`   // rows of each of the 12 hashed grid tables
	Curriculum int     `yaml:"curriculum"`  // epochs on single-status runs before whole sequences; 0 = off
	CacheMB    int     `yaml:"cache_mb"`    // memory for evidence computed in the first epoch
}

// Default is the setting of the shipped recipes.
func Default() Config {
	return Config{Window: 64, Chunk: 32, Size: 16, Location: LocationPrevious, LastWeight: 1, GeoTable: 2048, CacheMB: 4096}
}

// Validate reports the first value out of range.
func (c Config) Validate() error {
	switch {
	case c.Window < 2 || c.Window > 4096:
		return fmt.Errorf("batch.window is %d, want 2 to 4096", c.Window)
	case c.Chunk < 1 || c.Chunk > c.Window:
		return fmt.Errorf("batch.chunk is %d, want 1 to batch.window (%d)", c.Chunk, c.Window)
	case c.Size < 1 || c.Size > 65536:
		return fmt.Errorf("batch.size is %d, want 1 to 65536", c.Size)
	case c.Location != LocationNone && c.Location != LocationUser && c.Location != LocationPrevious:
		return fmt.Errorf("batch.location is %q, want none, user or previous", c.Location)
	case !(c.LastWeight > 0 && c.LastWeight <= 1e6): // also refuses NaN
		return fmt.Errorf("batch.last_weight is %g, want more than 0 and at most 1e6", c.LastWeight)
	case c.Profile < 0 || c.Profile > 16:
		return fmt.Errorf("batch.profile is %d, want 0 to 16", c.Profile)
	case c.GeoTable < 2 || c.GeoTable > 1<<24:
		return fmt.Errorf("batch.geo_table is %d, want 2 to %d", c.GeoTable, 1<<24)
	case c.Curriculum < 0:
		return fmt.Errorf("batch.curriculum is %d, want 0 or more epochs", c.Curriculum)
	case c.CacheMB < 0 || c.CacheMB > 1<<20:
		return fmt.Errorf("batch.cache_mb is %d, want 0 to %d", c.CacheMB, 1<<20)
	}
	return nil
}

// Positions of the arrays of a batch. B first in every shape.
const (
	InPlace     = iota // [B, N] int32, place + 1
	InTimes            // [B, N, 4] int32: month 0..11, weekday 0..6, day 0..30, hour 0..23
	InClock            // [B, N] float32, local hours before the end of the window
	InCells            // [B, N, 12] int32, hashed cells of the user's location, 0 if unknown
	InAt               // [B, N, 2] float32, kilometres east and north of the origin: the action's POI
	InFrom             // [B, N, 2] float32, the same for where the user stood: never the action's own POI
	InType             // [B, N] int32, action type + 1
	InSegment          // [B, N] float32, trajectory number within the sequence
	InUser             // [B] int32, user + 1, 0 if unknown
	InProfile          // [B, P] int32, profile token + 1
	InRequest          // [B, M] int32, position of the request in the window
	InWeight           // [B, M] float32, 0 for padding
	InLabel            // [B, M] int32, the target's place + 1
	InCandidate        // [B, M, C] int32, candidate place + 1
	InFeature          // [B, M, C, F] float32, evidence
	InContext          // [B, M, X] float32, evidence of the request
	InChosen           // [B, M] int32, the target's position among the candidates, -1 if absent
	NumInputs
)

// Array is one dense array; exactly one of I and F is set.
type Array struct {
	Dims []int
	I    []int32
	F    []float32
}

// Batch is what one step of training, or one call of inference, reads.
type Batch struct {
	Arrays  [NumInputs]Array
	Weight  float64 // sum of InWeight
	Targets int     // requests that are not padding
	Tokens  int     // actions that are not padding
}

// Shape is a bucket.
type Shape struct{ B, N, M, C int }

// Encoder turns rows into arrays. It is immutable and safe for concurrent use.
type Encoder struct {
	cfg      Config
	places   []poi.Place
	profiles [][]int32 // user -> profile tokens
	vocab    int       // profile vocabulary
	cells    [][geo.GridLevels]uint64
	x, y     []float32 // place -> kilometres from the origin
	project  projection
}

// NewEncoder prepares places and profiles of a data set.
func NewEncoder(d *poi.Dataset, cfg Config) *Encoder {
	e := &Encoder{cfg: cfg, places: d.Places, project: centre(d.Places)}
	e.profiles, e.vocab = profileTokens(d.Users, cfg.Profile)
	e.x, e.y = make([]float32, len(d.Places)), make([]float32, len(d.Places))
	e.cells = make([][geo.GridLevels]uint64, len(d.Places))
	for i, p := range d.Places {
		e.x[i], e.y[i] = e.project.km(p.Lat, p.Lng)
		e.cells[i] = geo.Cells(p.Lat, p.Lng)
	}
	return e
}

// ProfileVocabulary is the number of distinct profile tokens.
func (e *Encoder) ProfileVocabulary() int { return e.vocab }

// Row is one window to encode.
type Row struct {
	User     int32
	Sequence []poi.Visit // the user's whole sequence up to the end of the window
	From     int         // the window is Sequence[From:]
	Requests []int       // positions in Sequence to predict
	Open     bool        // the last action is a request whose POI is not known
}

// Encode fills a batch of the given shape; rows beyond len(rows) are padding.
// weight gives a request's weight; sets its evidence, and may be nil when C is 0.
func (e *Encoder) Encode(rows []Row, s Shape, weight func(r *Row, at int) float64, sets func(r *Row, at int) *evidence.Set) *Batch {
	b := newBatch(s, e.cfg.Profile)
	for i := range rows {
		e.window(b, &rows[i], i, s)
		e.requests(b, &rows[i], i, s, weight, sets)
	}
	return b
}

func newBatch(s Shape, profile int) *Batch {
	b := &Batch{}
	ints := func(at int, dims ...int) { b.Arrays[at] = Array{Dims: dims, I: make([]int32, product(dims))} }
	floats := func(at int, dims ...int) { b.Arrays[at] = Array{Dims: dims, F: make([]float32, product(dims))} }
	ints(InPlace, s.B, s.N)
	ints(InTimes, s.B, s.N, 4)
	floats(InClock, s.B, s.N)
	ints(InCells, s.B, s.N, geo.GridLevels)
	floats(InAt, s.B, s.N, 2)
	floats(InFrom, s.B, s.N, 2)
	ints(InType, s.B, s.N)
	floats(InSegment, s.B, s.N)
	ints(InUser, s.B)
	ints(InProfile, s.B, max(1, profile))
	ints(InRequest, s.B, s.M)
	floats(InWeight, s.B, s.M)
	ints(InLabel, s.B, s.M)
	ints(InCandidate, s.B, s.M, s.C)
	floats(InFeature, s.B, s.M, s.C, evidence.NumFeatures)
	floats(InContext, s.B, s.M, evidence.NumContext)
	ints(InChosen, s.B, s.M)
	return b
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// window encodes the actions of row i, which may be none.
func (e *Encoder) window(b *Batch, r *Row, i int, s Shape) {
	end := 0.0
	if visits := r.Sequence[r.From:]; len(visits) > 0 {
		end = localHours(visits[len(visits)-1])
	}
	e.who(b, r.User, i)
	e.actions(b, r, i, s.N, end)
}

// who encodes the user of row i.
func (e *Encoder) who(b *Batch, user int32, i int) {
	b.Arrays[InUser].I[i] = user + 1
	if user >= 0 && e.cfg.Profile > 0 {
		copy(b.Arrays[InProfile].I[i*e.cfg.Profile:(i+1)*e.cfg.Profile], e.profiles[user])
	}
}

// actions encodes the window's actions in a bucket of size; end is the hour that
// clocks count back from. It returns the number of the last trajectory.
func (e *Encoder) actions(b *Batch, r *Row, i, size int, end float64) (segment float32) {
	visits := r.Sequence[r.From:]
	if len(visits) > size {
		panic(fmt.Sprintf("batch: window of %d actions in a bucket of %d", len(visits), size))
	}
	for n := range visits {
		v, at := &visits[n], i*size+n
		known := !(r.Open && n == len(visits)-1)
		copy(b.Arrays[InTimes].I[at*4:], calendar(v.Local()))
		if n > 0 && apart(&visits[n-1], v.TimeMS, v.OffsetMin) {
			segment++
		}
		b.Arrays[InSegment].F[at] = segment
		b.Arrays[InClock].F[at] = float32(end - localHours(*v))
		if known {
			b.Arrays[InPlace].I[at] = v.POI + 1
			b.Arrays[InAt].F[at*2], b.Arrays[InAt].F[at*2+1] = e.x[v.POI], e.y[v.POI]
			b.Arrays[InType].I[at] = int32(v.Type) + 1
		}
		e.stand(r.Sequence[:r.From+n], v, b.Arrays[InCells].I[at*geo.GridLevels:(at+1)*geo.GridLevels], b.Arrays[InFrom].F[at*2:at*2+2])
		b.Tokens++
	}
	return segment
}

// calendar is month, weekday, day and hour, from 0.
func calendar(t time.Time) []int32 {
	return []int32{int32(t.Month()) - 1, int32(t.Weekday()), int32(t.Day()) - 1, int32(t.Hour())}
}

// apart reports whether a moment begins a new trajectory after v.
func apart(v *poi.Visit, ms int64, offset int16) bool {
	return ms-v.TimeMS+60_000*int64(offset-v.OffsetMin) > trajectoryGapMS
}

// trajectoryGapMS is the gap of local time that ends a trajectory (docs/protocols.md).
const trajectoryGapMS = 24 * 3_600_000

// stand encodes where the user was just before v, which follows the visits of past.
func (e *Encoder) stand(past []poi.Visit, v *poi.Visit, cells []int32, from []float32) {
	switch {
	case v.HasUser:
		from[0], from[1] = e.project.km(float64(v.UserLat), float64(v.UserLng))
	case len(past) > 0:
		last := past[len(past)-1].POI
		from[0], from[1] = e.x[last], e.y[last]
	}
	switch {
	case e.cfg.Location == LocationUser && v.HasUser:
		e.hash(geo.Cells(float64(v.UserLat), float64(v.UserLng)), cells)
	case e.cfg.Location == LocationPrevious && len(past) > 0:
		e.hash(e.cells[past[len(past)-1].POI], cells)
	}
}

// hash writes table rows 1..GeoTable-1; row 0 means unknown.
func (e *Encoder) hash(cells [geo.GridLevels]uint64, out []int32) {
	for l, c := range cells {
		out[l] = 1 + geo.HashCell(l, c, e.cfg.GeoTable-1)
	}
}

// PlaceCells returns the hashed cells of every place, [len(places)+1, 12], row 0
// for padding.
func (e *Encoder) PlaceCells() []int32 {
	out := make([]int32, (len(e.places)+1)*geo.GridLevels)
	for i := range e.places {
		e.hash(e.cells[i], out[(i+1)*geo.GridLevels:(i+2)*geo.GridLevels])
	}
	return out
}

// requests encodes targets and evidence of row i.
func (e *Encoder) requests(b *Batch, r *Row, i int, s Shape, weight func(*Row, int) float64, sets func(*Row, int) *evidence.Set) {
	if len(r.Requests) > s.M {
		panic(fmt.Sprintf("batch: %d requests in a bucket of %d", len(r.Requests), s.M))
	}
	for m, at := range r.Requests {
		j := i*s.M + m
		w := weight(r, at)
		b.Arrays[InRequest].I[j] = int32(at - r.From)
		b.Arrays[InWeight].F[j] = float32(w)
		b.Weight += w
		b.Targets++
		label := int32(-1)
		if !(r.Open && at == len(r.Sequence)-1) {
			label = r.Sequence[at].POI
		}
		b.Arrays[InLabel].I[j] = label + 1
		b.Arrays[InChosen].I[j] = -1
		if sets == nil {
			continue
		}
		set := sets(r, at)
		n := min(len(set.POIs), s.C)
		for c, p := range set.POIs[:n] {
			b.Arrays[InCandidate].I[j*s.C+c] = p + 1
		}
		copy(b.Arrays[InFeature].F[j*s.C*evidence.NumFeatures:], set.Features[:n*evidence.NumFeatures])
		copy(b.Arrays[InContext].F[j*evidence.NumContext:(j+1)*evidence.NumContext], set.Context)
		if k := set.Index(label); k >= 0 && int(k) < n {
			b.Arrays[InChosen].I[j] = k
		}
	}
}

func localHours(v poi.Visit) float64 {
	return float64(v.TimeMS+int64(v.OffsetMin)*60_000) / 3_600_000
}
