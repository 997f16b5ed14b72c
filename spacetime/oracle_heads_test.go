package spacetime

import (
	"math"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/internal/oracle"
)

// answer is what the network says of request m of window i.
func (n *network) answer(i, m int, tokens []token, hidden [][]float64) said {
	action := int(n.ints(batch.InRequest, i, m)[0])
	at := 0
	for tokens[at] != (token{action: action}) {
		at++
	}
	h := hidden[at]
	var out said
	if n.t.Hier {
		out.first = n.distribution("blocks", h, func(v int) []float64 { return n.row("block", v, len(h)) })
		out.inner = n.distribution("inners", hidden[at+1], func(v int) []float64 { return n.row("place", v, len(h)) })
	} else {
		out.first = n.distribution("flat", h, func(v int) []float64 { return n.places[v] })
	}
	if n.c.CopyHead {
		out.copied, out.gate = n.copying(i, m, h)
	}
	return out
}

// distribution is the log-softmax over a vocabulary, whose entry 0 is no choice.
func (n *network) distribution(head string, h []float64, vector func(v int) []float64) []float64 {
	logits := append([]float64(nil), n.w[head+"/bias"]...)
	if n.c.TiedEmbeddings {
		asked := oracle.Product(h, n.w[head+"/map"], len(h))
		for v := range logits {
			logits[v] += oracle.Dot(asked, vector(v))
		}
	} else {
		oracle.Add(logits, oracle.Product(h, n.w[head+"/out"], len(logits)))
	}
	logits[0] = math.Inf(-1)
	return logSoftmax(logits)
}

// copying is the copy head: log-probabilities of the candidates and the gate.
func (n *network) copying(i, m int, h []float64) ([]float64, float64) {
	about := append([]float64(nil), h...)
	if n.c.StateDropout == 1 {
		clear(about)
	}
	for _, x := range n.floats(batch.InContext, i, m) {
		about = append(about, float64(x))
	}
	candidates := n.ints(batch.InCandidate, i, m)
	logits := make([]float64, len(candidates))
	for k, place := range candidates {
		if n.c.Pointer {
			logits[k] = oracle.Dot(oracle.Product(about, n.w["copy/query"], len(h)), n.places[place])
		}
		if n.c.Evidence {
			logits[k] += n.judged(about, n.floats(batch.InFeature, i, m, k))
		}
		if place == 0 {
			logits[k] = -1e9
		}
	}
	return logSoftmax(logits), oracle.Dot(about, n.w["copy/gate"]) + n.w["copy/gate_bias"][0]
}

// judged scores one candidate's evidence.
func (n *network) judged(about []float64, features []float32) float64 {
	x := make([]float64, evidence.NumFeatures)
	for f := range x {
		scaled := (float64(features[f]) - float64(n.t.Mean[f])) * float64(n.t.Scale[f])
		x[f] = math.Max(-6, math.Min(6, scaled))
	}
	y := plus(oracle.Product(x, n.w["copy/evidence"], n.c.HeadHidden), oracle.Product(about, n.w["copy/about"], n.c.HeadHidden))
	y = swish(plus(y, n.w["copy/bias1"]))
	y = swish(plus(oracle.Product(y, n.w["copy/hidden"], n.c.HeadOut), n.w["copy/bias2"]))
	return oracle.Dot(y, n.w["copy/out"])
}

// logProb is the log-probability of request m's target by generation alone and by
// the mixture of copying and generating.
func (n *network) logProb(i, m int, s said) (generated, mixture float64) {
	place := n.ints(batch.InLabel, i, m)[0]
	if n.t.Hier {
		generated = s.first[n.t.Block[place]] + s.inner[n.t.Place[place]]
	} else {
		generated = s.first[place]
	}
	if !n.c.CopyHead {
		return generated, generated
	}
	g := 1 / (1 + math.Exp(-s.gate))
	p := (1 - g) * math.Exp(generated)
	if k := n.ints(batch.InChosen, i, m)[0]; k >= 0 {
		p += g * math.Exp(s.copied[k])
	}
	return generated, math.Log(p)
}

// loss is the weighted mean over all requests.
func (n *network) loss() float64 {
	sum, total := 0.0, 0.0
	for i := range n.b.Arrays[batch.InPlace].Dims[0] {
		for m, s := range n.answers(i) {
			w := float64(n.floats(batch.InWeight, i, m)[0])
			if w == 0 {
				continue
			}
			generated, mixture := n.logProb(i, m, s)
			sum -= w * mixture
			if n.c.CopyHead {
				sum -= w * n.c.GenerateWeight * generated
			}
			total += w
		}
	}
	return sum / (total + 1e-6)
}
