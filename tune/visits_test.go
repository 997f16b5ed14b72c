package tune

import (
	"maps"
	"slices"
	"testing"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// A first visit counts if the loss may use it, enough came before it and it is not
// passive.
func TestDiscoveries(t *testing.T) {
	const arrive, click = 0, 1
	var visits []poi.Visit
	add := func(place int32, kind uint8, intent bool, tag poi.Tag) {
		visits = append(visits, poi.Visit{POI: place, Type: kind, Intent: intent, Tag: tag, TimeMS: int64(len(visits))})
	}
	for range leastPast - 1 {
		add(0, arrive, true, poi.Train)
	}
	add(1, arrive, true, poi.Train)      // 4: too little before it
	add(2, arrive, true, poi.Train)      // 5: counts
	add(1, arrive, true, poi.Train)      // 6: known
	add(3, click, true, poi.Train)       // 7: passive
	add(3, arrive, true, poi.Train)      // 8: known from the click
	add(4, arrive, false, poi.Train)     // 9: functional
	add(5, arrive, true, poi.Train)      // 10: counts
	add(6, arrive, true, poi.Train)      // 11: counts
	add(7, arrive, true, poi.Validation) // 12: not of the training period
	d := &poi.Dataset{Types: []string{"arrive", "click"}, Places: make([]poi.Place, 8),
		Users: []poi.User{{ID: "a", Visits: visits[:2]}, {ID: "b", Visits: visits}, {ID: "c", Visits: visits[:6]}}}
	for until, want := range map[int64]map[int32][]int32{
		100: {1: {5, 10, 11}, 2: {5}}, 10: {1: {5, 10}, 2: {5}}, 4: {},
	} {
		got := maps.Collect(discoveries(d, []string{"click"}, until))
		if !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("until %d: first visits %v, want %v", until, got, want)
		}
	}
	for range discoveries(d, nil, 100) { // whoever asks may stop
		break
	}
}

// Rivals are other places of the same category and cell that the user did not know
// yet; they do not change from one call to the next.
func TestVisitsHaveRivals(t *testing.T) {
	a := getWorld(t).stage(t, pureGo(t), "embed", "feed.visits=4", "feed.rivals=5")
	d, end := a.Dataset, a.until()
	list := a.visits(end)
	rivals := 0
	for _, q := range list {
		if n := len(q.Options); n < 2 || n > 6 || q.TimeMS > end {
			t.Fatalf("%s at %d of %d has %d places, want 2 to 6", q.ID, q.TimeMS, end, n)
		}
		here := d.Places[q.Options[0].POI]
		for i, o := range q.Options {
			p := d.Places[o.POI]
			known := slices.ContainsFunc(d.Users[q.User].Visits[:q.Pos], func(v poi.Visit) bool { return v.POI == o.POI })
			twice := slices.ContainsFunc(q.Options[:i], func(x poi.Option) bool { return x.POI == o.POI })
			near := geo.Cells(p.Lat, p.Lng)[rivalLevel] == geo.Cells(here.Lat, here.Lng)[rivalLevel]
			if o.Clicked != (i == 0) || known || twice || p.Category != here.Category || !near {
				t.Errorf("%s: option %d is %+v: clicked %v, known %v, twice %v, near %v", q.ID, i, p, o.Clicked, known, twice, near)
			}
		}
		rivals += len(q.Options) - 1
	}
	all := maps.Collect(discoveries(d, a.Recipe.Data.Clean.PassiveTypes, end))
	for _, q := range list {
		if at := all[q.User]; !slices.Contains(at[max(0, len(at)-4):], q.Pos) {
			t.Errorf("%s is not one of the last 4 of %v", q.ID, at)
		}
	}
	if len(list) < 20 || rivals < len(list) {
		t.Errorf("%d visits with %d rivals: too few to say anything", len(list), rivals)
	}
	if again := a.visits(end); !slices.EqualFunc(list, again, func(x, y poi.Request) bool { return x.ID == y.ID && slices.Equal(x.Options, y.Options) }) {
		t.Error("a second call draws others")
	}
}

// The embed stage learns from visits beside requests, in the order that windows want;
// the others do not.
func TestVisitsAreForTheEmbedStage(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, c := range []struct {
		stage string
		more  bool
	}{{spacetime.StageEmbed, true}, {spacetime.StageRank, false}} {
		plain, err := w.stage(t, backend, c.stage).tasks(t.Context(), backend, nil, nil)
		must(t, err)
		a := w.stage(t, backend, c.stage, "feed.visits=4")
		tasks, err := a.tasks(t.Context(), backend, nil, nil)
		must(t, err)
		visits := 0
		for i, x := range tasks {
			if len(x.Request.ID) > 6 && x.Request.ID[:6] == "visit " {
				visits++
			}
			if i > 0 && byUserAndTime(tasks[i-1].Request, x.Request) > 0 {
				t.Errorf("%s: %s comes after %s", c.stage, x.Request.ID, tasks[i-1].Request.ID)
			}
		}
		if want := len(a.visits(a.until())); !c.more && visits != 0 || c.more && visits != want || len(tasks) != len(plain)+visits {
			t.Errorf("%s: %d tasks with %d visits, %d without; want %d visits", c.stage, len(tasks), visits, len(plain), want)
		}
	}
}
