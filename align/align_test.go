package align

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

func options(text string) []poi.Option {
	var out []poi.Option
	for field := range strings.FieldsSeq(text) { // "3+" is place 3, clicked
		var id int32
		fmt.Sscan(strings.TrimSuffix(field, "+"), &id)
		out = append(out, poi.Option{POI: id, Clicked: strings.HasSuffix(field, "+")})
	}
	return out
}

func feedOf(lists ...string) *poi.Feed {
	f := &poi.Feed{}
	for i, text := range lists {
		f.Requests = append(f.Requests, poi.Request{ID: fmt.Sprint("r", i), TimeMS: int64(i), Options: options(text)})
		f.ByTag[poi.Train] = append(f.ByTag[poi.Train], int32(i))
	}
	return f
}

func TestFromFeedByHand(t *testing.T) {
	f := feedOf("1 2+ 3", "4 5", "6+ 7+", "8 9+ 8 9", "", "1+ 2 3 4+")
	got, counts, err := FromFeed(f, poi.Train, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (FeedCounts{Requests: 6, Used: 3, NoClick: 2, OnlyClicks: 1, Duplicates: 2, Pairs: 2 + 1 + 4}); counts != want {
		t.Errorf("%+v, want %+v", counts, want)
	}
	for i, want := range []struct{ positive, negative []int32 }{{[]int32{2}, []int32{1, 3}}, {[]int32{9}, []int32{8}}, {[]int32{1, 4}, []int32{2, 3}}} {
		if s := got[i]; !slices.Equal(s.Positive, want.positive) || !slices.Equal(s.Negative, want.negative) || s.Weight != 1 || s.Kind != KindFeed || s.Request.Options != nil {
			t.Errorf("sample %d: %+v, want %+v", i, s, want)
		}
	}
	if f.Requests[0].Options == nil {
		t.Error("the feed's own options are gone")
	}
}

func TestFromFeedRefuses(t *testing.T) {
	if _, counts, err := FromFeed(feedOf("1 2", "3+"), poi.Train, Limits{}); !errors.Is(err, poi.ErrEmpty) || counts.NoClick != 1 || counts.OnlyClicks != 1 {
		t.Errorf("nothing to learn: %+v, %v", counts, err)
	}
	if _, _, err := FromFeed(feedOf("-1 2+"), poi.Train, Limits{}); !errors.Is(err, poi.ErrUnknownPOI) {
		t.Errorf("place -1: %v", err)
	}
	broken := feedOf("1 2+")
	broken.ByTag[poi.Train][0] = 7
	for name, run := range map[string]func() error{
		"limit":   func() error { _, _, err := FromFeed(feedOf("1 2+"), poi.Train, Limits{Negatives: -1}); return err },
		"part":    func() error { _, _, err := FromFeed(feedOf("1 2+"), 9, Limits{}); return err },
		"request": func() error { _, _, err := FromFeed(broken, poi.Train, Limits{}); return err },
	} {
		if err := run(); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Samples keep to the limits, never mix sides, follow the seed, and a request's
// sample does not depend on the other requests.
func TestFromFeedLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := feedOf(rapid.SliceOfN(rapid.StringMatching(`([0-9]\+? ){0,9}`), 1, 8).Draw(t, "lists")...)
		limits := Limits{Positives: rapid.IntRange(1, 3).Draw(t, "p"), Negatives: rapid.IntRange(1, 3).Draw(t, "n"), Seed: rapid.Uint64().Draw(t, "seed")}
		got, _, err := FromFeed(f, poi.Train, limits)
		if err != nil {
			return
		}
		again, _, _ := FromFeed(f, poi.Train, limits)
		if !reflect.DeepEqual(got, again) {
			t.Fatal("two calls differ")
		}
		for _, s := range got {
			at := slices.IndexFunc(f.Requests, func(r poi.Request) bool { return r.ID == s.Request.ID })
			clicked := map[int32]bool{}
			for _, o := range f.Requests[at].Options {
				clicked[o.POI] = clicked[o.POI] || o.Clicked
			}
			if len(s.Positive) > limits.Positives || len(s.Negative) > limits.Negatives || s.Pairs() == 0 {
				t.Fatalf("%+v is over %+v", s, limits)
			}
			for i, id := range slices.Concat(s.Positive, s.Negative) {
				if clicked[id] != (i < len(s.Positive)) {
					t.Fatalf("place %d of %+v is on the wrong side", id, s)
				}
			}
			f.ByTag[poi.Validation] = []int32{int32(at)}
			if alone, _, err := FromFeed(f, poi.Validation, limits); err != nil || !reflect.DeepEqual(alone[0], s) {
				t.Fatalf("alone %+v, %v; among others %+v", alone, err, s)
			}
		}
	})
}

