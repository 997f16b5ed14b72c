package spacetime

import (
	"math"
	"slices"
	"strings"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/oracle"
)

// feedNetwork is a stage of post-training in plain float64 Go. It knows nothing of
// the feed's layout: each option is an action of a plain window, run alone through
// the oracle of pre-training, and cut behind the token that is asked for.
type feedNetwork struct {
	network            // on the plain windows, one for each option of of
	stage   TuneConfig // what is learned
	feed    *batch.FeedBatch
	of      []shown
	media   batch.Array // of the plain windows' places
	decoder *oracle.Decoder
	users   map[int][]float64 // of each request once asked for, the state at u
}

// judgement is what the stage says of one option: a cosine, a logit or a
// log-probability.
type judgement struct {
	shown
	request   int   // number of the option's request in the batch
	place     int32 // + 1
	clicked   bool
	weight    float64 // of the request
	score     float64
	reference float64
}

// oracle is the stage's network of the trial.
func (tr *feedTrial) oracle() *feedNetwork {
	o := &feedNetwork{network: *tr.network(nil), stage: tr.stage.Tune, feed: tr.feed, of: showns(tr.feed)}
	o.b, o.media = tr.plain(tr.feed, o.of)
	below := map[string][]float64{}
	for path, w := range tr.w {
		if name, ok := strings.CutPrefix(path, "decoder/"); ok {
			below[name] = w
		}
	}
	o.decoder = oracle.NewDecoder(tr.v.c.Decoder, below)
	return o
}

// vector is the projection of a media vector, which is added to a place's token.
func (o *feedNetwork) vector(x []float32) []float64 {
	if o.t.Media == 0 {
		return make([]float64, o.c.Decoder.Dim)
	}
	wide := make([]float64, len(x))
	for i := range x {
		wide[i] = mediaGain * float64(x[i])
	}
	return oracle.Product(wide, o.w["media/map"], o.c.Decoder.Dim)
}

// kinds is the number of tokens of an option with its request: u, (block,) place.
func (o *feedNetwork) kinds() int {
	if o.t.Hier {
		return 3
	}
	return 2
}

// states are the hidden states of row r's option at its first tokens, from u.
func (o *feedNetwork) states(r, first int) [][]float64 {
	at := int(o.ints(batch.InRequest, r, 0)[0])
	tokens := o.layout()
	tokens = tokens[:slices.Index(tokens, token{at, first - 1})+1]
	x, pos := make([][]float64, len(tokens)), make([]int32, len(tokens))
	width := o.media.Dims[2]
	for t, k := range tokens {
		x[t], pos[t] = o.embed(r, t, k), int32(t)
		if k.action >= 0 && k.kind == o.kinds()-1 {
			x[t] = plus(x[t], o.vector(o.media.F[(r*o.n()+k.action)*width:][:width]))
		}
	}
	hidden := o.decoder.Forward(x, pos,
		func(q, k int) bool { return o.sees(r, tokens, q, k) },
		func(h, q, k int) float64 { return o.nearness(r, h, tokens[q].action, tokens[k].action) })
	return hidden[len(hidden)-first:]
}

// user is the state at u of row r's request.
func (o *feedNetwork) user(r int) []float64 {
	q := o.of[r].i*o.feed.Arrays[batch.FeedAt].Dims[1] + o.of[r].m
	if o.users[q] == nil {
		o.users[q] = o.states(r, 1)[0]
	}
	return o.users[q]
}

// tower is the hidden state of row r's option alone, two tokens or one.
func (o *feedNetwork) tower(r int, place int32) []float64 {
	d, at, width := o.c.Decoder.Dim, int(o.ints(batch.InRequest, r, 0)[0]), o.media.Dims[2]
	last := plus(o.places[place], o.row("kind", o.kinds()-1, d))
	x := [][]float64{plus(last, o.vector(o.media.F[(r*o.n()+at)*width:][:width]))}
	if o.t.Hier {
		x = [][]float64{plus(o.row("block", int(o.t.Block[place]), d), o.row("kind", 1, d)), x[0]}
	}
	hidden := o.decoder.Forward(x, []int32{0, 1}[:len(x)],
		func(q, k int) bool { return k <= q }, func(int, int, int) float64 { return 0 })
	return hidden[len(hidden)-1]
}

