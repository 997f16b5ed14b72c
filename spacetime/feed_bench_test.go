package spacetime

import (
	"fmt"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/internal/testkit"
)

// BenchmarkScore times the scores of one request after 64 actions by its number of
// candidates, which share the user's tokens.
func BenchmarkScore(b *testing.B) {
	v := whole(true)
	d := &v.c.Decoder
	d.Dim, d.FFN, d.Heads, d.KVHeads, d.HeadDim = 72, 192, 4, 4, 18
	for name, be := range testkit.Backends(b) {
		for _, candidates := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/%d", name, candidates), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				stage := &Stage{Model: &Model{Config: v.c, Tables: v.tables(rng)}, Tune: DefaultTune()}
				exec := model.MustNewExec(be, model.NewStore(), func(s *model.Scope, in []*Node) []*Node {
					return stage.Scores(s, in)
				})
				var in []any
				for _, a := range wideFeed(64, candidates) {
					in = append(in, tensorOf(a))
				}
				exec.MustCall(in...)
				for b.Loop() {
					for _, x := range exec.MustCall(in...) {
						x.MustFinalizeAll()
					}
				}
			})
		}
	}
}

// wideFeed is one request after n actions, with c candidates.
func wideFeed(n, c int) []batch.Array {
	out := make([]batch.Array, batch.NumFeed)
	for array, dims := range map[int][]int{batch.InPlace: {1, n}, batch.InTimes: {1, n, 4}, batch.InCells: {1, n, geo.GridLevels}, batch.InType: {1, n},
		batch.InUser: {1}, batch.InProfile: {1, 2}, batch.FeedAt: {1, 1}, batch.FeedTimes: {1, 1, 4}, batch.FeedCells: {1, 1, geo.GridLevels},
		batch.FeedOption: {1, 1, c}} {
		out[array] = batch.Array{Dims: dims, I: make([]int32, size(dims))}
		for i := range out[array].I {
			out[array].I[i] = int32(1 + i%2)
		}
	}
	for array, dims := range map[int][]int{batch.InClock: {1, n}, batch.InAt: {1, n, 2}, batch.InFrom: {1, n, 2}, batch.InSegment: {1, n},
		batch.FeedClock: {1, 1}, batch.FeedFrom: {1, 1, 2}, batch.FeedSegment: {1, 1}, batch.FeedWeight: {1, 1}, batch.FeedClicked: {1, 1, c},
		batch.FeedExtra: {1, 1, c}, batch.FeedMedia: {1, n, 1}, batch.FeedShow: {1, 1, c, 1}, batch.FeedSpot: {1, 1, c, 2}} {
		out[array] = batch.Array{Dims: dims, F: make([]float32, size(dims))}
	}
	out[batch.FeedAt].I[0] = int32(n)
	return out
}
