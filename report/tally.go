package report

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/whereto/whereto/eval"
)

const (
	maxRows       = 5_000_000 // lines of a file of predictions
	maxLine       = 1 << 20   // bytes of one
	maxMapLines   = 400       // errors drawn on the map
	maxMapPlaces  = 4000      // places drawn under them
	maxPairedRows = 100_000   // rows kept for a paired comparison of runs
	maxResamples  = 10_000    // of that comparison, whatever a result file says
)

// farthest is a little more metres than any two places are apart.
const farthest = 20_020_000.0

// historyFrom are the lower ends of the bins of history length, in visits; a
// bin ends before the next one begins.
var historyFrom = []int{0, 10, 20, 50, 100, 200, 500, 1000}

// errorEdges are the distances, in metres, at which the distribution of errors
// is counted exactly: 25 a decade from 1 m to beyond half the Earth's
// circumference, and the round ones for the table.
var errorEdges = func() []float64 {
	var edges []float64
	for i := range 184 { // the last is 20.9 million
		edges = append(edges, math.Pow(10, float64(i)/25))
	}
	edges = append(edges, roundMetres...)
	slices.Sort(edges)
	return slices.Compact(edges)
}()

// roundMetres are the rows of the table below the distribution of errors.
var roundMetres = []float64{10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 1_000_000}

// cell counts the rows of one bin and how many were right.
type cell struct {
	n           int
	hit1, hit10 float64
}

func (c *cell) add(hit1, hit10 float64) {
	c.n++
	c.hit1 += hit1
	c.hit10 += hit10
}

// tally is what is kept of the predictions of one split.
type tally struct {
	n       int
	hours   [24]cell
	history []cell  // by historyFrom
	within  []int   // rows by the first of errorEdges they do not exceed
	maxErr  float64 // metres
	places  lowest[spot]
	wrong   int                     // rows whose first answer is another place
	misses  lowest[eval.Prediction] // of them
	hits    []float64               // acc@1 of each row in file order, while n <= maxPairedRows
	users   []int32                 // dense number of each row's user, beside hits
	dense   map[string]int32
	order   uint64 // hash of (user, position) of all rows in order
}

// spot is a place on the map.
type spot struct{ lat, lng float64 }

func newTally() *tally {
	return &tally{history: make([]cell, len(historyFrom)), dense: map[string]int32{}, within: make([]int, len(errorEdges)+1),
		places: lowest[spot]{limit: maxMapPlaces}, misses: lowest[eval.Prediction]{limit: maxMapLines}}
}

// readTally streams a file of predictions. Errors name file and line.
func readTally(ctx context.Context, path string) (*tally, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read predictions: %w", err)
	}
	defer f.Close()
	t, err := scanTally(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%s, %w", filepath.Base(path), err)
	}
	return t, nil
}

// scanTally counts the predictions of a stream, one JSON object a line.
func scanTally(ctx context.Context, in io.Reader) (*tally, error) {
	t := newTally()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		if t.n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if t.n == maxRows {
			return nil, fmt.Errorf("line %d: at most %d are read; evaluate fewer targets", t.n+1, maxRows)
		}
		var p eval.Prediction
		err := json.Unmarshal(lines.Bytes(), &p)
		if err == nil {
			err = t.add(p)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", t.n+1, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: longer than %d bytes", t.n+1, maxLine)
	} else if err != nil {
		return nil, fmt.Errorf("line %d: %w", t.n+1, err)
	}
	return t, nil
}

// add counts one row, or says what is wrong with it.
func (t *tally) add(p eval.Prediction) error {
	if err := check(p); err != nil {
		return err
	}
	hit1, hit10 := hit(p.Rank, 1), hit(p.Rank, 10)
	t.n++
	t.hours[p.Hour].add(hit1, hit10)
	t.history[historyBin(p.History)].add(hit1, hit10)
	at, _ := slices.BinarySearch(errorEdges, p.ErrMetres)
	t.within[at]++
	t.maxErr = max(t.maxErr, p.ErrMetres)

	t.places.add(hashOf(p.POI), spot{p.Lat, p.Lng})
	t.places.add(hashOf(p.Top), spot{p.TopLat, p.TopLng})
	h := hashOf(p.User + "\x00" + strconv.Itoa(p.Pos))
	if p.Top != p.POI {
		t.wrong++
		t.misses.add(h, p)
	}
	t.order = (t.order ^ h) * 0x9e3779b97f4a7c15
	t.keep(p.User, hit1)
	return nil
}