// userVector and placeVector are E_u and E_p of row r.
func (o *feedNetwork) userVector(r int) []float64 {
	e := oracle.Product(o.user(r), o.w["embed/user"], o.stage.Dim-o.stage.Interest)
	if o.stage.Interest > 0 {
		for i, x := range o.habits(r) {
			e = append(e, x*(commonStart+o.w["interest/common"][i]))
		}
	}
	return unit(e)
}

func (o *feedNetwork) placeVector(r int, place int32) []float64 {
	e := oracle.Product(o.tower(r, place), o.w["embed/place"], o.stage.Dim-o.stage.Interest)
	if o.stage.Interest > 0 {
		e = append(e, o.traits(place, o.shownMedia(r, int(o.ints(batch.InRequest, r, 0)[0])))...)
	}
	return unit(e)
}

// unit scales a vector to length one.
func unit(e []float64) []float64 {
	length := math.Sqrt(oracle.Dot(e, e))
	for i := range e {
		e[i] /= length
	}
	return e
}

// judge scores option r.
func (o *feedNetwork) judge(r int, place int32) float64 {
	switch o.stage.Stage {
	case StageEmbed:
		return oracle.Dot(o.userVector(r), o.placeVector(r, place))
	case StageRank:
		h := o.states(r, o.kinds())
		z := oracle.Dot(h[len(h)-1], o.w["rank/out"]) + o.w["rank/bias"][0]
		if o.stage.Likelihood {
			for i, p := range o.chances(r, place) {
				z += o.w["rank/likelihood"][i] * p
			}
		}
		if o.stage.Interest > 0 {
			z += o.liking(r, place)
		}
		return z
	}
	sum := 0.0
	for _, p := range o.chances(r, place) {
		sum += p
	}
	return sum
}

// chances are log p(block) and log p(inner | block), or log p(place).
func (o *feedNetwork) chances(r int, place int32) []float64 {
	if !o.t.Hier {
		return []float64{o.distribution("flat", o.user(r), func(v int) []float64 { return o.places[v] })[place]}
	}
	d, h := o.c.Decoder.Dim, o.states(r, 2)
	blocks := o.distribution("blocks", h[0], func(v int) []float64 { return o.row("block", v, d) })
	inners := o.distribution("inners", h[1], func(v int) []float64 { return o.row("place", v, d) })
	return []float64{blocks[o.t.Block[place]], inners[o.t.Place[place]]}
}

// judgements are of every option that is not padding, request by request.
func (o *feedNetwork) judgements() []judgement {
	o.places, o.users = nil, map[int][]float64{}
	for p := range o.t.Places() {
		o.places = append(o.places, o.place(p))
	}
	dims := o.feed.Arrays[batch.FeedOption].Dims
	var out []judgement
	for r, s := range o.of {
		q := s.i*dims[1] + s.m
		k := q*dims[2] + s.c
		j := judgement{shown: s, request: q, place: o.feed.Arrays[batch.FeedOption].I[k], clicked: o.feed.Arrays[batch.FeedClicked].F[k] > 0,
			weight: float64(o.feed.Arrays[batch.FeedWeight].F[q]), reference: float64(o.feed.Arrays[batch.FeedExtra].F[k])}
		if j.weight > 0 {
			j.score = o.judge(r, j.place)
		}
		out = append(out, j)
	}
	return out
}

// others are the cosines of request q's user with the clicked places of the other
// requests of the batch that it did not show itself.
func (o *feedNetwork) others(all []judgement, q int) (out []float64) {
	row := slices.IndexFunc(all, func(j judgement) bool { return j.request == q })
	user := o.userVector(row)
	for r, j := range all {
		here := slices.ContainsFunc(all, func(x judgement) bool { return x.request == q && x.place == j.place })
		if j.clicked && j.request != q && !here {
			out = append(out, oracle.Dot(user, o.placeVector(r, j.place)))
		}
	}
	return out
}

