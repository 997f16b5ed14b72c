package spacetime

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/testkit"
)

// What answers returns, in order.
const (
	givenScores = iota // [R, C]
	givenProbs         // [R, C]
	givenUsers         // [R, E]
	givenPlaces        // [R*C, E], of the options
)

// answers is the graph of everything that serving asks of the stages.
func answers(tr *feedTrial) graph {
	return func(s *model.Scope, in []*Node) []*Node {
		option, show := in[batch.FeedOption], in[batch.FeedShow]
		places := tr.stage.Places(s, Reshape(option, option.Shape().Size()), Reshape(show, option.Shape().Size(), -1))
		return []*Node{tr.stage.Scores(s, in)[0], tr.stage.LogProbs(s, in), tr.stage.Users(s, in), places}
	}
}

// eachFeed runs a test of the graph of build on "go" for every variant, and for the whole
// hierarchical network with media, which has every kind of token, on the others.
func eachFeed(t *testing.T, media int, seed uint64, build func(tr *feedTrial) graph, f func(t *testing.T, tr *feedTrial)) {
	backends := testkit.Backends(t)
	for k, v := range feedVariants() {
		tune := stageCases()[0].tune
		tune.Interest, tune.Likelihood = 4, true
		tr := newFeedTrial(t, backends["go"], v, media, tune, seed+uint64(k), build)
		for _, name := range slices.Sorted(maps.Keys(backends)) {
			if name == "go" || v.name == "hier" {
				t.Run(name+"/"+v.name, func(t *testing.T) {
					tr.on(backends[name])
					f(t, tr)
				})
			}
		}
	}
}

func (tr *feedTrial) answers(b *batch.FeedBatch) [][]float64 {
	return tr.ask("answers", answers(tr), b)
}

// given is what is said of one request, all of it, and of each option that is
// there, by place.
func given(b *batch.FeedBatch, out [][]float64, request int) (user []float64, options map[int32][]float64) {
	c := b.Arrays[batch.FeedOption].Dims[2]
	rows := size(b.Arrays[batch.FeedAt].Dims)
	e := len(out[givenUsers]) / rows
	options = map[int32][]float64{}
	for k := request * c; k < (request+1)*c; k++ {
		if p := b.Arrays[batch.FeedOption].I[k]; p > 0 {
			options[p] = append([]float64{out[givenScores][k], out[givenProbs][k]}, out[givenPlaces][k*e:(k+1)*e]...)
		}
	}
	return out[givenUsers][request*e : (request+1)*e], options
}

// keeps wants a request's user vector, and what is said of each option that both
// batches have, unchanged; renamed is the request's number in the other batch.
func (tr *feedTrial) keeps(t *testing.T, what string, before [][]float64, b *batch.FeedBatch, after [][]float64, request, renamed int) {
	t.Helper()
	user, options := given(tr.feed, before, request)
	other, others := given(b, after, renamed)
	close5(t, fmt.Sprintf("%s: user of request %d", what, request), other, user)
	compared := 0
	for p, want := range options {
		if got, ok := others[p]; ok {
			close5(t, fmt.Sprintf("%s: request %d, place %d", what, request, p), got, want)
			compared++
		}
	}
	if compared == 0 && len(options) > 0 {
		t.Errorf("%s: no option of request %d is in both batches", what, request)
	}
}

// moves wants the scores of a request changed.
func (tr *feedTrial) moves(t *testing.T, what string, before, after [][]float64, request int) {
	t.Helper()
	_, a := given(tr.feed, before, request)
	_, b := given(tr.feed, after, request)
	for p := range a {
		if a[p][0] == b[p][0] {
			t.Errorf("%s: the score of place %d of request %d did not change", what, p, request)
		}
	}
}

// The tiny feed has requests 0, 1 and 2 in its first window, after 2, 4 and 3
// actions, and 3 and 4 in its second, after 0 and 3.
const tinyRequests = 5

