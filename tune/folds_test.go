package tune

import (
	"fmt"
	"testing"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
)

// leaving is a run of a stage that leaves a fold out; its weights do not matter here.
func leaving(t *testing.T, stage string, fold, folds int) *Trained {
	t.Helper()
	a := getWorld(t).stage(t, pureGo(t), stage, fmt.Sprintf("feed.folds=%d", folds), fmt.Sprintf("feed.fold=%d", fold))
	return &Trained{Assembly: a, Base: &fit.Trained{Run: newRun(t, a.Assembly)}}
}

// Of a training request the run speaks that has not seen its user's clicks, of any
// other the mean counts.
func TestVoicesJoin(t *testing.T) {
	v := voices{leaving(t, "rank", 0, 2), leaving(t, "rank", 1, 2)}
	two := []poi.Option{{POI: 1}, {POI: 2}}
	feed := &poi.Feed{Requests: []poi.Request{
		{User: 4, Tag: poi.Train, Options: two}, {User: 5, Tag: poi.Train, Options: two[:1]}, {User: 5, Tag: poi.Validation, Options: two[:1]}, {User: 6, Tag: poi.Test, Options: two[:1]},
	}}
	said := [][][]float32{{{1, 2, 3, 4, 5}, {10, 20, 30, 40, 50}}, {{-1, -2, -3, -8, -9}, {6, 6, 6, 6, 6}}}
	want := [][]float32{{1, 2, -3, -2, -2}, {10, 20, 6, 23, 28}}
	if got := v.join(feed, said); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := v[:1].join(feed, said); fmt.Sprint(got) != fmt.Sprint(said[0]) {
		t.Errorf("one run alone: %v, want %v", got, said[0])
	}
}

// Runs with folds make one group, in the order of folds, and must be complete.
func TestVoicesOf(t *testing.T) {
	whole, embed := leaving(t, "rank", 0, 0), leaving(t, "embed", 0, 0)
	f := []*Trained{leaving(t, "rank", 0, 3), leaving(t, "rank", 1, 3), leaving(t, "rank", 2, 3)}
	got, err := voicesOf([]*Trained{f[2], whole, f[0], embed, f[1]})
	must(t, err)
	if len(got) != 3 || len(got[0]) != 3 || got[0][0] != f[0] || got[0][1] != f[1] || got[0][2] != f[2] || got[1][0] != whole || got[2][0] != embed {
		t.Errorf("groups %v", got)
	}
	for want, with := range map[string][]*Trained{
		"none leaves fold 1 out":                 {f[0], f[2]},
		"none leaves fold 2 out":                 {f[0], f[1]},
		"none leaves fold 0 out":                 {f[1], f[2], f[1]},
		"leaves fold 1 of 3 out as another does": {f[0], f[1], f[2], f[1]},
		"leaves fold 2 of 3 out as another does": {f[0], f[1], f[2], f[2]},
		"stage embed leaves fold 0 of 2 out":     {leaving(t, "embed", 0, 2)},
	} {
		_, err := voicesOf(with)
		wantError(t, err, poi.ErrBadInput, want)
	}
}

// A stage does not learn from the users of its fold, and two folds together leave
// nobody out.
func TestFoldsLeaveUsersOut(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	seen := map[int32]int{}
	for fold := range 2 {
		a := w.stage(t, backend, "rank", "feed.folds=2", fmt.Sprintf("feed.fold=%d", fold))
		tasks, err := a.tasks(t.Context(), backend, nil, nil)
		must(t, err)
		for _, x := range tasks {
			if int(x.Request.User)%2 == fold {
				t.Fatalf("fold %d has learned from user %d", fold, x.Request.User)
			}
			seen[x.Request.User]++
		}
	}
	all, err := w.stage(t, backend, "rank").tasks(t.Context(), backend, nil, nil)
	must(t, err)
	n := 0
	for _, k := range seen {
		n += k
	}
	if n != len(all) {
		t.Errorf("two folds have %d requests, all are %d", n, len(all))
	}
}
