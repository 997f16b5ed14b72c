package objective_test

import "math"

// The losses as printed, in plain float64 and with no care for overflow.

// problem is one batch. What a, b, first and second are depends on the loss.
type problem struct {
	rows, columns int
	a, b          []float64 // [rows*columns]
	first, second []bool    // [rows*columns]
	w             []float64 // [rows]
}

// sides lists the columns of a row's positives and negatives.
func (p *problem) sides(r int, positive, negative func(i int) bool) (pos, neg []int) {
	for i := r * p.columns; i < (r+1)*p.columns; i++ {
		switch {
		case positive(i):
			pos = append(pos, i)
		case negative(i):
			neg = append(neg, i)
		}
	}
	return pos, neg
}

// mean is the weighted mean of a row's loss over the rows that have both sides.
func (p *problem) mean(positive, negative func(i int) bool, row func(pos, neg []int) float64) float64 {
	sum, total := 0.0, 0.0
	for r := range p.rows {
		pos, neg := p.sides(r, positive, negative)
		if p.w[r] > 0 && len(pos) > 0 && len(neg) > 0 {
			sum += p.w[r] * row(pos, neg)
			total += p.w[r]
		}
	}
	if total == 0 {
		return 0
	}
	return sum / total
}

// preferred is mean for losses whose masks are positive and negative.
func (p *problem) preferred(row func(pos, neg []int) float64) float64 {
	return p.mean(func(i int) bool { return p.first[i] }, func(i int) bool { return p.second[i] }, row)
}

func (p *problem) infoNCE(tau float64) float64 {
	valid := func(i int) bool { return p.second[i] }
	return p.mean(func(i int) bool { return p.first[i] && valid(i) }, valid, func(pos, neg []int) float64 {
		up, down := 0.0, 0.0
		for _, j := range pos {
			up += math.Exp(p.a[j] / tau)
		}
		for _, k := range neg {
			down += math.Exp(p.a[k] / tau)
		}
		return -math.Log(up / (up + down))
	})
}

func (p *problem) binary() float64 {
	sum, total := 0.0, 0.0
	for i, z := range p.a {
		if w := p.w[i/p.columns]; w > 0 && p.second[i] {
			sum -= w * (p.b[i]*math.Log(sigma(z)) + (1-p.b[i])*math.Log(1-sigma(z)))
			total += w
		}
	}
	if total == 0 {
		return 0
	}
	return sum / total
}

func (p *problem) dpo(beta float64, mean bool) float64 {
	return p.preferred(func(pos, neg []int) float64 {
		sum := 0.0
		for _, j := range pos {
			for _, k := range neg {
				sum -= math.Log(sigma(beta*(p.a[j]-p.b[j]) - beta*(p.a[k]-p.b[k])))
			}
		}
		if mean {
			sum /= float64(len(pos) * len(neg))
		}
		return sum
	})
}

func (p *problem) sdpo(beta float64, mean bool) float64 {
	return p.preferred(func(pos, neg []int) float64 {
		sum := 0.0
		for _, j := range pos {
			inner := 0.0
			for _, k := range neg {
				inner += math.Exp(beta * ((p.a[k] - p.b[k]) - (p.a[j] - p.b[j])))
			}
			sum -= math.Log(sigma(-math.Log(inner)))
		}
		if mean {
			sum /= float64(len(pos))
		}
		return sum
	})
}

func (p *problem) surprise() float64 {
	return p.preferred(func(pos, _ []int) float64 {
		sum := 0.0
		for _, j := range pos {
			sum -= p.a[j] / float64(len(pos))
		}
		return sum
	})
}

// measure is chosen, rejected, margin and accuracy of Measure.
func (p *problem) measure(beta float64) [4]float64 {
	reward := func(i int) float64 { return beta * (p.a[i] - p.b[i]) }
	average := func(of []int) float64 {
		sum := 0.0
		for _, i := range of {
			sum += reward(i)
		}
		return sum / float64(len(of))
	}
	chosen := p.preferred(func(pos, _ []int) float64 { return average(pos) })
	rejected := p.preferred(func(_, neg []int) float64 { return average(neg) })
	return [4]float64{chosen, rejected, chosen - rejected, p.pairAccuracy(reward)}
}

func (p *problem) pairAccuracy(score func(i int) float64) float64 {
	return p.preferred(func(pos, neg []int) float64 {
		right := 0.0
		for _, j := range pos {
			for _, k := range neg {
				switch {
				case score(j) > score(k):
					right++
				case score(j) == score(k):
					right += 0.5
				}
			}
		}
		return right / float64(len(pos)*len(neg))
	})
}

func sigma(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