// What is said of a candidate does not depend on the order of candidates, on the
// others, on other requests or on the size of the buckets.
func TestCandidatesStandAlone(t *testing.T) {
	eachFeed(t, tinyMedia, 4000, answers, func(t *testing.T, tr *feedTrial) {
		before := tr.answers(tr.feed)
		all := func(what string, change func(b *batch.FeedBatch)) {
			t.Helper()
			b := tr.edited(change)
			asks := b.Arrays[batch.FeedAt].Dims[1]
			after := tr.answers(b)
			for q := range tinyRequests {
				tr.keeps(t, what, before, b, after, q, q/3*asks+q%3)
			}
		}
		all("candidates in reverse", func(b *batch.FeedBatch) {
			for q := range tinyRequests {
				exchange(b, q*3, q*3+1)
			}
			exchange(b, 0, 2)
		})
		all("without the first candidates", func(b *batch.FeedBatch) {
			for q := range tinyRequests {
				b.Arrays[batch.FeedOption].I[q*3] = 0
			}
		})
		all("with more candidates", func(b *batch.FeedBatch) {
			b.Arrays[batch.FeedOption].I[1*3+2], b.Arrays[batch.FeedOption].I[4*3+2] = 6, 9
		})
		all("with another request", func(b *batch.FeedBatch) {
			copy(b.Arrays[batch.FeedOption].I[5*3:], []int32{2, 4, 6})
			b.Arrays[batch.FeedAt].I[5], b.Arrays[batch.FeedWeight].F[5] = 2, 1
		})
		all("in larger buckets", func(b *batch.FeedBatch) { enlarge(b, 1, 1, 1) })
		if tr.be.Name() != "go" {
			return // each of these shapes alone, where compiling is cheap
		}
		all("more room for actions", func(b *batch.FeedBatch) { enlarge(b, 3, 0, 0) })
		all("more room for requests", func(b *batch.FeedBatch) { enlarge(b, 0, 2, 0) })
		all("more room for candidates", func(b *batch.FeedBatch) { enlarge(b, 0, 0, 4) })
	})
}

// exchange swaps two options with all that belongs to them.
func exchange(b *batch.FeedBatch, i, j int) {
	o := b.Arrays[batch.FeedOption].I
	o[i], o[j] = o[j], o[i]
	for _, array := range []int{batch.FeedShow, batch.FeedSpot} {
		a := b.Arrays[array]
		w := a.Dims[3]
		for k := range w {
			a.F[i*w+k], a.F[j*w+k] = a.F[j*w+k], a.F[i*w+k]
		}
	}
}

// enlarge adds room for actions, requests and candidates.
func enlarge(b *batch.FeedBatch, actions, requests, candidates int) {
	for array := range b.Arrays {
		switch {
		case array == batch.InUser || array == batch.InProfile:
		case array < batch.InRequest || array == batch.FeedMedia:
			widen(&b.Arrays[array], 1, actions)
		default:
			widen(&b.Arrays[array], 1, requests)
		}
	}
	for _, array := range []int{batch.FeedOption, batch.FeedClicked, batch.FeedExtra, batch.FeedShow, batch.FeedSpot} {
		widen(&b.Arrays[array], 2, candidates)
	}
}

