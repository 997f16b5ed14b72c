package vectortest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/whereto/whereto/vector"
)

// twoSets: one version of a model takes over from another, and back.
func twoSets(t *testing.T, home Home) {
	first, second := Set(11, 50, 4, true), Set(12, 60, 7, false)
	old := home.open(t, first, vector.IndexOptions{})
	query := first.Row(3)
	want := search(t, old, query, 9, vector.Area{})
	next := home.open(t, second, vector.IndexOptions{})
	defer closed(t, next)
	if got := search(t, old, query, 9, vector.Area{}); !slices.Equal(got, want) {
		t.Errorf("the old set beside the new: %v, want %v", got, want)
	}
	closed(t, old)
	if got, want := search(t, next, second.Row(1), 9, vector.Area{}), oracle(second, false, second.Row(1), 9, vector.Area{}, next.Grid()); !slices.Equal(got, want) {
		t.Errorf("the new set: %v, want %v", got, want)
	}
	again := home.open(t, first, vector.IndexOptions{})
	defer closed(t, again)
	if got := search(t, again, query, 9, vector.Area{}); !slices.Equal(got, want) {
		t.Errorf("the old set again: %v, want %v", got, want)
	}
}

// sameSet: two versions, or two replicas, have the same vectors, and open them at once.
func sameSet(t *testing.T, home Home) {
	s := Set(13, 300, 4, true)
	all := make([]vector.Searcher, 4)
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() { all[i], errs[i] = home.Open(context.Background(), s, vector.IndexOptions{}) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	want := oracle(s, false, s.Row(3), 9, vector.Area{}, all[0].Grid())
	for i, x := range all {
		if got := search(t, x, s.Row(3), 9, vector.Area{}); !slices.Equal(got, want) {
			t.Errorf("searcher %d: %v, want %v", i, got, want)
		}
		closed(t, x)
	}
}

func endedContext(t *testing.T, home Home) {
	s := Set(14, 40_000, 1, false)
	x := home.open(t, s, vector.IndexOptions{})
	defer closed(t, x)
	gone := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, gone) || errors.Is(err, vector.ErrUnavailable) {
			t.Errorf("%s: %v; want the cause of the context's end alone", what, err)
		}
	}
	// It ends while rows are read; none of them will do.
	seen := 0
	_, err := x.Search(ctx, []float32{1}, 1, vector.Area{Keep: func(int32) bool { seen++; cancel(gone); return false }})
	check("ended on the way", err)
	if seen == len(s.IDs) {
		t.Error("all rows were read though nobody waited any more")
	}
	_, err = x.Search(ctx, []float32{1}, 1, vector.Area{})
	check("a search after that", err)
	_, err = x.Vectors(ctx, 1)
	check("vectors after that", err)
	if hits := search(t, x, []float32{1}, 1, vector.Area{}); len(hits) != 1 {
		t.Errorf("a search with another context: %v", hits)
	}
}