const mealRules = `version: 1
near_m: 8000
anchor_share: 0.4
rules:
  - name: meals
    hours: 11:00-14:00
    prefer: [Food > Lunch Bar]
    avoid: [Work]
    weight: 2
  - name: evening
    hours: 18:00-23:30
    prefer: Leisure
    share: 0.2
`

func toyRules(t testing.TB) (*Rules, *poi.Dataset) {
	t.Helper()
	r, err := Parse("meals.yaml", []byte(mealRules))
	if err != nil {
		t.Fatal(err)
	}
	return r, testkit.Toy(3, 20, 60)
}

func TestTargets(t *testing.T) {
	r, d := toyRules(t)
	moments := DataMoments(d, poi.Train)
	opt := TargetOptions{Samples: 400, Seed: 5, Negatives: 3}
	samples, counts, err := Targets(r, d, moments, opt)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []RuleCounts{{Rule: "meals", Wanted: 160, Made: 160}, {Rule: "evening", Wanted: 80, Made: 80}, {Wanted: 160, Made: 160}} {
		if c := counts[i]; c.Rule != want.Rule || c.Wanted != want.Wanted || c.Made != want.Made || c.Moments == 0 {
			t.Errorf("%+v, want %+v", c, want)
		}
	}
	category := func(id int32) string { return d.Places[id].Category }
	for i := range samples {
		s := &samples[i]
		hour := poi.LocalTime(s.Request.TimeMS, s.Request.OffsetMin).Hour()
		switch s.Kind {
		case KindTarget:
			meal := s.Rule == "meals"
			if meal != (hour >= 11 && hour < 14) || !meal && hour < 18 || s.Weight != map[bool]float64{true: 2, false: 1}[meal] {
				t.Fatalf("sample %d of %s at %d h with weight %v", i, s.Rule, hour, s.Weight)
			}
			want := map[bool]string{true: "Food > Lunch Bar", false: "Leisure > Gym"}[meal]
			if len(s.Positive) != 1 || category(s.Positive[0]) != want || slices.ContainsFunc(s.Negative, func(id int32) bool { return category(id) == want }) {
				t.Fatalf("sample %d of %s: %v against %v", i, s.Rule, s.Positive, s.Negative)
			}
			if work := len(slices.DeleteFunc(slices.Clone(s.Negative), func(id int32) bool { return category(id) != "Work > Office" })); meal && work < 2 {
				t.Fatalf("sample %d has %d avoided negatives of 3, want at least half", i, work)
			}
		case KindAnchor:
			if hour >= 11 && hour < 14 || hour >= 18 && hour < 23 {
				t.Fatalf("anchor %d at %d h", i, hour)
			}
			if i%2 == 1 {
				continue
			}
			mirror := samples[i+1]
			if !slices.Equal(s.Positive, mirror.Negative) || !slices.Equal(s.Negative, mirror.Positive) || s.Request.ID != mirror.Request.ID ||
				s.Weight != mirror.Weight || s.Weight != r.Rules[slices.IndexFunc(r.Rules, func(r Rule) bool { return r.Name == s.Rule })].Weight/2 {
				t.Fatalf("anchor %+v and its mirror %+v", s, mirror)
			}
			if !r.prefers(r.all(), category(s.Positive[0])) || slices.ContainsFunc(s.Negative, func(id int32) bool { return r.prefers(r.all(), category(id)) }) {
				t.Fatalf("anchor %d does not cross the border of the rules", i)
			}
		}
	}
	slices.Reverse(moments)
	if again, _, err := Targets(r, d, moments, opt); err != nil || !reflect.DeepEqual(samples, again) {
		t.Errorf("the order of the requests matters: %v", err)
	}
	opt.Seed++
	if other, _, err := Targets(r, d, moments, opt); err != nil || reflect.DeepEqual(samples, other) {
		t.Errorf("the seed does not matter: %v", err)
	}
}