// keep remembers a row for paired comparisons, or forgets all when there are
// too many.
func (t *tally) keep(user string, hit1 float64) {
	if t.n > maxPairedRows {
		t.hits, t.users, t.dense = nil, nil, nil
		return
	}
	id, known := t.dense[user]
	if !known {
		id = int32(len(t.dense))
		t.dense[user] = id
	}
	t.hits, t.users = append(t.hits, hit1), append(t.users, id)
}

func check(p eval.Prediction) error {
	bad := func(x float64, limit float64) bool { return !(math.Abs(x) <= limit) }
	switch {
	case p.Hour < 0 || p.Hour > 23:
		return fmt.Errorf("hour is %d, want 0 to 23", p.Hour)
	case p.History < 0:
		return fmt.Errorf("history is %d visits", p.History)
	case !(p.Rank >= 1) || math.IsInf(p.Rank, 0):
		return fmt.Errorf("rank is %v, want 1 or more", p.Rank)
	case !(p.ErrMetres >= 0 && p.ErrMetres <= farthest):
		return fmt.Errorf("err_m is %v, want 0 to %.0f", p.ErrMetres, farthest)
	case bad(p.Lat, 90) || bad(p.TopLat, 90) || bad(p.Lng, 180) || bad(p.TopLng, 180):
		return fmt.Errorf("coordinates %v, %v or %v, %v are not on Earth", p.Lat, p.Lng, p.TopLat, p.TopLng)
	}
	return nil
}

// hit is the chance that a place of this expected rank is among the first k:
// exact without ties and for a tie of two. A wider tie cannot be told from its
// expected rank and counts as one of two at most.
func hit(rank, k float64) float64 { return min(1, max(0, k+1-rank)) }

// historyBin returns the bin of a history of this many visits.
func historyBin(visits int) int {
	at, found := slices.BinarySearch(historyFrom, visits)
	if !found {
		at--
	}
	return at
}

// cdf returns the share of rows whose error is at most each of errorEdges.
func (t *tally) cdf() []float64 {
	out := make([]float64, len(errorEdges))
	sum := 0
	for i := range out {
		sum += t.within[i]
		out[i] = float64(sum) / float64(max(t.n, 1))
	}
	return out
}

// wilson is the 95 % score interval of a proportion: unlike the normal one it
// stays within 0 and 1 and is honest for the few rows of a rare hour.
func wilson(hits float64, n int) (lo, hi float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054
	m := float64(n)
	p := hits / m
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, mid-half), min(1, mid+half)
}

// hashOf spreads a text over 64 bits (FNV-1a with the finish of SplitMix64,
// since the low entropy of short numbers shows in FNV's high bits).
func hashOf(s string) uint64 {
	f := fnv.New64a()
	f.Write([]byte(s)) // never fails
	h := f.Sum64()
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// lowest keeps the distinct keys with the smallest hashes: a uniform sample
// without repeats that does not depend on the order of rows, so that two runs
// draw the same targets. A key is known by its hash alone.
type lowest[T any] struct {
	limit int
	full  bool // keys were left out
	items []kept[T]
}

type kept[T any] struct {
	hash  uint64
	value T
}

func (s *lowest[T]) add(hash uint64, value T) {
	at, old := slices.BinarySearchFunc(s.items, hash, func(k kept[T], h uint64) int { return cmp.Compare(k.hash, h) })
	if old {
		return
	}
	if len(s.items) == s.limit {
		s.full = true
		if at == s.limit {
			return
		}
		s.items = s.items[:s.limit-1]
	}
	s.items = slices.Insert(s.items, at, kept[T]{hash, value})
}
