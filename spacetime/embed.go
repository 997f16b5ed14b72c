package spacetime

import (
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/geo"
)

// embedStd is the deviation of fresh embeddings.
const embedStd = 0.05

// net is one graph under construction.
type net struct {
	c     Config
	t     *Tables
	s     *model.Scope
	g     *Graph
	in    []*Node
	noise *Node // nil outside training
	d     int
	all   *Node           // E(place) of all places once made, [V, D]
	made  map[*Node]*Node // E(place) of nodes of places once made
}

func newNet(s *model.Scope, c Config, t *Tables, in []*Node, noise *Node) *net {
	n := &net{c: c, t: t, s: s.At("spacetime"), g: in[0].Graph(), in: in, d: c.Decoder.Dim, made: map[*Node]*Node{}}
	if noise != nil && s.IsTraining(n.g) {
		n.noise = MulScalar(noise, 1.0/16) // the hash wants less than 2^20
	}
	return n
}

// weight is the variable of a path below the network's scope.
func (n *net) weight(name string, std float64, dims ...int) *Node {
	s := n.s
	parts := strings.Split(name, "/")
	for _, p := range parts[:len(parts)-1] {
		s = s.At("%s", p)
	}
	return decoder.Weight(s, n.g, dtypes.Float32, parts[len(parts)-1], std, dims...)
}

// constant returns an int32 table of the given dimensions.
func (n *net) constant(data []int32, dims ...int) *Node {
	return ConstCachedTensor(n.g, tensors.FromFlatDataAndDimensions(data, dims...))
}

// look gathers rows of a table [rows, w] by indices of any shape.
func look(table, indices *Node) *Node { return Gather(table, InsertAxes(indices, -1)) }

// embedTime is Emb_t of times [..., 4] (month, weekday, day, hour): four
// embeddings of D/4, concatenated.
func (n *net) embedTime(times *Node) *Node {
	var parts []*Node
	for i, table := range []struct {
		name string
		rows int
	}{{"month", 12}, {"weekday", 7}, {"day", 31}, {"hour", 24}} {
		w := n.weight("time/"+table.name, embedStd, table.rows, n.d/4)
		index := Squeeze(SliceAxis(times, -1, AxisElem(i)), -1)
		parts = append(parts, look(w, index))
	}
	return Concatenate(parts, -1)
}

// embedCells is Emb_g of hashed cells [..., 12]: one embedding of D/12 a level.
// All levels share one table, so that a single gather serves them.
func (n *net) embedCells(cells *Node) *Node {
	rows := n.t.GeoTable
	w := n.weight("geo/cells", embedStd, geo.GridLevels*rows, n.d/geo.GridLevels)
	offset := make([]int32, geo.GridLevels)
	for l := range offset {
		offset[l] = int32(l * rows)
	}
	shift := Const(n.g, offset)
	for shift.Rank() < cells.Rank() {
		shift = InsertAxes(shift, 0)
	}
	e := look(w, Add(cells, BroadcastToShape(shift, cells.Shape())))
	dims := append(slices.Clone(cells.Shape().Dimensions[:cells.Rank()-1]), n.d)
	return Reshape(e, dims...)
}

// gate mixes embeddings of equal shape [..., D] with normalised weights
// (w1..w5 of the paper).
func (n *net) gate(name string, parts ...*Node) *Node {
	k := len(parts)
	if k == 1 {
		return parts[0]
	}
	logits := n.weight("gate/"+name+"/bias", 0, k)
	for logits.Rank() < parts[0].Rank() {
		logits = InsertAxes(logits, 0)
	}
	if n.c.Gate == "input" {
		w := n.weight("gate/"+name+"/weight", 0.02, k*n.d, k)
		flat := Reshape(Concatenate(parts, -1), -1, k*n.d)
		dims := append(slices.Clone(parts[0].Shape().Dimensions[:parts[0].Rank()-1]), k)
		projected := Reshape(MatMul(flat, w), dims...)
		logits = Add(projected, BroadcastToShape(logits, projected.Shape()))
	}
	weights := MulScalar(Softmax(logits, -1), float64(k)) // mean weight one keeps the scale of a plain sum
	var sum *Node
	for i, p := range parts {
		w := SliceAxis(weights, -1, AxisElem(i))
		x := Mul(p, BroadcastToShape(w, p.Shape()))
		if sum == nil {
			sum = x
		} else {
			sum = Add(sum, x)
		}
	}
	return sum
}

