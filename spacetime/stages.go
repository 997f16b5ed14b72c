package spacetime

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/objective"
)

// Stages of post-training.
const (
	StageEmbed = "embed" // embedding-based ranking SFT (paper section 3.2.2)
	StageRank  = "rank"  // generative ranking SFT (paper section 3.2.2)
	StageAlign = "align" // DPO alignment (paper section 3.2.3)
	StageBase  = "base"  // the ordinary click model (package ranker), no stage of this network
)

// TuneConfig is the head and the loss of a stage.
type TuneConfig struct {
	Stage string `yaml:"stage"` // embed, rank, align or base; empty in a recipe of pre-training
	// Scratch starts from fresh weights instead of the pre-trained ones: the
	// ablation row "from scratch".
	Scratch bool `yaml:"scratch"`

	Dim     int     `yaml:"dim"`      // embed: width of the vectors
	Tau     float64 `yaml:"tau"`      // embed: temperature of InfoNCE
	InBatch bool    `yaml:"in_batch"` // embed: clicked places of other requests are negatives too

	// Ours, beyond the paper, for embed and rank: Interest is the width of the traits
	// by which options are compared with the past places (0: the paper's heads alone),
	// Likelihood adds to a ranking logit the log-probability of the generating heads.
	Interest   int  `yaml:"interest"`
	Likelihood bool `yaml:"likelihood"`

	Loss      string              `yaml:"loss"`      // align: dpo or sdpo
	Beta      float64             `yaml:"beta"`      // align: scale of the rewards
	Reduction objective.Reduction `yaml:"reduction"` // align: mean or sum over the pairs of a request
	// Anchor is the weight of -log P(preferred) beside the loss of alignment (ours; 0: the
	// loss as printed). Without it the preferred places may become less likely, too.
	Anchor float64 `yaml:"anchor"`
}

// DefaultTune is the paper's setting where it tells it.
func DefaultTune() TuneConfig {
	return TuneConfig{Dim: 64, Tau: 0.1, InBatch: true, Loss: "dpo", Beta: 1, Reduction: objective.Mean}
}

// Validate reports the first value out of range.
func (c TuneConfig) Validate() error {
	switch {
	case c.Stage != "" && c.Stage != StageEmbed && c.Stage != StageRank && c.Stage != StageAlign && c.Stage != StageBase:
		return fmt.Errorf("tune.stage is %q, want embed, rank, align or base", c.Stage)
	case c.Dim < 1 || c.Dim > 4096:
		return fmt.Errorf("tune.dim is %d, want 1 to 4096", c.Dim)
	case c.Interest < 0 || c.Interest > 4096:
		return fmt.Errorf("tune.interest is %d, want 0 to 4096", c.Interest)
	case c.Stage == StageEmbed && c.Interest >= c.Dim:
		return fmt.Errorf("tune.interest is %d of tune.dim %d, want less: the rest of a vector is the decoder's", c.Interest, c.Dim)
	case !(c.Tau > 0 && c.Tau <= 100):
		return fmt.Errorf("tune.tau is %g, want more than 0 and at most 100", c.Tau)
	case c.Loss != "dpo" && c.Loss != "sdpo":
		return fmt.Errorf("tune.loss is %q, want dpo or sdpo", c.Loss)
	case !(c.Beta > 0 && c.Beta <= 1000):
		return fmt.Errorf("tune.beta is %g, want more than 0 and at most 1000", c.Beta)
	case !(c.Anchor >= 0 && c.Anchor <= 1000):
		return fmt.Errorf("tune.anchor is %g, want 0 to 1000", c.Anchor)
	case !c.Reduction.Valid():
		return fmt.Errorf("tune.reduction is %q, want mean or sum", c.Reduction)
	case c.Stage == StageAlign && c.Scratch:
		return fmt.Errorf("tune.scratch is on, but alignment keeps near a pre-trained reference: switch it off")
	}
	return nil
}

// Stage is the network in one stage of post-training (training.Model). Its inputs
// are the arrays of a feed batch.
type Stage struct {
	*Model
	Tune TuneConfig
}

func (s *Stage) feed(scope *model.Scope, inputs []*Node, noise *Node) *feed {
	f := newFeed(scope, s.Model, inputs, noise)
	f.interest = s.Tune.Interest
	return f
}

// AuxNames names the diagnostics of Loss.
func (s *Stage) AuxNames() []string {
	if s.Tune.Stage == StageAlign {
		return []string{"pair_accuracy", "chosen", "rejected", "margin"}
	}
	return []string{"pair_accuracy"}
}

