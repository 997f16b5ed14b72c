//go:build cgo

package engine

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
)

// A graph compiled after Yield runs in a session of the quiet kind, with as many threads as
// are asked for, and still computes.
func TestYield(t *testing.T) {
	backend, _, err := Open(ONNX)
	if err != nil {
		t.Skipf("no ONNX Runtime here: %v", err)
	}
	defer backend.Finalize()
	for range 2 { // twice is as good as once
		if err := Yield(); err != nil {
			t.Fatal(err)
		}
	}
	defer Threads(0)
	for i, threads := range []int{1, 0} {
		Threads(threads)
		all, single := quieted()
		double := func(x *graph.Node) *graph.Node { return graph.MulScalar(x, 2) }
		out, err := graph.ExecOnce(backend, double, []float32{1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Value().([]float32); got[0] != 2 || got[2] != 6 {
			t.Errorf("twice 1, 2, 3 is %v", got)
		}
		allNow, singleNow := quieted()
		if allNow == all || singleNow-single != (allNow-all)*(1-i) {
			t.Errorf("threads %d: %d sessions of the quiet kind, %d with one thread", threads, allNow-all, singleNow-single)
		}
	}
}
