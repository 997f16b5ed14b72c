package desk_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
)

// TestWhatIsStoredCountsAtOnce: an acknowledged action is in the next answer's past,
// once, wherever in time it lies; a deleted user has none.
func TestWhatIsStoredCountsAtOnce(t *testing.T) {
	acted := 0
	g := newRig(t, false, func(o *desk.Options) { o.Hooks.Acted = func(string, string, time.Time) { acted++ } })
	ask := func() int {
		got, err := g.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: "ada", Time: g.now}})
		if err != nil {
			t.Fatal(err)
		}
		return got.History
	}
	if n := ask(); n != 0 {
		t.Fatalf("ada has a past of %d", n)
	}
	place := g.d.Places[2].ID
	put := func(id string, ago time.Duration) *api.BulkResponse {
		t.Helper()
		res, err := g.PutActions(ctx, []api.Action{{ID: id, User: "ada", POI: place, Time: g.now.Add(-ago)}})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for i, c := range []struct {
		id   string
		ago  time.Duration
		want int
	}{{"a", 5 * time.Hour, 1}, {"b", 4 * time.Hour, 2}, {"b", 4 * time.Hour, 2}, {"c", 9 * time.Hour, 3}, {"d", -3 * time.Hour, 3}, {"e", time.Hour, 4}} {
		res := put(c.id, c.ago)
		if res.Accepted+res.Duplicate != 1 || ask() != c.want {
			t.Errorf("action %d: %+v, then a past of %d, want %d", i, res, ask(), c.want)
		}
	}
	if acted != 5 {
		t.Errorf("%d actions were told, want 5", acted)
	}
	page, err := g.Actions(ctx, "ada", "", 2)
	if err != nil || len(page.Items) != 2 || page.Next == "" || page.Items[0].ID != "c" {
		t.Errorf("the first page is %+v (%v)", page, err)
	}
	gone, err := g.DeleteUser(ctx, "ada")
	if err != nil || gone.Actions != 5 || ask() != 0 {
		t.Errorf("%+v (%v), then a past of %d", gone, err, ask())
	}
}

func TestBulkAnswersLineByLine(t *testing.T) {
	g := newRig(t, false, nil)
	good := api.Action{User: "ada", POI: "anything", Time: g.now}
	lines := []api.Action{good, {POI: "x", Time: g.now}, {User: "ada", Time: g.now}, {User: "ada", POI: "x"},
		{User: "ada", POI: "x", Time: g.now.Add(25 * time.Hour)}, {User: "ada", POI: "x", Time: g.now, Lat: ptr(1)}, good}
	res, err := g.PutActions(ctx, lines)
	if err != nil || res.Accepted != 1 || res.Duplicate != 1 || res.Refused != 5 {
		t.Fatalf("%+v (%v)", res, err)
	}
	for i, want := range []api.Rejected{{Line: 2, Field: "user"}, {Line: 3, Field: "poi"}, {Line: 4, Field: "time"}, {Line: 5, Field: "time"}, {Line: 6, Field: "lng"}} {
		if got := res.Rejected[i]; got.Line != want.Line || got.Field != want.Field || got.Reason == "" {
			t.Errorf("rejected %d: %+v, want %+v", i, got, want)
		}
	}
	pois, err := g.PutPOIs(ctx, []api.POI{{ID: "a", Lat: 1, Lng: 2}, {ID: "", Lat: 1}, {ID: "b", Lat: 91}})
	if err != nil || pois.Accepted != 1 || pois.Refused != 2 || pois.Rejected[1].Field != "lat" {
		t.Errorf("%+v (%v)", pois, err)
	}
}

// TestPastsInMemoryAreThoseOfTheStore: random writes by many, asked about at random
// moments, with room for few people: the length of every past is the store's.
func TestPastsInMemoryAreThoseOfTheStore(t *testing.T) {
	g := newRig(t, false, func(o *desk.Options) { o.HotActions = 60 })
	rng := rand.New(rand.NewPCG(3, 4))
	written := map[string][]time.Time{}
	for step := range 400 {
		user := fmt.Sprint("user", rng.IntN(6))
		when := g.now.Add(-time.Duration(rng.IntN(100)) * time.Hour)
		if rng.IntN(3) > 0 { // mostly in the order of time
			when = g.now.Add(time.Duration(step-400) * time.Minute)
		}
		if _, err := g.PutActions(ctx, []api.Action{{ID: fmt.Sprint(step), User: user, POI: g.d.Places[rng.IntN(24)].ID, Time: when}}); err != nil {
			t.Fatal(err)
		}
		written[user] = append(written[user], when)
		user = fmt.Sprint("user", rng.IntN(6))
		ask := g.now.Add(-time.Duration(rng.IntN(50)) * time.Hour)
		if rng.IntN(2) == 0 {
			ask = g.now
		}
		got, err := g.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: user, Time: ask}, K: 1})
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, w := range written[user] {
			if w.UnixMilli() < ask.UnixMilli() {
				want++
			}
		}
		if got.History != want {
			t.Fatalf("step %d: %s has a past of %d before %s, want %d", step, user, got.History, ask, want)
		}
	}
}