// Loss is the loss of the stage: InfoNCE, binary cross entropy or DPO, as package
// objective has them.
func (s *Stage) Loss(scope *model.Scope, inputs []*Node, noise *Node) (*Node, []*Node) {
	f := s.feed(scope, inputs, noise)
	weight := flatten(inputs[batch.FeedWeight])
	valid, clicked := f.judged()
	negative := And(valid, Not(clicked))
	switch s.Tune.Stage {
	case StageEmbed:
		return s.contrast(f, valid, clicked, weight)
	case StageRank:
		z, _ := f.rankLogits(s.Tune.Likelihood)
		return objective.Binary(z, clicked, valid, weight), []*Node{objective.PairAccuracy(z, clicked, negative, weight)}
	case StageAlign:
		policy, reference := f.logProbs(), flatten(inputs[batch.FeedExtra])
		loss := objective.DPO
		if s.Tune.Loss == "sdpo" {
			loss = objective.SDPO
		}
		r := objective.Measure(policy, reference, clicked, negative, weight, s.Tune.Beta)
		sum := loss(policy, reference, clicked, negative, weight, s.Tune.Beta, s.Tune.Reduction)
		if s.Tune.Anchor > 0 {
			sum = Add(sum, MulScalar(objective.Surprise(policy, clicked, negative, weight), s.Tune.Anchor))
		}
		return sum, []*Node{r.Accuracy, r.Chosen, r.Rejected, r.Margin}
	}
	panic(fmt.Errorf("no stage %q", s.Tune.Stage))
}

// contrast is InfoNCE over a request's own options and, if the recipe says so, the
// clicked places of the other requests of the batch.
func (s *Stage) contrast(f *feed, valid, clicked, weight *Node) (*Node, []*Node) {
	users := f.userVectors(s.Tune.Dim) // [R, E]
	place := flatten(f.in[batch.FeedOption])
	r, c := place.Shape().Dimensions[0], place.Shape().Dimensions[1]
	vectors := f.placeVectors(s.Tune.Dim, Reshape(place, r*c), Reshape(f.in[batch.FeedShow], r*c, -1)) // [R*C, E]
	own := ReduceSum(Mul(BroadcastToDims(InsertAxes(users, 1), r, c, s.Tune.Dim), Reshape(vectors, r, c, s.Tune.Dim)), -1)
	accuracy := objective.PairAccuracy(own, clicked, And(valid, Not(clicked)), weight)
	if !s.Tune.InBatch {
		return objective.InfoNCE(own, clicked, valid, weight, s.Tune.Tau), []*Node{accuracy}
	}
	all := MatMul(users, Transpose(vectors, 0, 1)) // [R, R*C]
	// A column counts as a negative if it is a click of another request, on a place
	// that this request did not show: what was shown is judged by its own column.
	theirs := BroadcastToDims(Reshape(clicked, 1, r*c), r, r*c)
	shown := Equal(BroadcastToDims(InsertAxes(place, 2), r, c, r*c), BroadcastToDims(Reshape(place, 1, 1, r*c), r, c, r*c))
	theirs = And(theirs, Not(ReduceLogicalOr(shown, 1)))
	sim := Concatenate([]*Node{own, all}, 1)
	positive := Concatenate([]*Node{clicked, BroadcastToDims(Const(f.g, false), r, r*c)}, 1)
	return objective.InfoNCE(sim, positive, Concatenate([]*Node{valid, theirs}, 1), weight, s.Tune.Tau), []*Node{accuracy}
}

// Users is the graph of user vectors, [R, E], of a feed batch.
func (s *Stage) Users(scope *model.Scope, inputs []*Node) *Node {
	return s.feed(scope, inputs, nil).userVectors(s.Tune.Dim)
}

// Places is the graph of place vectors [X, E] of places + 1 [X] with their media
// vectors [X, W].
func (s *Stage) Places(scope *model.Scope, place, media *Node) *Node {
	n := newNet(scope, s.Config, s.Tables, []*Node{place}, nil)
	f := &feed{net: n, width: 1, interest: s.Tune.Interest}
	if n.t.Hier {
		f.width = 2
	}
	return f.placeVectors(s.Tune.Dim, place, media)
}

// Scores is the graph of ranking logits, [R, C], of a feed batch. With tune.interest
// the part of them that compares options with the past follows, [R, C], too: another
// ranker may trust it more than the rest.
func (s *Stage) Scores(scope *model.Scope, inputs []*Node) []*Node {
	z, liking := s.feed(scope, inputs, nil).rankLogits(s.Tune.Likelihood)
	if liking == nil {
		return []*Node{z}
	}
	return []*Node{z, liking}
}