// places is E(place) of all places, [V, D].
func (n *net) places() *Node {
	if n.all == nil {
		every := make([]int32, n.t.Places())
		for p := range every {
			every[p] = int32(p)
		}
		n.all = n.embedPlaces(n.constant(every, len(every)))
	}
	return n.all
}

// placesAt is E(place) of places of any shape, [..., D]: rows of all places where
// the network needs these anyway, else only what is asked for.
func (n *net) placesAt(place *Node) *Node {
	if !n.t.Hier || n.c.Pointer && n.c.CopyHead {
		return look(n.places(), place)
	}
	if n.made[place] == nil {
		flat := n.embedPlaces(Reshape(place, place.Shape().Size()))
		n.made[place] = Reshape(flat, append(slices.Clone(place.Shape().Dimensions), n.d)...)
	}
	return n.made[place]
}

// embedPlaces is E(inner) = w3*Emb_p + w4*Emb_c + w5*Emb_g of places [X], [X, D].
// Category and cells can be taken away (Config.Category, Config.Geo).
func (n *net) embedPlaces(place *Node) *Node {
	v, x := n.t.Places(), place.Shape().Dimensions[0]
	parts := []*Node{look(n.weight("place", embedStd, n.t.Tokens, n.d), look(n.constant(n.t.Place, v), place))}
	if n.c.Category {
		cats := look(n.weight("category", embedStd, n.t.Categories, n.d), look(n.constant(n.t.Cats, v, batch.CategoryLevels), place))
		real := look(ConstCachedTensor(n.g, tensors.FromFlatDataAndDimensions(levels(n.t.Cats), v, batch.CategoryLevels)), place)
		parts = append(parts, ReduceSum(Mul(cats, BroadcastToShape(Reshape(real, x, batch.CategoryLevels, 1), cats.Shape())), 1))
	}
	if n.c.Geo {
		parts = append(parts, n.embedCells(look(n.constant(n.t.Cells, v, geo.GridLevels), place)))
	}
	return n.gate("place", parts...)
}

// levels is one for every category token that is not padding.
func levels(cats []int32) []float32 {
	out := make([]float32, len(cats))
	for i, c := range cats {
		if c > 0 {
			out[i] = 1
		}
	}
	return out
}

// request is E(u) = w1*Emb_t + w2*Emb_g of moments, [B, N, D] of times [B, N, 4] and
// cells [B, N, 12], with our user embedding added. Time and place can be taken away
// (Config.Time, Config.Geo); a request with neither is a learned question mark (its
// role alone).
func (n *net) request(times, cells *Node) *Node {
	var parts []*Node
	if n.c.Time {
		parts = append(parts, n.embedTime(times))
	}
	if n.t.Located && n.c.Geo {
		parts = append(parts, n.embedCells(cells))
	}
	dims := times.Shape().Dimensions
	u := zeros(n.g, dims[0], dims[1], n.d)
	if len(parts) > 0 {
		u = n.gate("request", parts...)
	}
	if n.c.UserEmbedding {
		u = Add(u, BroadcastToShape(InsertAxes(n.user(), 1), u.Shape()))
	}
	return u
}

// user is the embedding of the window's user, [B, D]; zero for a stranger.
func (n *net) user() *Node {
	id := n.in[batch.InUser]
	e := look(n.weight("user", embedStd, n.t.Users+1, n.d), id)
	known := ConvertDType(GreaterThan(id, ScalarZero(n.g, id.DType())), dtypes.Float32)
	return Mul(e, BroadcastToShape(InsertAxes(known, -1), e.Shape()))
}

// tokens are those of the window, [B, T, D]. extra is added to the tokens of places,
// [B, N, D]; nil: nothing.
func (n *net) tokens(extra *Node) *Node {
	return n.dropout(n.whole().lay(n.profile(), n.parts(extra)), 101)
}

