package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
)

const hour = int64(3_600_000)

// handMade is a data set of one user at four places: visits at hours 10, 20 (train),
// 30 (validation) and 40 (test) of a log in UTC.
func handMade() *poi.Dataset {
	d := &poi.Dataset{Fingerprint: "f", Users: []poi.User{{ID: "ann"}, {ID: "bob"}}}
	for i, id := range []string{"a", "b", "c", "d"} {
		d.Places = append(d.Places, poi.Place{ID: id})
		d.Users[0].Visits = append(d.Users[0].Visits, poi.Visit{POI: int32(i), TimeMS: at(10 * (i + 1)), Tag: poi.Tag(max(i-1, 0))})
	}
	return d
}

// at is an hour of the hand-made log.
func at(h int) int64 { return 1714521600000 + int64(h)*hour }

// shownLog writes impressions as CSV: "id user ms a+ b-" with + for a click.
func shownLog(t *testing.T, lines ...string) pipeline.Config {
	t.Helper()
	var b strings.Builder
	b.WriteString("id,user,time_ms,offset_min,poi,clicked\n")
	for _, line := range lines {
		f := strings.Fields(line)
		for _, s := range f[3:] {
			fmt.Fprintf(&b, "%s,%s,%s,0,%s,%t\n", f[0], f[1], f[2], strings.TrimRight(s, "+-"), strings.HasSuffix(s, "+"))
		}
	}
	cfg := pipeline.Default()
	cfg.Impressions = []string{testkit.WriteFile(t, "shown.csv", b.String())}
	return cfg
}