// Clicks, references and weights reach no answer; of two requests each answers by
// its own time and place only.
func TestLabelsAndNeighboursAreNotSeen(t *testing.T) {
	eachFeed(t, tinyMedia, 4100, answers, func(t *testing.T, tr *feedTrial) {
		before := tr.answers(tr.feed)
		after := tr.answers(tr.edited(func(b *batch.FeedBatch) {
			for _, array := range []int{batch.FeedClicked, batch.FeedExtra, batch.FeedWeight} {
				for i := range b.Arrays[array].F {
					b.Arrays[array].F[i] = 1 - b.Arrays[array].F[i]
				}
			}
		}))
		for i := range before {
			if !slices.Equal(before[i], after[i]) {
				t.Errorf("answer %d depends on clicks, references or weights", i)
			}
		}
		b := tr.edited(func(b *batch.FeedBatch) {
			for f := range 4 {
				b.Arrays[batch.FeedTimes].I[1*4+f] ^= 1
			}
			for l := range b.Arrays[batch.FeedCells].Dims[2] {
				b.Arrays[batch.FeedCells].I[1*b.Arrays[batch.FeedCells].Dims[2]+l] ^= 1
			}
			b.Arrays[batch.FeedClock].F[1] += 7
			b.Arrays[batch.FeedFrom].F[2] -= 5
		})
		after = tr.answers(b)
		for _, q := range []int{0, 2, 3, 4} {
			tr.keeps(t, "another request's moment", before, b, after, q, q)
		}
		if tr.v.c.Time || tr.v.c.Geo || tr.v.c.SpacetimeBias {
			tr.moves(t, "its moment", before, after, 1)
		}
	})
}

// A request sees the actions before it, whatever the window goes on to hold.
func TestFeedCausality(t *testing.T) {
	eachFeed(t, tinyMedia, 4200, answers, func(t *testing.T, tr *feedTrial) {
		before := tr.answers(tr.feed)
		from := func(action int) (*batch.FeedBatch, [][]float64) {
			b := tr.edited(func(b *batch.FeedBatch) {
				window := &batch.Batch{}
				copy(window.Arrays[:], b.Arrays[:batch.InRequest])
				tr.actions(window, action, 4)
				for i := action * tinyMedia; i < 4*tinyMedia; i++ {
					b.Arrays[batch.FeedMedia].F[i]++
				}
			})
			return b, tr.answers(b)
		}
		b, after := from(2)
		tr.keeps(t, "actions 2 and 3 changed", before, b, after, 0, 0)
		tr.keeps(t, "the other window changed", before, b, after, 3, 3)
		tr.keeps(t, "the other window changed", before, b, after, 4, 4)
		if tr.v.c.WholeHistory {
			tr.moves(t, "action 2 changed", before, after, 2)
		}
		b, after = from(3)
		tr.keeps(t, "action 3 changed", before, b, after, 0, 0)
		tr.keeps(t, "action 3 changed", before, b, after, 2, 2)
		if tr.v.c.WholeHistory {
			tr.moves(t, "action 3 changed", before, after, 1)
		}
	})
}

// The way to a candidate moves its own score, if the recipe asks for distances, and
// nothing else: its vector has no user to be far from, and the generating heads speak
// before they see it.
func TestDistanceOfACandidate(t *testing.T) {
	eachFeed(t, tinyMedia, 4600, answers, func(t *testing.T, tr *feedTrial) {
		before := tr.answers(tr.feed)
		after := tr.answers(tr.edited(func(b *batch.FeedBatch) { b.Arrays[batch.FeedSpot].F[1*2] += 3 }))
		for i := range before {
			for k, want := range before[i] {
				moved := tr.v.c.Distance && i == givenScores && k == 1
				if got := after[i][k]; (got != want) != moved {
					t.Errorf("answer %d, value %d is %v, then %v as candidate 1 moved", i, k, want, got)
				}
			}
		}
	})
}

// The media vector of a candidate moves its own score and vector, nothing else: the
// generating heads speak before they see it.
func TestMediaOfACandidate(t *testing.T) {
	eachFeed(t, tinyMedia, 4300, answers, func(t *testing.T, tr *feedTrial) {
		before := tr.answers(tr.feed)
		b := tr.edited(func(b *batch.FeedBatch) { b.Arrays[batch.FeedShow].F[1*tinyMedia] += 2 })
		after := tr.answers(b)
		for q := 1; q < tinyRequests; q++ {
			tr.keeps(t, "media of another request's candidate", before, b, after, q, q)
		}
		user, options := given(tr.feed, before, 0)
		other, others := given(b, after, 0)
		close5(t, "user", other, user)
		for p, want := range options {
			got := others[p]
			if moved := p == tr.feed.Arrays[batch.FeedOption].I[1]; !moved {
				close5(t, fmt.Sprintf("place %d beside it", p), got, want)
			} else if got[0] == want[0] || slices.Equal(got[2:], want[2:]) {
				t.Errorf("score or vector of place %d did not change with its media", p)
			} else {
				close5(t, "log-probability", got[1:2], want[1:2])
			}
		}
	})
}