// parts are the tokens of the actions, each as [B, N, D]: u, those of the place, what
// was done. extra is as in tokens.
func (n *net) parts(extra *Node) []*Node {
	extra = n.withWay(extra, n.in[batch.InFrom], n.in[batch.InAt])
	place := n.in[batch.InPlace]
	parts := append([]*Node{n.role(n.request(n.in[batch.InTimes], n.in[batch.InCells]), 0)}, n.tokensOf(place, extra)...)
	if n.c.ActionToken {
		kind := look(n.weight("action", embedStd, n.t.Types+1, n.d), n.in[batch.InType])
		parts = append(parts, n.role(kind, len(parts)))
	}
	return parts
}

// profile are the tokens of what is known of the user, [B, P, D]; nil: nothing.
func (n *net) profile() *Node {
	if n.t.Profile == 0 {
		return nil
	}
	return look(n.weight("profile", embedStd, n.t.Profiles, n.d), n.in[batch.InProfile])
}

// tokensOf are the tokens of places of any shape, (block, inner) or (place), each
// [..., D]; extra, if not nil, is added to the last.
func (n *net) tokensOf(place, extra *Node) []*Node {
	at := n.placesAt(place)
	if extra != nil {
		at = Add(at, extra)
	}
	if !n.t.Hier {
		return []*Node{n.role(at, 1)}
	}
	blocks := look(n.constant(n.t.Block, n.t.Places()), place)
	return []*Node{n.role(n.embedBlocks(blocks), 1), n.role(at, 2)}
}

// withWay adds to extra, which may be nil, what the way from where the user stood to
// a place says, [..., D] of points [..., 2]; extra itself if the recipe does not ask.
// It enters the last token of a place, from which nothing of that place is
// predicted.
func (n *net) withWay(extra, from, at *Node) *Node {
	if !n.c.Distance {
		return extra
	}
	km := Sqrt(AddScalar(ReduceSum(Square(Sub(from, at)), -1), 1e-6))
	parts := []*Node{MulScalar(Log1P(km), 0.3)}
	for _, reach := range []float64{0.5, 2, 8, 32} {
		parts = append(parts, Exp(MulScalar(km, -1/reach)))
	}
	phi := Reshape(Stack(parts, -1), -1, len(parts))
	way := Reshape(MatMul(phi, n.weight("distance", embedStd, len(parts), n.d)), append(slices.Clone(km.Shape().Dimensions), n.d)...)
	if extra == nil {
		return way
	}
	return Add(extra, way)
}

// role adds to tokens [..., D] the vector of their part in an action.
func (n *net) role(x *Node, part int) *Node {
	kind := SliceAxis(n.weight("kind", embedStd, n.c.perAction(n.t), n.d), 0, AxisElem(part))
	kind = Reshape(kind, n.d)
	for kind.Rank() < x.Rank() {
		kind = InsertAxes(kind, 0)
	}
	return Add(x, BroadcastToShape(kind, x.Shape()))
}

// project maps media vectors [..., X] to what they add to a place's token, [..., D].
func (n *net) project(vectors *Node) *Node {
	dims := slices.Clone(vectors.Shape().Dimensions)
	x := dims[len(dims)-1]
	dims[len(dims)-1] = n.d
	return Reshape(n.seen(Reshape(vectors, -1, x), "media/map", embedStd, n.d), dims...)
}

// mediaGain stretches media vectors, which have length one. Of their many numbers few
// tell what matters, and a map grows by the learning rate a step at most: from
// numbers this small it would not get there in a few thousand steps.
const mediaGain = 8

// seen maps media vectors [R, X] to [R, width], at first of the given deviation.
func (n *net) seen(vectors *Node, name string, std float64, width int) *Node {
	w := n.weight(name, std/mediaGain, vectors.Shape().Dimensions[1], width)
	return MatMul(MulScalar(vectors, mediaGain), w)
}

// embedBlocks is E(block) of block tokens + 1.
func (n *net) embedBlocks(blocks *Node) *Node {
	return look(n.weight("block", embedStd, n.t.Blocks, n.d), blocks)
}

// dropout in training, by the decoder's counter hash.
func (n *net) dropout(x *Node, salt int) *Node {
	if n.noise == nil || n.c.Dropout == 0 {
		return x
	}
	return decoder.Dropout(x, n.noise, n.c.Dropout, salt)
}

func zeros(g *Graph, dims ...int) *Node { return Zeros(g, shapes.Make(dtypes.Float32, dims...)) }