// TestManyAtOnce writes and asks from many goroutines: in the end nothing is missing.
func TestManyAtOnce(t *testing.T) {
	g := newRig(t, false, nil)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 15 {
				user := fmt.Sprint("user", i%3)
				if _, err := g.PutActions(ctx, []api.Action{{ID: fmt.Sprint(w, " ", i), User: user, POI: g.d.Places[i].ID, Time: g.now.Add(-time.Duration(i) * time.Minute)}}); err != nil {
					t.Error(err)
				}
				if _, err := g.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: user, Time: g.now.Add(time.Hour)}, K: 3}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for u := range 3 {
		got, err := g.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: fmt.Sprint("user", u), Time: g.now.Add(time.Hour)}})
		if err != nil || got.History != 30 {
			t.Errorf("user%d has a past of %d, want 30 (%v)", u, got.History, err)
		}
	}
}

func TestListsOfTheStore(t *testing.T) {
	g := newRig(t, false, nil)
	users, err := g.Users(ctx, "", "", 3)
	if err != nil || len(users.Items) != 3 || users.Next == "" || users.Items[0].Actions != len(g.d.Users[slices.IndexFunc(g.d.Users, func(u poi.User) bool { return u.ID == users.Items[0].User })].Visits) {
		t.Fatalf("%+v (%v)", users, err)
	}
	if _, err := g.Users(ctx, "", "nonsense", 3); desk.KindOf(err) != desk.Invalid || len(desk.Fields(err)) != 1 {
		t.Errorf("a bad cursor: %v", err)
	}
	if _, err := g.PutPOIs(ctx, []api.POI{{ID: g.d.Places[0].ID, Name: "renamed", Lat: g.d.Places[0].Lat, Lng: g.d.Places[0].Lng}, {ID: "far", Lat: -40, Lng: 170}}); err != nil {
		t.Fatal(err)
	}
	far, err := g.POIs(ctx, "", 10, &api.Box{South: -50, West: 160, North: -30, East: -170})
	if err != nil || len(far.Items) != 1 || far.Items[0].ID != "far" || far.Items[0].Known {
		t.Errorf("across the antimeridian: %+v (%v)", far, err)
	}
	if p, err := g.POI(ctx, g.d.Places[0].ID); err != nil || p.Name != "renamed" || !p.Known {
		t.Errorf("%+v (%v)", p, err)
	}
	if p, err := g.POI(ctx, g.d.Places[1].ID); err != nil || !p.Known || p.Name != g.d.Places[1].Name {
		t.Errorf("a place of the model alone: %+v (%v)", p, err)
	}
	if _, err := g.POI(ctx, "nowhere"); desk.KindOf(err) != desk.NotFound {
		t.Errorf("a place that is not there: %v", err)
	}
	_, r := g.target(0)
	r.K = 24
	got, err := g.Recommend(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(got.Places, func(p api.Place) bool { return p.Name == "renamed" }) {
		t.Error("answers do not have the catalog's names")
	}
}

// TestVersionsAndShadow: what is activated answers, a shadow of the same weights agrees,
// and going back works.
func TestVersionsAndShadow(t *testing.T) {
	told := make(chan bool, 100)
	g := newRig(t, false, func(o *desk.Options) {
		o.Available = func() ([]string, error) { return []string{"1", "2", "3"}, nil }
		o.Hooks.Shadow = func(same bool, overlap float64) { told <- same && overlap == 1 }
	})
	if _, err := g.LoadModel(ctx, "2"); err != nil {
		t.Fatal(err)
	}
	if err := g.SetTraffic(ctx, api.Traffic{Shadow: "2"}); err != nil {
		t.Fatal(err)
	}
	_, r := g.target(0)
	if _, err := g.Recommend(ctx, r); err != nil {
		t.Fatal(err)
	}
	if !<-told {
		t.Error("a shadow of the same weights does not agree")
	}
	s, err := g.Status(ctx)
	if err != nil || s.Shadow == nil || s.Shadow.Requests != 1 || s.Shadow.SameFirst != 1 || s.Shadow.Overlap != 1 || !s.Ready {
		t.Errorf("the status is %+v (%v)", s, err)
	}
	states := func() string {
		var out []string
		for _, m := range g.Models() {
			out = append(out, m.Version+" "+m.State)
		}
		return strings.Join(out, ";")
	}
	if got := states(); got != "1 active;2 shadow;3 available" {
		t.Errorf("models: %s", got)
	}
	if _, err := g.ActivateModel(ctx, "2"); err != nil {
		t.Fatal(err)
	}
	if got, err := g.Recommend(ctx, r); err != nil || got.Version.Model != "2" {
		t.Errorf("after activating 2: %+v (%v)", got, err)
	}
	if m, err := g.RollBack(ctx); err != nil || m.Version != "1" || m.State != "active" {
		t.Errorf("rolled back to %+v (%v)", m, err)
	}
	if err := g.SetTraffic(ctx, api.Traffic{Split: []api.Share{{Version: "2", Share: 1}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := g.Recommend(ctx, r); err != nil || got.Version.Model != "2" || got.Version.Variant != "2" {
		t.Errorf("with everybody sent to 2: %+v (%v)", got, err)
	}
	if err := g.SetTraffic(ctx, api.Traffic{Shadow: "9"}); desk.KindOf(err) != desk.Invalid && desk.KindOf(err) != desk.NotFound {
		t.Errorf("a shadow that is not there: %v", err)
	}
	if _, err := g.ActivateModel(ctx, "2"); err != nil {
		t.Fatal(err)
	}
}

// TestImport stores every visit and place once, however often it is done.
func TestImport(t *testing.T) {
	g := newRig(t, false, nil) // imports
	told, visits := 0, 0
	if err := desk.Import(ctx, g.store, g.d, func(stored, _ int) { told = stored }); err != nil {
		t.Fatal(err)
	}
	for _, u := range g.d.Users {
		visits += len(u.Visits)
	}
	n, err := g.store.Counts(ctx)
	if err != nil || n.Actions != int64(visits) || n.POIs != 24 || n.Users != 5 || told != visits {
		t.Errorf("%+v after importing %d visits twice, %d told (%v)", n, visits, told, err)
	}
}

// TestFallback: what is answered without the network goes by popularity, near places
// first, within the limits.
func TestFallback(t *testing.T) {
	g := newRig(t, false, nil)
	m, err := g.load(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ids := desk.FallbackIDs(m, 40.7, -74, recommend.Want{K: 5, Among: []int32{1, 4, 9}})
	if len(ids) != 3 {
		t.Fatalf("%v", ids)
	}
	all := desk.FallbackIDs(m, 40.7, -74, recommend.Want{K: 24})
	if len(all) != 24 || slices.Index(all, ids[0]) > slices.Index(all, ids[1]) || slices.Index(all, ids[1]) > slices.Index(all, ids[2]) {
		t.Errorf("%v is not in the order of %v", ids, all)
	}
}

// TestVersionsAreLetGo: nothing that is remembered of people holds a version that has gone.
func TestVersionsAreLetGo(t *testing.T) {
	loaded := map[string]weak.Pointer[desk.Model]{}
	g := newRig(t, false, func(o *desk.Options) {
		load := o.Load
		o.Load = func(ctx context.Context, version string) (*desk.Model, error) {
			m, err := load(ctx, version)
			loaded[version] = weak.Make(m)
			return m, err
		}
	})
	for _, version := range []string{"1", "2", "3", "4"} {
		if _, err := g.ActivateModel(ctx, version); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			r := api.RecommendRequest{Who: api.Who{User: g.d.Users[i].ID, Time: g.now}}
			if got, err := g.Recommend(ctx, r); err != nil || got.Version.Model != version || got.History == 0 {
				t.Fatalf("version %s: %+v, %v", version, got, err)
			}
		}
	}
	for _, version := range []string{"1", "2"} {
		for end := time.Now().Add(20 * time.Second); loaded[version].Value() != nil; runtime.GC() {
			if time.Now().After(end) {
				t.Fatalf("version %s is still in memory though two have come after it", version)
			}
		}
	}
	if loaded["4"].Value() == nil {
		t.Error("the version that answers has gone")
	}
}

// TestNoSuchPlace: what is not there is said in our words, whichever store looked.
func TestNoSuchPlace(t *testing.T) {
	g := newRig(t, false, nil)
	_, asked := g.POI(ctx, "nowhere")
	for name, err := range map[string]error{"read": asked, "close": g.ClosePOI(ctx, "nowhere")} {
		if desk.KindOf(err) != desk.NotFound || err.Error() != `POI "nowhere": not found` {
			t.Errorf("%s: %v", name, err)
		}
	}
}
