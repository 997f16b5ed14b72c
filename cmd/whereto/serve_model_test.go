package main

import (
	"testing"

	"github.com/whereto/whereto/recipe"
)

// A wish is followed; without one small networks get one thread and large ones all.
func TestThreadsOf(t *testing.T) {
	small := recipe.Default().Model.Decoder
	small.Layers, small.Dim, small.FFN = 2, 48, 96
	large := small
	large.Layers, large.Dim, large.FFN = 12, 768, 3072
	for wish, want := range map[int][2]int{0: {1, 0}, 1: {1, 1}, 3: {3, 3}} {
		if got := [2]int{threadsOf(wish, small), threadsOf(wish, large)}; got != want {
			t.Errorf("a wish for %d gives a small network and a large one %d threads, want %d", wish, got, want)
		}
	}
}
