package decoder_test

import (
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/internal/testkit"
)

// trainStep returns an executor of forward and backward pass that gives the sum
// of squares of all gradients, so that none is dead code.
func trainStep(be compute.Backend, c decoder.Config) (*model.Exec, *model.Store) {
	st := model.NewStore()
	return model.MustNewExec(be, st, func(s *model.Scope, x, p *Node) *Node {
		st.SetTraining(x.Graph(), true)
		y := decoder.Forward(s.At("decoder"), c, decoder.Inputs{X: x, Positions: p})
		loss := ReduceAllMean(Square(y))
		sum := loss
		for _, g := range s.BuildTrainableVariablesGradientsGraph(loss) {
			sum = Add(sum, ReduceAllSum(Square(g)))
		}
		return sum
	}), st
}

// BenchmarkTrainStep times forward and backward on the shape of the New York
// recipe; run with -benchtime 3s.
func BenchmarkTrainStep(b *testing.B) {
	for name, be := range testkit.Backends(b) {
		for _, dim := range []int{64, 128} {
			c := decoder.Default()
			c.Dim, c.FFN, c.Dropout = dim, dim*43/16, 0
			b.Run(name+"/"+map[int]string{64: "64", 128: "128"}[dim], func(b *testing.B) {
				const batch, length = 16, 128
				step, _ := trainStep(be, c)
				x := make([]float32, batch*length*dim)
				for i := range x {
					x[i] = float32(i%17) / 17
				}
				p := make([]int32, batch*length)
				for i := range p {
					p[i] = int32(i % length)
				}
				xt := tensors.FromFlatDataAndDimensions(x, batch, length, dim)
				pt := tensors.FromFlatDataAndDimensions(p, batch, length)
				step.MustCall1(xt, pt)
				b.ResetTimer()
				for b.Loop() {
					step.MustCall1(xt, pt).MustFinalizeAll()
				}
				flops := 3 * c.FLOPs(length) * batch * length * float64(b.N)
				b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
