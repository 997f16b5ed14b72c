package metric

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestStandingByHand(t *testing.T) {
	// Two above, three tied: the target covers ranks 3, 4, 5.
	s, err := Stand([]float64{5, 9, 5, 1, 5, 7}, 2)
	if err != nil || s != (Standing{Above: 2, Tied: 3}) {
		t.Fatalf("Stand = %+v, %v", s, err)
	}
	near(t, "Rank", s.Rank(), 4)
	for k, want := range map[int]float64{-1: 0, 0: 0, 2: 0, 3: 1. / 3, 4: 2. / 3, 5: 1, 99: 1} {
		near(t, "Hit", s.Hit(k), want)
	}
	near(t, "MRR", s.MRR(), (1./3+1./4+1./5)/3)
	near(t, "NDCG@4", s.NDCG(4), (1/math.Log2(4)+1/math.Log2(5))/3)
	near(t, "NDCG@2", s.NDCG(2), 0)
	near(t, "best NDCG", Standing{Tied: 1}.NDCG(1), 1)
	near(t, "best MRR", Standing{Tied: 1}.MRR(), 1)
}

func TestStandOrdersInfinities(t *testing.T) {
	s, err := Stand([]float64{math.Inf(-1), 0, math.Inf(-1), math.Inf(1)}, 0)
	if err != nil || s != (Standing{Above: 2, Tied: 2}) {
		t.Fatalf("Stand = %+v, %v", s, err)
	}
}

// A tie-break of 1e-6 above a count of 300 is lost in float32: the reason why
// scores are float64.
func TestSmallTieBreakSurvives(t *testing.T) {
	s, err := Stand([]float64{300 + 1e-6, 300}, 0)
	if err != nil || s.Tied != 1 {
		t.Fatalf("Stand = %+v, %v", s, err)
	}
}

func TestStandRejects(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		scores []float64
		target int
	}{{nil, 0}, {[]float64{1}, 1}, {[]float64{1}, -1}, {[]float64{nan}, 0}, {[]float64{nan, 1}, 1}, {[]float64{1, nan}, 1}} {
		if _, err := Stand(c.scores, c.target); !errors.Is(err, ErrInput) {
			t.Errorf("Stand(%v, %d): error %v, want ErrInput", c.scores, c.target, err)
		}
	}
}

func TestRecall(t *testing.T) {
	got, err := Recall([]Standing{{0, 1}, {4, 2}, {20, 1}}, 5)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "Recall@5", got, (1+.5+0)/3)
	if _, err := Recall(nil, 5); !errors.Is(err, ErrInput) {
		t.Errorf("Recall of nothing: %v", err)
	}
}

// The expectation over ties equals the average over all random tie-breaks.
func TestExpectationMatchesRandomTieBreaks(t *testing.T) {
	s := Standing{Above: 1, Tied: 4}
	rng := rand.New(rand.NewPCG(1, 2))
	const draws = 200_000
	var rank, hit, mrr, ndcg float64
	for range draws {
		r := s.Above + 1 + rng.IntN(s.Tied)
		rank += float64(r)
		mrr += 1 / float64(r)
		if r <= 3 {
			hit++
			ndcg += 1 / math.Log2(float64(r)+1)
		}
	}
	for name, pair := range map[string][2]float64{"rank": {rank, s.Rank()}, "hit": {hit, s.Hit(3)}, "mrr": {mrr, s.MRR()}, "ndcg": {ndcg, s.NDCG(3)}} {
		if got := pair[0] / draws; math.Abs(got-pair[1]) > 0.01 {
			t.Errorf("%s: %v drawn, %v expected", name, got, pair[1])
		}
	}
}

func TestStandingLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 30).Draw(t, "scores")
		scores := make([]float64, len(whole))
		for i, x := range whole {
			scores[i] = float64(x)
		}
		n := float64(len(scores))
		var ranks, top, mrr float64
		k := rapid.IntRange(1, len(scores)).Draw(t, "k")
		for i := range scores {
			s, err := Stand(scores, i)
			if err != nil {
				t.Fatal(err)
			}
			ranks, top, mrr = ranks+s.Rank(), top+s.Hit(k), mrr+s.MRR()
			if s.Hit(k) > s.Hit(k+1) || s.NDCG(k) > s.Hit(k) || s.NDCG(k) > s.NDCG(k+1) {
				t.Fatalf("%+v at k=%d: not monotone", s, k)
			}
			if s.Hit(len(scores)) != 1 {
				t.Fatalf("%+v is not in the whole list", s)
			}
			if s.Tied == 1 && (s.MRR() != 1/s.Rank() || s.Hit(k) != 0 && s.Hit(k) != 1) {
				t.Fatalf("%+v: an untied standing is certain", s)
			}
		}
		// Ties share places, they do not make more of them.
		harmonic := 0.0
		for r := 1.0; r <= n; r++ {
			harmonic += 1 / r
		}
		if math.Abs(ranks-n*(n+1)/2) > 1e-9 || math.Abs(top-float64(k)) > 1e-9 || math.Abs(mrr-harmonic) > 1e-9 {
			t.Fatalf("ranks sum to %v, hits to %v, reciprocal ranks to %v", ranks, top, mrr)
		}
	})
}