// User vectors know nothing of the options, place vectors nothing of users: not
// their data, and none of the weights that only users have.
func TestTowersStandApart(t *testing.T) {
	eachFeed(t, tinyMedia, 4400, answers, func(t *testing.T, tr *feedTrial) {
		before := tr.answers(tr.feed)
		after := tr.answers(tr.edited(func(b *batch.FeedBatch) {
			for i, p := range b.Arrays[batch.FeedOption].I {
				b.Arrays[batch.FeedOption].I[i] = (p + 4) % (tinyPlaces + 1)
			}
			for i := range b.Arrays[batch.FeedShow].F {
				b.Arrays[batch.FeedShow].F[i]++
			}
		}))
		if !slices.Equal(before[givenUsers], after[givenUsers]) {
			t.Error("user vectors depend on the options")
		}
		if slices.Equal(before[givenPlaces], after[givenPlaces]) {
			t.Error("place vectors do not depend on the places")
		}
		for name := range tr.w {
			if theirs := []string{"time", "user", "profile", "action", "bias"}; slices.Contains(theirs, group(name)) || strings.HasPrefix(name, "gate/request") || name == "embed/user" {
				tr.w[name][0] += 3
				tr.w[name][len(tr.w[name])-1] -= 2
			}
		}
		tr.fill()
		after = tr.answers(tr.feed)
		if !slices.Equal(before[givenPlaces], after[givenPlaces]) {
			t.Error("place vectors depend on weights of users")
		}
		if slices.Equal(before[givenUsers], after[givenUsers]) {
			t.Error("user vectors do not depend on weights of users")
		}
	})
}

// served is answers beside the first step of serving, on windows that are constants:
// it says which variables both have.
func served(tr *feedTrial) graph {
	return func(s *model.Scope, in []*Node) []*Node {
		var windows []*Node
		for _, a := range single(tr.b, 5, 3, 1).Arrays {
			windows = append(windows, ConstTensor(in[0].Graph(), tensorOf(a)))
		}
		return append(answers(tr)(s, in), tr.m.First(s, windows)[0])
	}
}

// A candidate's log-probability is what the serving path says of its place: First
// on the open window of the request, then Expand on its block.
func TestLogProbsEqualServing(t *testing.T) {
	eachFeed(t, 0, 4500, served, func(t *testing.T, tr *feedTrial) {
		probs := tr.answers(tr.feed)[givenProbs]
		of := showns(tr.feed)
		windows, _ := tr.plain(tr.feed, of)
		asked := open(windows)
		blocks := []int32{3, 1, 2}
		var first, inner []float64
		if tr.v.hier {
			first, inner = tr.expanded(asked, blocks)
		} else {
			first = wide(tr.call("first", tr.m.First, asked)[0])
		}
		dims := tr.feed.Arrays[batch.FeedOption].Dims
		width := len(first) / len(of)
		for r, o := range of {
			place := windows.Arrays[batch.InLabel].I[r]
			token := place
			if tr.v.hier {
				token = tr.m.Tables.Block[place]
			}
			want := first[r*width+int(token)]
			if tr.v.hier {
				k := r*len(blocks) + slices.Index(blocks, token)
				want += inner[k*tr.m.Tables.Tokens+int(tr.m.Tables.Place[place])]
			}
			got := probs[(o.i*dims[1]+o.m)*dims[2]+o.c]
			close5(t, fmt.Sprintf("option %v", o), []float64{got}, []float64{want})
		}
	})
}
