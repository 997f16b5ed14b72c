package mobility

import "math"

// PowerLaw is the density P(x) proportional to (x+X0)^-Beta exp(-x/Cut), the
// truncated power law of human displacements (González, Hidalgo and Barabási,
// "Understanding individual human mobility patterns", 2008, equation 1; they
// found Beta 1.75, X0 1.5 km and Cut 400 km).
type PowerLaw struct {
	Beta float64 `json:"beta"`
	X0   float64 `json:"x0_m"`  // metres
	Cut  float64 `json:"cut_m"` // metres
	N    int64   `json:"n"`     // values it was fitted to; 0: too few, no fit
	// KS is the greatest difference between the fitted and the measured share of
	// values below any distance.
	KS float64 `json:"ks"`
}

const (
	// fitFrom is the least distance of a fit: below it, coordinates of POIs are
	// no better known. It ends at the quantile fitShare: the few longest trips go to
	// other towns, which lie where they lie and follow no law.
	fitFrom, fitShare = 100, 0.99
	// fitLeast is the fewest trips worth three parameters.
	fitLeast = 200
	// fitBins is how many bins of a Dist make one of a fit.
	fitBins = binsPerOctave / 8
)

// cells are the bins of a fit.
type cells struct {
	mid, width, count []float64
	total             float64
}

// fitPowerLaw fits by maximum likelihood, given that a value lies between fitFrom
// metres and the quantile fitShare.
func (d *Dist) fitPowerLaw() PowerLaw {
	var c cells
	for i := binOf(fitFrom) / fitBins; i <= binOf(max(d.Quantile(fitShare), 2*fitFrom))/fitBins; i++ {
		lo, hi := edge(i*fitBins), edge((i+1)*fitBins)
		n := 0.0
		for j := i * fitBins; j < (i+1)*fitBins; j++ {
			n += float64(d.bins[j])
		}
		c.mid, c.width, c.count = append(c.mid, (lo+hi)/2), append(c.width, hi-lo), append(c.count, n)
		c.total += n
	}
	if c.total < fitLeast {
		return PowerLaw{N: 0}
	}
	best, at := math.Inf(-1), [3]float64{}
	// The likelihood may have a ridge between X0 and Beta: two starts, one for
	// towns and one for countries.
	for _, start := range [][3]float64{{1.75, math.Log(1500), math.Log(400_000)}, {1, math.Log(500), math.Log(20_000)}} {
		if p, like := c.climb(start); like > best {
			best, at = like, p
		}
	}
	law := PowerLaw{Beta: at[0], X0: math.Exp(at[1]), Cut: math.Exp(at[2]), N: int64(c.total)}
	model := c.model(at)
	var below, measured float64
	for i := range model {
		below, measured = below+model[i], measured+c.count[i]/c.total
		law.KS = max(law.KS, math.Abs(below-measured))
	}
	return law
}

// climb is a compass search: try a step along each axis, keep what is better,
// halve the steps when nothing is.
func (c *cells) climb(at [3]float64) ([3]float64, float64) {
	low := [3]float64{0, math.Log(1), math.Log(200)}
	high := [3]float64{6, math.Log(100_000), math.Log(1e8)}
	best := c.likelihood(at)
	step := [3]float64{0.4, 0.8, 0.8}
	for range 400 {
		moved := false
		for axis := range at {
			for _, sign := range []float64{1, -1} {
				try := at
				try[axis] = min(max(at[axis]+sign*step[axis], low[axis]), high[axis])
				if like := c.likelihood(try); like > best {
					at, best, moved = try, like, true
					break
				}
			}
		}
		if moved {
			continue
		}
		for axis := range step {
			step[axis] /= 2
		}
		if step[0] < 1e-4 {
			break
		}
	}
	return at, best
}

// model returns the probability of each cell.
func (c *cells) model(at [3]float64) []float64 {
	x0, cut, sum := math.Exp(at[1]), math.Exp(at[2]), 0.0
	out := make([]float64, len(c.mid))
	for i, x := range c.mid {
		out[i] = math.Exp(-at[0]*math.Log(x+x0)-x/cut) * c.width[i]
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// likelihood is the mean log likelihood of a value.
func (c *cells) likelihood(at [3]float64) float64 {
	like := 0.0
	for i, p := range c.model(at) {
		if c.count[i] > 0 {
			like += c.count[i] * math.Log(max(p, 1e-300))
		}
	}
	return like / c.total
}

// slope is the least-squares slope of log Y against log X over points with both
// above zero; 0 if fewer than three are left.
func slope(points []Point) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, p := range points {
		if p.X > 0 && p.Y > 0 {
			x, y := math.Log(p.X), math.Log(p.Y)
			n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
		}
	}
	if n < 3 || n*sxx-sx*sx <= 0 {
		return 0
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}