// LogProbs is the graph of log P(place) of the options of a feed batch, [R, C].
func (m *Model) LogProbs(scope *model.Scope, inputs []*Node) *Node {
	return newFeed(scope, m, inputs, nil).logProbs()
}

// judged says which options are there and which were clicked, [R, C] each.
func (f *feed) judged() (valid, clicked *Node) {
	valid = GreaterThan(flatten(f.in[batch.FeedOption]), ScalarZero(f.g, dtypes.Int32))
	clicked = GreaterThan(flatten(f.in[batch.FeedClicked]), ScalarZero(f.g, dtypes.Float32))
	return valid, And(valid, clicked)
}

// rankLogits are W_c H(inner) of every option, [R, C], with what the recipe adds: the
// generating heads' log-probability of the option, and liking, what it has in common
// with the past (nil without).
func (f *feed) rankLogits(likelihood bool) (z, liking *Node) {
	users, at := f.options()
	h := at[len(at)-1] // [B, M, C, D]
	dims := h.Shape().Dimensions
	h = Reshape(h, -1, f.d)
	z = MatMul(h, f.weight("rank/out", 0.02, f.d, 1))
	z = Add(z, BroadcastToShape(InsertAxes(f.weight("rank/bias", 0, 1), 0), z.Shape()))
	z = Reshape(z, dims[0]*dims[1], dims[2])
	if likelihood {
		for i, p := range f.chances(users, at) {
			w := SliceAxis(f.weight("rank/likelihood", 0, 2), 0, AxisElem(i))
			z = Add(z, Mul(p, BroadcastToShape(Reshape(w, 1, 1), p.Shape())))
		}
	}
	if f.interest > 0 {
		liking = f.liking()
		z = Add(z, liking)
	}
	return z, liking
}

// commonStart is how much habits count in a user's vector to begin with: a mean of
// many places is short beside one place's traits.
const commonStart = 4

// userVectors are E_u, of length one, [R, E]. With tune.interest the last I numbers are
// habits and those of a place traits, so that their product is the liking apart from
// the rest of the cosine.
func (f *feed) userVectors(dim int) *Node {
	h := Reshape(f.users(), -1, f.d)
	e := MatMul(h, f.weight("embed/user", 1/math.Sqrt(float64(f.d)), f.d, dim-f.interest))
	if f.interest > 0 {
		habits := f.habits()
		scale := AddScalar(Reshape(f.weight("interest/common", 0, f.interest, 1), 1, f.interest), commonStart)
		e = Concatenate([]*Node{e, Mul(habits, BroadcastToShape(scale, habits.Shape()))}, -1)
	}
	return L2Normalize(e, -1)
}

// placeVectors are E_p, of length one, [X, E].
func (f *feed) placeVectors(dim int, place, media *Node) *Node {
	e := MatMul(f.tower(place, media), f.weight("embed/place", 1/math.Sqrt(float64(f.d)), f.d, dim-f.interest))
	if f.interest > 0 {
		e = Concatenate([]*Node{e, f.traits(place, media)}, -1)
	}
	return L2Normalize(e, -1)
}

// logProbs are log p(block) + log p(inner | block), or log p(place), of every
// option by the generating heads, [R, C].
func (f *feed) logProbs() *Node {
	var parts []*Node
	if f.t.Hier {
		users, at := f.options()
		parts = f.chances(users, at)
	} else {
		parts = f.chances(f.users(), nil)
	}
	sum := parts[0]
	for _, p := range parts[1:] {
		sum = Add(sum, p)
	}
	return sum
}

// chances are log p(block) and log p(inner | block), or log p(place), of every
// option by the generating heads, [R, C] each, from the hidden states of options.
func (f *feed) chances(users *Node, at []*Node) []*Node {
	option := flatten(f.in[batch.FeedOption]) // [R, C]
	dims := option.Shape().Dimensions
	h := Reshape(users, -1, f.d)
	if !f.t.Hier {
		return []*Node{Reshape(pick2(LogSoftmax(f.placeLogits(h), -1), option), dims...)}
	}
	v := f.t.Places()
	block, inner := look(f.constant(f.t.Block, v), option), look(f.constant(f.t.Place, v), option)
	byBlock := Reshape(pick2(LogSoftmax(f.blockLogits(h), -1), block), dims...)
	byInner := pick(LogSoftmax(f.innerLogits(Reshape(at[0], -1, f.d)), -1), Reshape(inner, -1))
	return []*Node{byBlock, Reshape(byInner, dims...)}
}
