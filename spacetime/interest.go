package spacetime

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas

	"github.com/whereto/whereto/batch"
)

// Ours, beyond the paper: what an option has in common with the places of the past,
// told to the heads of post-training directly. The decoder would have to learn from
// the clicks of a feed alone to count which qualities the past places share; a product
// of two sums has that form to begin with.

// interestStd is the deviation at which maps of media start: small, so that what the
// random maps say at first is little beside what is learned.
const interestStd = 0.05

// traits are what places [..., ] with media vectors [..., X] are like, [..., I]: their
// media seen through a learned map, the same for past places and for options; without
// media their embeddings.
func (f *feed) traits(place, vectors *Node) *Node {
	rows := place.Shape().Size()
	var x *Node
	if f.t.Media > 0 {
		x = f.seen(Reshape(vectors, rows, f.t.Media), "interest/media", interestStd, f.interest)
	} else {
		x = MatMul(Reshape(f.placesAt(place), rows, f.d), f.weight("interest/place", 0.2/math.Sqrt(float64(f.d)), f.d, f.interest))
	}
	return Reshape(x, append(slices.Clone(place.Shape().Dimensions), f.interest)...)
}

// againStart is how much the logarithm of an action's weight is lowered to begin with
// if its place stands earlier in the window: the tenth visit to a place tells less of a
// person than the first.
const againStart = -1

// telling are the weights of actions, [B, N]: learned by type, by category (the sum of
// its levels) and by whether the place was there before.
func (f *feed) telling() *Node {
	place := f.in[batch.InPlace]
	b, n := place.Shape().Dimensions[0], place.Shape().Dimensions[1]
	sum := Squeeze(look(f.weight("interest/type", 0, f.t.Types+1, 1), f.in[batch.InType]), -1)
	levels := look(f.constant(f.t.Cats, f.t.Places(), batch.CategoryLevels), place) // [B, N, L]
	sum = Add(sum, ReduceSum(Squeeze(look(f.weight("interest/category", 0, f.t.Categories, 1), levels), -1), -1))
	before := make([][]bool, n)
	for i := range before {
		before[i] = make([]bool, n)
		for k := range i {
			before[i][k] = true
		}
	}
	same := Equal(BroadcastToDims(InsertAxes(place, 2), b, n, n), BroadcastToDims(InsertAxes(place, 1), b, n, n))
	again := ConvertDType(ReduceLogicalOr(And(same, BroadcastToDims(InsertAxes(Const(f.g, before), 0), b, n, n)), 2), dtypes.Float32)
	less := AddScalar(f.weight("interest/again", 0, 1), againStart)
	return Exp(Add(sum, Mul(again, BroadcastToShape(Reshape(less, 1, 1), again.Shape()))))
}

// habits are the mean traits of the actions each request knows, [R, I]: by how telling
// they are and drawn towards nothing where they are few, then moved by a learned vector.
func (f *feed) habits() *Node {
	x := f.traits(f.in[batch.InPlace], f.in[batch.FeedMedia]) // [B, N, I]
	weight := f.telling()
	known := ConvertDType(f.known(), dtypes.Float32) // [B, M, N]
	weight = Mul(known, BroadcastToShape(InsertAxes(weight, 1), known.Shape()))
	few := Exp(f.weight("interest/few", 0, 1))
	total := ReduceAndKeep(weight, ReduceSum, -1)
	total = Add(total, BroadcastToShape(Reshape(few, 1, 1, 1), total.Shape()))
	mean := Einsum("bmn,bni->bmi", weight, x)
	mean = flatten(Div(mean, BroadcastToShape(total, mean.Shape())))
	return Add(mean, BroadcastToShape(InsertAxes(f.weight("interest/bias", 0, f.interest), 0), mean.Shape()))
}

// known says which actions of the window come before each request, [B, M, N].
func (f *feed) known() *Node {
	place := f.in[batch.InPlace]
	b, n := place.Shape().Dimensions[0], place.Shape().Dimensions[1]
	number := make([]int32, n)
	for i := range number {
		number[i] = int32(i)
	}
	shape := []int{b, f.asks, n}
	before := LessThan(BroadcastToDims(Reshape(Const(f.g, number), 1, 1, n), shape...), BroadcastToDims(InsertAxes(f.in[batch.FeedAt], 2), shape...))
	return And(before, BroadcastToDims(InsertAxes(GreaterThan(place, ScalarZero(f.g, dtypes.Int32)), 1), shape...))
}

// liking is what a ranking logit has from the options' traits: by themselves and
// multiplied by the habits, [R, C]. The sum of the products is plain to begin with, so
// that the maps learn from the first step.
func (f *feed) liking() *Node {
	traits := flatten(f.traits(f.in[batch.FeedOption], f.in[batch.FeedShow])) // [R, C, I]
	common := Mul(traits, BroadcastToShape(InsertAxes(f.habits(), 1), traits.Shape()))
	dims, wide := traits.Shape().Dimensions, f.interest
	sum := func(x *Node, name string, start float64) *Node {
		return MatMul(Reshape(x, -1, wide), AddScalar(f.weight(name, 0, wide, 1), start))
	}
	return Reshape(Add(sum(traits, "interest/alone", 0), sum(common, "interest/common", 1)), dims[:2]...)
}