// What comes after a request must not move its sample.
func TestTargetsIgnoreTheFuture(t *testing.T) {
	r, d := toyRules(t)
	moments := DataMoments(d, poi.Train)
	before, _, err := Targets(r, d, moments, TargetOptions{Samples: 100, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for u := range d.Users {
		for i := range d.Users[u].Visits {
			if v := &d.Users[u].Visits[i]; v.Tag != poi.Train {
				v.POI = (v.POI + 7) % int32(len(d.Places))
			}
		}
	}
	if after, _, err := Targets(r, d, moments, TargetOptions{Samples: 100, Seed: 1}); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("validation and test visits moved training samples: %v", err)
	}
}

func TestTargetsRefuse(t *testing.T) {
	r, d := toyRules(t)
	moments := DataMoments(d, poi.Train)
	at := func(hour int) []poi.Request {
		return slices.DeleteFunc(slices.Clone(moments), func(q poi.Request) bool {
			return poi.LocalTime(q.TimeMS, q.OffsetMin).Hour() != hour
		})
	}
	if _, _, err := Targets(r, d, at(9), TargetOptions{Samples: 10}); !errors.Is(err, poi.ErrEmpty) || !strings.Contains(err.Error(), `"meals"`) {
		t.Errorf("no moment of a rule: %v", err)
	}
	if _, _, err := Targets(r, d, append(at(13), at(19)...), TargetOptions{Samples: 10}); !errors.Is(err, poi.ErrEmpty) || !strings.Contains(err.Error(), "anchor") {
		t.Errorf("no moment of an anchor: %v", err)
	}
	if _, _, err := Targets(r, d, moments, TargetOptions{}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("no samples: %v", err)
	}
	moments[0].Pos = 10_000
	if _, _, err := Targets(r, d, moments, TargetOptions{Samples: 10}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("position: %v", err)
	}
	moments[0].User = 10_000
	if _, _, err := Targets(r, d, moments, TargetOptions{Samples: 10}); !errors.Is(err, poi.ErrUnknownUser) {
		t.Errorf("user: %v", err)
	}
	if got := FeedMoments(feedOf("1 2+"), poi.Train); len(got) != 1 || len(got[0].Options) != 2 {
		t.Errorf("moments of a feed: %+v", got)
	}
}

// Four requests by hand: one at lunch, one in the evening, two at 9 h.
func TestMovedByHand(t *testing.T) {
	r, d := toyRules(t) // place i has category i mod 5: coffee, office, lunch, gym, home
	moment := func(user int32, hour int) poi.Request {
		return poi.Request{ID: fmt.Sprint(user, hour), User: user, TimeMS: time.Date(2024, 4, 1, hour, 0, 0, 0, time.UTC).UnixMilli()}
	}
	requests := []poi.Request{moment(0, 12), moment(1, 19), moment(0, 9), moment(2, 9)}
	before := [][]int32{{0, 1, 2, 4}, {0, 1, 4, 5}, {2, 0, 1, 5}, {3, 0, 1, 5}}
	after := [][]int32{{2, 7, 12, 0}, {3, 0, 1, 4}, {2, 0, 1, 5}, {8, 2, 0, 1}}
	m, err := Moved(r, d, requests, before, after, MovedOptions{Top: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what                        string
		got                         Share
		n                           int
		before, after, change, kept float64
	}{
		{"meals inside", m.Rules[0].Inside, 1, .25, .75, .5, .5},
		{"meals outside", m.Rules[0].Outside, 2, .125, .25, .125, .75},
		{"evening inside", m.Rules[1].Inside, 1, 0, .25, .25, .75},
		{"evening outside", m.Rules[1].Outside, 2, .125, .125, 0, .75},
		{"all inside", m.Rules[2].Inside, 2, .125, .5, .375, .625},
		{"all outside", m.Rules[2].Outside, 2, .25, .375, .125, .75},
	} {
		if c.got.N != c.n || c.got.Before.Value != c.before || c.got.After.Value != c.after || c.got.Change.Value != c.change || c.got.Kept.Value != c.kept {
			t.Errorf("%s: %+v, want %+v", c.what, c.got, c)
		}
	}
	var text strings.Builder
	if err := m.WriteMarkdown(&text); err != nil || !strings.Contains(text.String(), "| all rules | of the rule | 2 | 12.5 [0.0, 25.0] |") {
		t.Errorf("%v\n%s", err, text.String())
	}
	one, err := Moved(r, d, requests[:1], before[:1], after[:1], MovedOptions{})
	if err != nil || one.Rules[0].Outside.N != 0 || one.Top != DefaultTop {
		t.Errorf("nothing outside: %+v, %v", one, err)
	}
	for name, lists := range map[string][][]int32{"none": {{}}, "twice": {{1, 1}}, "unknown": {{1000}}, "count": {{1}, {2}}} {
		if _, err := Moved(r, d, requests[:1], lists, after[:len(lists)], MovedOptions{}); !errors.Is(err, poi.ErrBadInput) && !errors.Is(err, poi.ErrUnknownPOI) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
