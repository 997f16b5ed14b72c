package mobility

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
)

const (
	// binsPerOctave equal bins lie between a power of two and the next, so a bin
	// is 0.8 to 1.6 % of its value wide and whole numbers to 128 have their own.
	binsPerOctave = 64
	binShift      = 52 - 6
	// least is where Dist stops telling values from zero.
	least = 1.0 / (1 << 30)
)

// Dist is the distribution of a law: how many values lie in bins of constant
// relative width, at most 1.6 %. The zero Dist is not ready; laws make them.
type Dist struct {
	whole    bool // values are whole numbers
	n, zero  int64
	sum      float64
	min, max float64
	bins     map[int32]int64
}

// Point is a point of a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// bin is values close together, as count values at value.
type bin struct {
	value float64
	count int64
}

func newDist(whole bool) *Dist { return &Dist{whole: whole, bins: map[int32]int64{}} }

// add counts a value; not above zero counts as zero.
func (d *Dist) add(v float64) {
	if !(v >= least) {
		v = 0
	}
	if d.n == 0 {
		d.min, d.max = v, v
	}
	d.n, d.sum, d.min, d.max = d.n+1, d.sum+v, min(d.min, v), max(d.max, v)
	if v == 0 {
		d.zero++
		return
	}
	d.bins[binOf(v)]++
}

// binOf is the number of the bin of a positive value: exponent and first bits
// of the mantissa.
func binOf(v float64) int32 { return int32(math.Float64bits(v) >> binShift) }

// edge is the lower end of a bin.
func edge(i int32) float64 { return math.Float64frombits(uint64(i) << binShift) }

// value is the number that stands for a bin.
func (d *Dist) value(i int32) float64 {
	lo, hi := edge(i), edge(i+1)
	mid := (lo + hi) / 2
	if d.whole {
		mid = math.Ceil(lo) + math.Floor((math.Ceil(hi)-math.Ceil(lo)-1)/2)
	}
	return min(max(mid, d.min), d.max)
}

// sorted lists what the Dist holds, least first.
func (d *Dist) sorted() []bin {
	out := make([]bin, 0, len(d.bins)+1)
	if d.zero > 0 {
		out = append(out, bin{0, d.zero})
	}
	for _, i := range slices.Sorted(maps.Keys(d.bins)) {
		out = append(out, bin{d.value(i), d.bins[i]})
	}
	return out
}

// N returns how many values there are.
func (d *Dist) N() int64 { return d.n }

// Zero returns how many of them are zero.
func (d *Dist) Zero() int64 { return d.zero }

// Mean returns the mean, 0 of nothing.
func (d *Dist) Mean() float64 {
	if d.n == 0 {
		return 0
	}
	return d.sum / float64(d.n)
}

// Max returns the greatest value, 0 of nothing.
func (d *Dist) Max() float64 { return d.max }

// Quantile returns the least value that a share p of all values does not exceed,
// to the width of a bin; p is clamped to [0, 1]. It is 0 of nothing.
func (d *Dist) Quantile(p float64) float64 {
	rank := int64(math.Ceil(min(max(p, 0), 1) * float64(d.n)))
	seen := int64(0)
	for _, b := range d.sorted() {
		if seen += b.count; seen >= rank {
			return b.value
		}
	}
	return 0
}

// Median returns Quantile(1/2).
func (d *Dist) Median() float64 { return d.Quantile(0.5) }

// Density returns the probability per unit over half octaves, for a curve with
// logarithmic axes; half octaves without a value are left out, and so is zero.
// For whole numbers Y is the mean probability of one number.
func (d *Dist) Density() []Point {
	counts := d.coarse()
	var out []Point
	for _, i := range slices.Sorted(maps.Keys(counts)) {
		if i == zeroBin {
			continue
		}
		lo, hi := edge(i*binsPerOctave/2), edge((i+1)*binsPerOctave/2)
		width, x := hi-lo, math.Sqrt(lo*hi)
		if d.whole {
			lo, hi = math.Ceil(lo), math.Ceil(hi)-1
			width, x = hi-lo+1, (lo+hi)/2
		}
		out = append(out, Point{x, float64(counts[i]) / float64(d.n) / width})
	}
	return out
}

// Tail returns, for every value there is but zero, the share of values at least
// as great.
func (d *Dist) Tail() []Point {
	var out []Point
	left := d.n
	for _, b := range d.sorted() {
		if b.value > 0 {
			out = append(out, Point{b.value, float64(left) / float64(d.n)})
		}
		left -= b.count
	}
	return out
}

// zeroBin is the key of coarse for zeros.
const zeroBin = math.MinInt32

// coarse counts by half octave: few bins, so that divergences of samples are
// not mostly noise.
func (d *Dist) coarse() map[int32]int64 {
	out := map[int32]int64{}
	for i, n := range d.bins {
		out[i/(binsPerOctave/2)] += n
	}
	if d.zero > 0 {
		out[zeroBin] = d.zero
	}
	return out
}

// MarshalJSON writes the summary of the distribution, not its bins.
func (d *Dist) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		N    int64   `json:"n"`
		Zero int64   `json:"zero"`
		Mean float64 `json:"mean"`
		P05  float64 `json:"p05"`
		P25  float64 `json:"p25"`
		P50  float64 `json:"p50"`
		P75  float64 `json:"p75"`
		P95  float64 `json:"p95"`
		Max  float64 `json:"max"`
	}{d.n, d.zero, d.Mean(), d.Quantile(.05), d.Quantile(.25), d.Quantile(.5), d.Quantile(.75), d.Quantile(.95), d.max})
}