func TestFeedByHand(t *testing.T) {
	cfg := shownLog(t,
		fmt.Sprintf("i1 ann %d d+ a- z-", at(40)),   // at the instant of the test visit, which it may not see; z is unknown
		fmt.Sprintf("i2 ann %d a+ b-", at(20)+1),    // just after the second visit
		fmt.Sprintf("i3 bob %d c- b- a-", at(30)),   // no visits at all
		fmt.Sprintf("i4 ann %d a+ b+", at(30)-1),    // the last train moment
		fmt.Sprintf("i5 eve %d a+ b-", at(5)),       // unknown user
		fmt.Sprintf("i6 ann %d a+ y- z-", at(5)),    // one known candidate
		fmt.Sprintf("i7 ann %d b- d- a+ c-", at(5))) // before any visit
	f, rep, err := pipeline.LoadFeed(t.Context(), cfg, handMade(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range f.Requests {
		r := &f.Requests[i]
		line := fmt.Sprintf("%s user %d pos %d %s:", r.ID, r.User, r.Pos, r.Tag)
		for _, o := range r.Options {
			line += fmt.Sprintf(" %d %t", o.POI, o.Clicked)
			if o.Click != -1 || o.Relevance != -1 {
				t.Errorf("%s: truth %g, %g out of nowhere", r.ID, o.Click, o.Relevance)
			}
		}
		got = append(got, line)
	}
	want := []string{
		"i7 user 0 pos 0 train: 1 false 3 false 0 true 2 false",
		"i2 user 0 pos 2 train: 0 true 1 false",
		"i4 user 0 pos 2 train: 0 true 1 true",
		"i1 user 0 pos 3 test: 3 true 0 false",
		"i3 user 1 pos 0 validation: 2 false 1 false 0 false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !reflect.DeepEqual(f.ByTag, [3][]int32{{0, 1, 2}, {4}, {3}}) {
		t.Errorf("by tag %v", f.ByTag)
	}
	if rep.Read != 7 || rep.Dropped != (pipeline.FeedDrops{UnknownUser: 1, UnknownPOI: 3, TooFew: 1}) {
		t.Errorf("report %+v", rep)
	}
	if rep.Requests != (pipeline.Parts{Train: 3, Validation: 1, Test: 1}) || rep.Shown != (pipeline.Parts{Train: 8, Validation: 3, Test: 2}) ||
		rep.Clicks != (pipeline.Parts{Train: 4, Test: 1}) || rep.NoClick != (pipeline.Parts{Validation: 1}) ||
		rep.AllClicked != (pipeline.Parts{Train: 1}) || rep.NoHistory != (pipeline.Parts{Train: 1, Validation: 1}) ||
		rep.ClickRate.Train != 0.5 || rep.Candidates.Min != 2 || rep.Candidates.Max != 4 || rep.Candidates.Mean != 2.6 || rep.Truth {
		t.Errorf("report %+v", rep)
	}
	var text bytes.Buffer
	if err := rep.WriteText(&text); err != nil || !strings.Contains(text.String(), "Requests without a click   0      1           0      1") {
		t.Errorf("error %v, text\n%s", err, text.String())
	}
	q := handMade().QueryAt(&f.Requests[3])
	if len(q.History) != 3 || q.TimeMS != at(40) {
		t.Errorf("query %+v", q)
	}
}

// Whatever the order of visits and requests, no request sees its future.
func TestNoRequestSeesItsFuture(t *testing.T) {
	ms := rapid.Int64Range(at(0), at(50))
	rapid.Check(t, func(rt *rapid.T) {
		d := handMade()
		v := d.Users[0].Visits
		for i, m := range rapid.SliceOfN(ms, 4, 4).Draw(rt, "visits") {
			// Half an hour about local midnight is where a change of the clocks mixes instants.
			v[i].TimeMS, v[i].OffsetMin = m, int16(rapid.SampledFrom([]int{0, 60}).Draw(rt, "offset"))
		}
		slices.SortStableFunc(v, func(x, y poi.Visit) int { return x.Local().Compare(y.Local()) })
		var lines []string
		for i, m := range rapid.SliceOfN(ms, 1, 8).Draw(rt, "requests") {
			if rapid.Bool().Draw(rt, "at a visit") {
				m = v[i%4].TimeMS
			}
			lines = append(lines, fmt.Sprintf("i%d ann %d a+ b-", i, m))
		}
		f, _, err := pipeline.LoadFeed(t.Context(), shownLog(t, lines...), d, nil)
		if err != nil || len(f.Requests) != len(lines) {
			rt.Fatalf("%d requests, error %v", len(f.Requests), err)
		}
		for i := range f.Requests {
			r := &f.Requests[i]
			for _, h := range d.QueryAt(r).History {
				if h.TimeMS >= r.TimeMS {
					rt.Errorf("the request at %d sees the visit at %d", r.TimeMS, h.TimeMS)
				}
			}
			if int(r.Pos) < len(v) && v[r.Pos].TimeMS < r.TimeMS {
				rt.Errorf("the request at %d does not see the visit at %d, its next", r.TimeMS, v[r.Pos].TimeMS)
			}
		}
	})
}

// The cut is local time, as for the check-ins.
func TestFeedIsCutByLocalTime(t *testing.T) {
	d := handMade()
	for i := range d.Users[0].Visits {
		d.Users[0].Visits[i].OffsetMin = 120
	}
	text := "id,user,time_ms,offset_min,poi,clicked\n"
	for i, offset := range []int{59, 60} { // local 32:00 less a minute, and 32:00, the local time of the first validation visit
		for p, clicked := range []string{"true", "false"} {
			text += fmt.Sprintf("i%d,ann,%d,%d,%s,%s\n", i, at(31), offset, string(rune('a'+p)), clicked)
		}
	}
	cfg := pipeline.Default()
	cfg.Impressions = []string{testkit.WriteFile(t, "shown.csv", text)}
	f, _, err := pipeline.LoadFeed(t.Context(), cfg, d, nil)
	if err != nil || f.Requests[0].Tag != poi.Train || f.Requests[1].Tag != poi.Validation {
		t.Errorf("%+v, error %v", f, err)
	}
}

func TestFeedFails(t *testing.T) {
	folder := toyConfig(t)
	empty := pipeline.Default()
	noClick := fmt.Sprintf("i ann %d a- b-", at(25))
	for _, c := range []struct {
		name string
		cfg  pipeline.Config
		want error
		says string
	}{
		{"no click", shownLog(t, noClick), poi.ErrBadInput, "none of the 2 candidates of the log is clicked"},
		{"only clicks", shownLog(t, fmt.Sprintf("i ann %d a+ b+", at(25))), poi.ErrBadInput, "all 2 candidates of the log are clicked"},
		{"no click of a known user", shownLog(t, noClick, fmt.Sprintf("j eve %d a+ b+", at(25))), poi.ErrBadInput, "none of the 2 candidates left"},
		{"nobody known", shownLog(t, fmt.Sprintf("j eve %d a+ b-", at(25))), poi.ErrEmpty, "1 have a user"},
		{"no row", shownLog(t), poi.ErrEmpty, "no good row"},
		{"a log without impressions", folder, poi.ErrBadInput, "name logs of impressions under data.impressions"},
		{"a city without impressions", empty, poi.ErrBadInput, "data.city.impressions"},
		{"an empty path", func() pipeline.Config { c := empty; c.Impressions = []string{""}; return c }(), poi.ErrBadInput, "empty path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := pipeline.LoadFeed(t.Context(), c.cfg, handMade(), nil)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := pipeline.LoadFeed(ctx, cityWithFeed(), handMade(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// The rejects of impressions go where the caller wants them.
func TestFeedRejects(t *testing.T) {
	cfg := shownLog(t, fmt.Sprintf("i ann %d a+ b- a-", at(25)))
	var rejects bytes.Buffer
	_, rep, err := pipeline.ReadFeed(t.Context(), cfg, handMade(), &rejects, nil)
	if err != nil || rep.Rejected != 1 || rep.Rejects[0].Name != "candidate shown twice" || !strings.Contains(rejects.String(), `"line":4`) {
		t.Errorf("report %+v, rejects %s, error %v", rep, rejects.String(), err)
	}
}

func TestFeedFingerprint(t *testing.T) {
	print := func(d *poi.Dataset, lines ...string) string {
		f, _, err := pipeline.LoadFeed(t.Context(), shownLog(t, lines...), d, nil)
		if err != nil {
			t.Fatal(err)
		}
		return f.Fingerprint
	}
	a, b := fmt.Sprintf("i ann %d a+ b-", at(25)), fmt.Sprintf("j ann %d a- b+", at(26))
	whole := print(handMade(), a, b)
	if whole != print(handMade(), b, a) || len(whole) != 64 {
		t.Errorf("the order of the log changed the fingerprint %s", whole)
	}
	other := handMade()
	other.Fingerprint = "g"
	for name, got := range map[string]string{
		"another data set":    print(other, a, b),
		"one request fewer":   print(handMade(), a),
		"another click":       print(handMade(), a, fmt.Sprintf("j ann %d a+ b+", at(26))),
		"another order shown": print(handMade(), a, fmt.Sprintf("j ann %d b+ a-", at(26))),
		"another time":        print(handMade(), a, fmt.Sprintf("j ann %d a- b+", at(26)+1)),
	} {
		if got == whole {
			t.Errorf("%s has the same fingerprint", name)
		}
	}
}

func cityWithFeed() pipeline.Config {
	cfg := smallCity()
	cfg.City.Impressions = 4
	return cfg
}

// A folder gives exactly what the city gives: data set, feed, details.
func TestFolderIsTheCity(t *testing.T) {
	cfg, dir := cityWithFeed(), filepath.Join(t.TempDir(), "city")
	card, err := pipeline.WriteCity(t.Context(), cfg.City, dir, pipeline.CityOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	city, _, _, err := pipeline.Load(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	feed, rep, err := pipeline.LoadFeed(t.Context(), cfg, city, nil)
	if err != nil {
		t.Fatal(err)
	}
	details, err := pipeline.LoadDetails(t.Context(), cfg, city)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Truth || rep.Read != card.Impressions || card.Impressions < 100 || card.Clicks == 0 || card.Actions == 0 || card.POIs != 300 {
		t.Errorf("report %+v, card %+v", rep, card)
	}
	cfg.Paths = []string{dir}
	d, _, report, err := pipeline.Load(t.Context(), cfg, nil)
	if err != nil || d.Fingerprint != city.Fingerprint || len(report.Source.ByReason) > 0 {
		t.Errorf("data set: error %v, report %+v", err, report.Source)
	}
	back, backRep, err := pipeline.LoadFeed(t.Context(), cfg, d, nil)
	if err != nil || backRep.Name != "city" || len(backRep.Warnings) > 0 || back.Fingerprint != feed.Fingerprint || !pipeline.HasFeed(cfg) {
		t.Errorf("feed: error %v, report %+v, want %+v", err, backRep, rep)
	}
	again, err := pipeline.LoadDetails(t.Context(), cfg, d)
	if err != nil || !reflect.DeepEqual(again, details) {
		t.Errorf("details differ, error %v", err)
	}
	for i := range feed.Requests {
		r := &feed.Requests[i]
		if h := d.QueryAt(r).History; len(h) > 0 && h[len(h)-1].TimeMS >= r.TimeMS {
			t.Fatalf("request %+v sees its future", r)
		}
	}
	var kept pipeline.CityCard
	text, err := os.ReadFile(filepath.Join(dir, pipeline.CardFile))
	if err != nil || json.Unmarshal(text, &kept) != nil || kept.Actions != card.Actions || kept.City["users"] != 60.0 {
		t.Errorf("card %s, error %v", text, err)
	}
}
