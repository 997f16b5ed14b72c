package telemetry

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// newTestDrift returns metrics whose clock stands at noon until it is moved.
func newTestDrift(t testing.TB) (*Metrics, *time.Time) {
	m := newTestMetrics(t)
	now := noon
	m.drift.memory.now = func() time.Time { return now }
	return m, &now
}

func TestActedCountsTheRank(t *testing.T) {
	list := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}
	for _, tc := range []struct {
		name        string
		user, poi   string
		after       time.Duration // of the action after the moment asked about
		later       time.Duration // of the action after the answer, by the clock
		actions     float64
		h1, h5, h10 float64
	}{
		{"first", "u", "a", time.Hour, 0, 1, 1, 1, 1},
		{"fifth", "u", "e", time.Hour, 0, 1, 0, 1, 1},
		{"sixth", "u", "f", time.Hour, 0, 1, 0, 0, 1},
		{"tenth", "u", "j", time.Hour, 0, 1, 0, 0, 1},
		{"eleventh is not remembered", "u", "k", time.Hour, 0, 1, 0, 0, 0},
		{"elsewhere", "u", "z", time.Hour, 0, 1, 0, 0, 0},
		{"at the same moment", "u", "a", 0, 0, 1, 1, 1, 1},
		{"before the moment", "u", "a", -time.Second, 0, 0, 0, 0, 0},
		{"a day later", "u", "a", 24 * time.Hour, 0, 1, 1, 1, 1},
		{"more than a day later", "u", "a", 24*time.Hour + 1, 0, 0, 0, 0, 0},
		{"sent more than a day later", "u", "a", time.Hour, 24*time.Hour + 1, 0, 0, 0, 0},
		{"somebody else", "v", "a", time.Hour, 0, 0, 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, now := newTestDrift(t)
			asked := noon.AddDate(-10, 0, 0) // a question about another time than now
			m.Recommended(Answer{User: "u", Asked: asked, POIs: list, Probability: .5})
			*now = now.Add(tc.later)
			m.Acted(tc.user, tc.poi, asked.Add(tc.after))
			got := series(t, m)
			for name, want := range map[string]float64{"whereto_online_actions_total": tc.actions, "whereto_online_hits_total{k=1}": tc.h1,
				"whereto_online_hits_total{k=5}": tc.h5, "whereto_online_hits_total{k=10}": tc.h10} {
				if got[name] != want {
					t.Errorf("%s is %v, want %v", name, got[name], want)
				}
			}
		})
	}
}

// Only the latest answer counts, for one action; forgetting takes it away.
func TestMemoryKeepsTheLatestAnswer(t *testing.T) {
	m, _ := newTestDrift(t)
	ask := func(pois ...string) { m.Recommended(Answer{User: "u", Asked: noon, POIs: pois, Probability: 1}) }
	hits := func() [2]float64 {
		s := series(t, m)
		return [2]float64{s["whereto_online_actions_total"], s["whereto_online_hits_total{k=1}"]}
	}
	ask("a")
	ask("b")
	m.Acted("u", "a", noon)
	m.Acted("u", "b", noon)
	if got := hits(); got != [2]float64{1, 0} {
		t.Errorf("after a second answer: %v actions and hits, want 1 and 0", got)
	}
	ask("a")
	m.Acted("u", "a", noon.Add(-time.Hour)) // an old action sent late leaves the answer waiting
	m.Acted("u", "a", noon)
	if got := hits(); got != [2]float64{2, 1} {
		t.Errorf("after a late old action: %v, want 2 and 1", got)
	}
	ask("a")
	m.Forget("u")
	m.Acted("u", "a", noon)
	if got := hits(); got != [2]float64{2, 1} {
		t.Errorf("after forgetting: %v, want 2 and 1", got)
	}
	m.Recommended(Answer{Asked: noon, POIs: []string{"a"}})
	m.Acted("", "a", noon)
	if got := hits(); got != [2]float64{2, 1} {
		t.Errorf("an inline history was remembered: %v", got)
	}
}

// The memory has a bound in users, and drops those whose answer is oldest.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(func() time.Time { return noon })
	for i := range memoryUsers + 10 {
		m.remember(fmt.Sprint(i), noon, []string{"a"}, 0)
	}
	if len(m.where) != memoryUsers || len(m.slots) != memoryUsers {
		t.Fatalf("%d users in %d slots, want %d", len(m.where), len(m.slots), memoryUsers)
	}
	for i, want := range map[int]bool{0: false, 9: false, 10: true, memoryUsers + 9: true} {
		if _, _, got := m.follow(fmt.Sprint(i), "a", noon); got != want {
			t.Errorf("user %d remembered: %v, want %v", i, got, want)
		}
	}
}

// The memory answers as a plain map would, as long as it has room.
func TestMemoryLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, plainMap := newMemory(func() time.Time { return noon }), map[string][]string{}
		user, poi := rapid.SampledFrom([]string{"a", "b", "c", ""}), rapid.SampledFrom([]string{"x", "y", "z"})
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			u := user.Draw(t, "user")
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				list := rapid.SliceOfN(poi, 1, 12).Draw(t, "list")
				m.remember(u, noon, list, 0)
				plainMap[u] = list[:min(len(list), memoryRanks)]
			case 1:
				p, want := poi.Draw(t, "poi"), 0
				for i, q := range plainMap[u] {
					if q == p && want == 0 {
						want = i + 1
					}
				}
				_, known := plainMap[u]
				if rank, _, follows := m.follow(u, p, noon); rank != want || follows != known {
					t.Fatalf("rank %d, follows %v; want %d, %v", rank, follows, want, known)
				}
				delete(plainMap, u)
			case 2:
				m.forget(u)
				delete(plainMap, u)
			}
		}
	})
}

func TestDriftGauges(t *testing.T) {
	m, _ := newTestDrift(t)
	for name := range series(t, m) {
		if name == "whereto_expected_hit_ratio" || name == "whereto_calibration_error" {
			t.Errorf("%s before the first answer", name)
		}
	}
	for i, p := range []float64{.5, .25, .75, math.NaN()} {
		user := fmt.Sprint(i)
		m.Recommended(Answer{User: user, Asked: noon, POIs: []string{"a", "b"}, Source: AnswerSource(i), Probability: p})
	}
	m.Recommended(Answer{Source: AnswerSource(99), Probability: 1}) // no source of ours: not counted
	m.Acted("0", "a", noon)
	m.Acted("1", "b", noon)
	got := series(t, m)
	for name, want := range map[string]float64{
		"whereto_answers_ratio{source=copy}":     .25,
		"whereto_answers_ratio{source=fallback}": .25,
		"whereto_expected_hit_ratio":             1.5 / 4,
		"whereto_calibration_error":              (.5 + .25 - 1) / 2,
	} {
		if math.Abs(got[name]-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

// The windows forget: their sums are those of the last values, exactly.
func TestWindowsSlide(t *testing.T) {
	m, _ := newTestDrift(t)
	for i := range answerWindow + actionWindow + 7 {
		source, p := SourceCopy, 1.
		if i >= answerWindow/2 {
			source, p = SourceGenerate, .1
		}
		m.Recommended(Answer{User: "u", Asked: noon, POIs: []string{"a"}, Source: source, Probability: p})
		m.Acted("u", "b", noon)
	}
	got := series(t, m)
	copies := float64(answerWindow/2-actionWindow-7) / answerWindow
	for name, want := range map[string]float64{
		"whereto_answers_ratio{source=copy}": copies,
		"whereto_expected_hit_ratio":         copies + .1*(1-copies),
		"whereto_calibration_error":          .1,
	} {
		if math.Abs(got[name]-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