// loss is the stage's printed formula, requests added up to their mean by weight.
func (o *feedNetwork) loss() float64 {
	all := o.judgements()
	sum, total := 0.0, 0.0
	for q := range size(o.feed.Arrays[batch.FeedAt].Dims) {
		value, weight := o.request(all, q)
		sum, total = sum+value*weight, total+weight
	}
	return sum / total
}

// request is the loss of one request and what it counts.
func (o *feedNetwork) request(all []judgement, q int) (value, weight float64) {
	var pos, neg []judgement
	for _, j := range all {
		switch {
		case j.request != q:
			continue
		case j.clicked:
			pos = append(pos, j)
		default:
			neg = append(neg, j)
		}
		weight = j.weight
	}
	if weight == 0 {
		return 0, 0
	}
	if o.stage.Stage == StageRank {
		for _, j := range pos {
			value += math.Log(1 + math.Exp(-j.score))
		}
		for _, j := range neg {
			value += math.Log(1 + math.Exp(j.score))
		}
		n := float64(len(pos) + len(neg))
		return value / n, weight * n
	}
	if o.stage.Stage == StageEmbed && o.stage.InBatch {
		for _, x := range o.others(all, q) {
			neg = append(neg, judgement{score: x})
		}
	}
	if len(pos) == 0 || len(neg) == 0 {
		return 0, 0
	}
	if o.stage.Stage == StageEmbed {
		return o.contrasted(pos, neg), weight
	}
	return o.preferred(pos, neg), weight
}

func (o *feedNetwork) contrasted(pos, neg []judgement) float64 {
	up, down := 0.0, 0.0
	for _, j := range pos {
		up += math.Exp(j.score / o.stage.Tau)
	}
	for _, j := range neg {
		down += math.Exp(j.score / o.stage.Tau)
	}
	return -math.Log(up / (up + down))
}

// preferred is DPO, or S-DPO, of one request.
func (o *feedNetwork) preferred(pos, neg []judgement) float64 {
	sum, terms := 0.0, 0.0
	for _, j := range pos {
		rivals := 0.0
		for _, k := range neg {
			worse := math.Exp(o.stage.Beta * ((k.score - k.reference) - (j.score - j.reference)))
			if o.stage.Loss == "dpo" {
				sum, terms = sum+math.Log(1+worse), terms+1
			}
			rivals += worse
		}
		if o.stage.Loss == "sdpo" {
			sum, terms = sum+math.Log(1+rivals), terms+1
		}
	}
	if o.stage.Reduction == "mean" {
		sum /= terms
	}
	for _, j := range pos {
		sum -= o.stage.Anchor * j.score / float64(len(pos))
	}
	return sum
}

// diagnostics are what Loss returns beside the loss: of a request the share of
// pairs in the right order and, of alignment, the mean rewards of its clicked and
// other options and their difference; over requests with pairs the mean by weight.
func (o *feedNetwork) diagnostics() []float64 {
	all := o.judgements()
	var sums [4]float64
	total := 0.0
	for q := range size(o.feed.Arrays[batch.FeedAt].Dims) {
		var right, pairs, chosen, rejected, weight float64
		for _, j := range all {
			for _, k := range all {
				if j.request != q || k.request != q || !j.clicked || k.clicked {
					continue
				}
				up, down := j.score, k.score
				if o.stage.Stage == StageAlign {
					up, down = o.stage.Beta*(up-j.reference), o.stage.Beta*(down-k.reference)
				}
				if up > down {
					right++
				}
				pairs, chosen, rejected, weight = pairs+1, chosen+up, rejected+down, j.weight
			}
		}
		if pairs > 0 {
			for i, x := range []float64{right, chosen, rejected, chosen - rejected} {
				sums[i] += weight * x / pairs
			}
			total += weight
		}
	}
	out := sums[:1]
	if o.stage.Stage == StageAlign {
		out = sums[:]
	}
	for i := range out {
		out[i] /= total
	}
	return out
}
