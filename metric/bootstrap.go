package metric

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// DefaultResamples is the number of bootstrap resamples when none is given.
const DefaultResamples = 2000

// maxResamples bounds memory and time; more adds nothing to a 95 % interval.
const maxResamples = 1_000_000

// Interval is a mean with its 95 % percentile bootstrap interval.
type Interval struct {
	Value float64 `json:"value"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
}

// Percent prints a share in percent with its interval.
func (v Interval) Percent() string {
	return fmt.Sprintf("%.1f [%.1f, %.1f]", 100*v.Value, 100*v.Lo, 100*v.Hi)
}

// Bootstrap says how to draw resamples. Equal settings and an equal number of
// rows give equal draws, so that figures of several scorers are paired.
type Bootstrap struct {
	Seed      int64
	Resamples int // 0: DefaultResamples
	// Cluster gives each row its cluster, for example its user. If set, whole
	// clusters are drawn: rows of one person are not independent, and drawing
	// them one by one makes intervals too narrow. Numbers need not be dense.
	Cluster []int32
}

// Mean returns the mean of the rows with its interval. Rows must be finite.
func (b Bootstrap) Mean(rows []float64) (Interval, error) {
	out, err := b.Means([][]float64{rows})
	if err != nil {
		return Interval{}, err
	}
	return out[0], nil
}

// Difference returns the mean of x-y over paired rows with its interval. If the
// interval excludes zero, the two differ at the 5 % level.
func (b Bootstrap) Difference(x, y []float64) (Interval, error) {
	if len(x) != len(y) {
		return Interval{}, fmt.Errorf("paired bootstrap: %w: %d and %d rows", ErrInput, len(x), len(y))
	}
	diff := make([]float64, len(x))
	for i := range x {
		diff[i] = x[i] - y[i]
	}
	return b.Mean(diff)
}

// Means returns the interval of each column, all from the same resamples.
// cols[c][row]; columns have equal length of at least 1.
func (b Bootstrap) Means(cols [][]float64) ([]Interval, error) {
	if len(cols) == 0 {
		return nil, nil
	}
	n := len(cols[0])
	resamples := b.Resamples
	if resamples == 0 {
		resamples = DefaultResamples
	}
	if err := b.check(cols, n, resamples); err != nil {
		return nil, err
	}
	units := b.units(n)
	sums, sizes := unitSums(cols, units)

	draws := make([][]float64, len(cols))
	for c := range draws {
		draws[c] = make([]float64, resamples)
	}
	rng := rand.New(rand.NewPCG(uint64(b.Seed), 0x77686572))
	total := make([]float64, len(cols))
	for r := range resamples {
		clear(total)
		rows := 0.0
		for range sizes {
			u := rng.IntN(len(sizes))
			rows += sizes[u]
			for c, x := range sums[u*len(cols) : (u+1)*len(cols)] {
				total[c] += x
			}
		}
		for c := range cols {
			draws[c][r] = total[c] / rows
		}
	}

	out := make([]Interval, len(cols))
	for c, col := range cols {
		slices.Sort(draws[c])
		out[c] = Interval{Value: mean(col), Lo: sortedQuantile(draws[c], 0.025), Hi: sortedQuantile(draws[c], 0.975)}
	}
	return out, nil
}

func (b Bootstrap) check(cols [][]float64, n, resamples int) error {
	switch {
	case n == 0:
		return fmt.Errorf("bootstrap: %w: no rows", ErrInput)
	case resamples < 1 || resamples > maxResamples:
		return fmt.Errorf("bootstrap: %w: %d resamples, want 1 to %d", ErrInput, resamples, maxResamples)
	case b.Cluster != nil && len(b.Cluster) != n:
		return fmt.Errorf("bootstrap: %w: %d clusters for %d rows", ErrInput, len(b.Cluster), n)
	}
	for c, col := range cols {
		if len(col) != n {
			return fmt.Errorf("bootstrap: %w: column %d has %d rows, column 0 has %d", ErrInput, c, len(col), n)
		}
		for i, x := range col {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("bootstrap: %w: row %d of column %d is %v", ErrInput, i, c, x)
			}
		}
	}
	return nil
}

// units maps each row to the dense number of what is drawn with it.
func (b Bootstrap) units(n int) []int {
	units := make([]int, n)
	if b.Cluster == nil {
		for i := range units {
			units[i] = i
		}
		return units
	}
	dense := map[int32]int{}
	for i, c := range b.Cluster {
		u, ok := dense[c]
		if !ok {
			u = len(dense)
			dense[c] = u
		}
		units[i] = u
	}
	return units
}

// unitSums returns sums[unit*len(cols)+c], unit-major because a draw reads all
// columns of one unit, and the rows in each unit.
func unitSums(cols [][]float64, units []int) (sums, sizes []float64) {
	n := slices.Max(units) + 1
	sums, sizes = make([]float64, n*len(cols)), make([]float64, n)
	for i, u := range units {
		sizes[u]++
		for c, col := range cols {
			sums[u*len(cols)+c] += col[i]
		}
	}
	return sums, sizes
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}
