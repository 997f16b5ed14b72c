package spacetime

import (
	"math"
	"testing"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/testkit"
)

// The loss, its diagnostics and every log-probability of every request equal the
// float64 oracle, with each addition on and off.
func TestEqualsOracle(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		for k, v := range variants() {
			t.Run(name+"/"+v.name, func(t *testing.T) {
				tr := newTrial(t, be, v, uint64(k))
				n := tr.network(tr.b)
				got := tr.say(tr.b)
				near(t, "loss", got[saidLoss], []float64{n.loss()})
				r := 0
				for i := range tr.b.Arrays[batch.InPlace].Dims[0] {
					for m, want := range n.answers(i) {
						if n.floats(batch.InWeight, i, m)[0] > 0 {
							check(t, tr, got, r, want)
						}
						r++
					}
				}
				diagnostics(t, n, got)
			})
		}
	}
}

// check compares request r.
func check(t *testing.T, tr *trial, got [][]float64, r int, want said) {
	t.Helper()
	at := func(x []float64, width int) []float64 { return x[r*width : (r+1)*width] }
	near(t, "first token", at(got[saidFirst], len(want.first))[1:], want.first[1:])
	if tr.v.hier {
		near(t, "inner token", at(got[saidInner], len(want.inner))[1:], want.inner[1:])
	}
	if tr.v.c.CopyHead {
		real := 0
		for real < len(want.copied) && want.copied[real] > -1e6 { // candidates that are not padding
			real++
		}
		near(t, "copied", at(got[saidCopied], len(want.copied))[:real], want.copied[:real])
		near(t, "gate", gates(got[saidGate][r]), gates(want.gate))
	}
}

// gates are the log-probabilities of copying and of generating: a logit near zero
// has no relative error to speak of.
func gates(logit float64) []float64 {
	return []float64{-math.Log1p(math.Exp(-logit)), -math.Log1p(math.Exp(logit))}
}

// diagnostics compares the two auxiliary figures of the loss.
func diagnostics(t *testing.T, n *network, got [][]float64) {
	t.Helper()
	sum, share, total := 0.0, 0.0, 0.0
	for i := range n.b.Arrays[batch.InPlace].Dims[0] {
		for m, s := range n.answers(i) {
			if w := float64(n.floats(batch.InWeight, i, m)[0]); w > 0 {
				generated, _ := n.logProb(i, m, s)
				sum, total = sum-w*generated, total+w
				share += w / (1 + math.Exp(-s.gate))
			}
		}
	}
	near(t, "generate_nll", got[saidNLL], []float64{sum / total})
	if n.c.CopyHead {
		near(t, "copy_share", got[saidCopyShare], []float64{share / total})
	} else {
		near(t, "copy_share", got[saidCopyShare], []float64{0})
	}
}

// near wants a relative error below 1e-4 in the Euclidean norm.
func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	num, den := 0.0, 1e-30
	for i := range got {
		num += (got[i] - want[i]) * (got[i] - want[i])
		den += want[i] * want[i]
	}
	if e := math.Sqrt(num / den); !(e < 1e-4) {
		t.Errorf("%s: relative error %.2g, want < 1e-4\n got %.6g\nwant %.6g", what, e, got, want)
	}
}
