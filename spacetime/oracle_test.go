package spacetime

import (
	"math"
	"strings"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/internal/oracle"
)

// network is the model of docs/MODEL.md in plain float64 Go, written from that page
// and the package comments with loops only: one window at a time, tokens one by
// one, no tables, no gathers. Weights are read at every call.
type network struct {
	c      Config
	t      *Tables
	w      map[string][]float64 // by path below the network's scope
	b      *batch.Batch
	places [][]float64 // E(place) of every place
}

// said is what the network says of one request.
type said struct {
	first  []float64 // log-probabilities of the first token: places if flat, else blocks
	inner  []float64 // hierarchical: of the inner token, after the action's own block token
	copied []float64 // of each candidate, given that a place is copied
	gate   float64   // logit of copying
}

// token is one position of a sequence. action is -1 for the profile; kind 0 is the
// request token u.
type token struct{ action, kind int }

func (n *network) n() int { return n.b.Arrays[batch.InPlace].Dims[1] }
func (n *network) m() int { return n.b.Arrays[batch.InRequest].Dims[1] }

// ints and floats return the values of one cell of an array, by its leading indices.
func (n *network) ints(array int, at ...int) []int32 {
	a := n.b.Arrays[array]
	from, to := span(a.Dims, at)
	return a.I[from:to]
}

func (n *network) floats(array int, at ...int) []float32 {
	a := n.b.Arrays[array]
	from, to := span(a.Dims, at)
	return a.F[from:to]
}

func span(dims, at []int) (from, to int) {
	size := 1
	for i := len(dims) - 1; i >= 0; i-- {
		if i < len(at) {
			from += at[i] * size
		}
		size *= dims[i]
		if i == len(at) {
			to = size
		}
	}
	if len(at) == len(dims) {
		to = 1
	}
	return from, from + to
}

// row is one row of a weight of the given width.
func (n *network) row(name string, i, width int) []float64 {
	return n.w[name][i*width : (i+1)*width]
}

// answers returns what the network says of every request of window i.
func (n *network) answers(i int) []said {
	n.places = nil
	for p := range n.t.Places() {
		n.places = append(n.places, n.place(p))
	}
	tokens := n.layout()
	x := make([][]float64, len(tokens))
	for t, k := range tokens {
		x[t] = n.embed(i, t, k)
	}
	pos := make([]int32, len(x))
	for t := range pos {
		pos[t] = int32(t)
	}
	below := map[string][]float64{}
	for path, w := range n.w {
		if name, ok := strings.CutPrefix(path, "decoder/"); ok {
			below[name] = w
		}
	}
	hidden := oracle.NewDecoder(n.c.Decoder, below).Forward(x, pos,
		func(q, k int) bool { return n.sees(i, tokens, q, k) },
		func(h, q, k int) float64 { return n.nearness(i, h, tokens[q].action, tokens[k].action) })
	out := make([]said, n.m())
	for m := range out {
		out[m] = n.answer(i, m, tokens, hidden)
	}
	return out
}

// layout lists the tokens of a window: the profile, then those of each action.
func (n *network) layout() []token {
	var out []token
	for range n.t.Profile {
		out = append(out, token{action: -1})
	}
	kinds := 2
	if n.t.Hier {
		kinds++
	}
	if n.c.ActionToken {
		kinds++
	}
	for a := range n.n() {
		for k := range kinds {
			out = append(out, token{a, k})
		}
	}
	return out
}

// embed is the input of token number t of window i.
func (n *network) embed(i, t int, at token) []float64 {
	d := n.c.Decoder.Dim
	if at.action < 0 {
		return n.row("profile", int(n.ints(batch.InProfile, i, t)[0]), d)
	}
	place := int(n.ints(batch.InPlace, i, at.action)[0])
	names := []string{"u", "place"}
	if n.t.Hier {
		names = []string{"u", "block", "place"}
	}
	if n.c.ActionToken {
		names = append(names, "type")
	}
	var x []float64
	switch names[at.kind] {
	case "u":
		x = n.moment(i, at.action)
	case "block":
		x = n.row("block", int(n.t.Block[place]), d)
	case "place":
		x = n.places[place]
		if n.c.Distance {
			x = plus(x, n.way(i, at.action))
		}
	case "type":
		x = n.row("action", int(n.ints(batch.InType, i, at.action)[0]), d)
	}
	return plus(x, n.row("kind", at.kind, d))
}

// way is what the kilometres from where the user stood to the action's place say.
func (n *network) way(i, a int) []float64 {
	from, to := n.floats(batch.InFrom, i, a), n.floats(batch.InAt, i, a)
	east, north := float64(from[0])-float64(to[0]), float64(from[1])-float64(to[1])
	km := math.Sqrt(east*east + north*north + 1e-6)
	phi := []float64{0.3 * math.Log1p(km), math.Exp(-km / 0.5), math.Exp(-km / 2), math.Exp(-km / 8), math.Exp(-km / 32)}
	out := make([]float64, n.c.Decoder.Dim)
	for f, x := range phi {
		for d, w := range n.row("distance", f, n.c.Decoder.Dim) {
			out[d] += x * w
		}
	}
	return out
}

// moment is E(u): time, place of the user if the recipe has one, the user.
func (n *network) moment(i, a int) []float64 {
	d := n.c.Decoder.Dim
	var parts [][]float64
	if n.c.Time {
		var time []float64
		for f, table := range []string{"month", "weekday", "day", "hour"} {
			time = append(time, n.row("time/"+table, int(n.ints(batch.InTimes, i, a)[f]), d/4)...)
		}
		parts = append(parts, time)
	}
	if n.t.Located && n.c.Geo {
		parts = append(parts, n.where(n.ints(batch.InCells, i, a)))
	}
	u := make([]float64, d)
	if len(parts) > 0 {
		u = n.mixed("request", parts)
	}
	if user := int(n.ints(batch.InUser, i)[0]); n.c.UserEmbedding && user > 0 {
		u = plus(u, n.row("user", user, d))
	}
	return u
}

// where is Emb_g of hashed cells.
func (n *network) where(cells []int32) []float64 {
	var out []float64
	for level, c := range cells {
		out = append(out, n.row("geo/cells", level*n.t.GeoTable+int(c), n.c.Decoder.Dim/geo.GridLevels)...)
	}
	return out
}

// place is E(place): its own token, the sum of its category's levels, its cells.
func (n *network) place(p int) []float64 {
	d := n.c.Decoder.Dim
	parts := [][]float64{n.row("place", int(n.t.Place[p]), d)}
	if n.c.Category {
		category := make([]float64, d)
		for _, c := range n.t.Cats[p*batch.CategoryLevels : (p+1)*batch.CategoryLevels] {
			if c > 0 {
				oracle.Add(category, n.row("category", int(c), d))
			}
		}
		parts = append(parts, category)
	}
	if n.c.Geo {
		parts = append(parts, n.where(n.t.Cells[p*geo.GridLevels:(p+1)*geo.GridLevels]))
	}
	return n.mixed("place", parts)
}

// mixed weighs parts by a softmax whose mean weight is one.
func (n *network) mixed(gate string, parts [][]float64) []float64 {
	if len(parts) == 1 {
		return parts[0]
	}
	logits := append([]float64(nil), n.w["gate/"+gate+"/bias"]...)
	if n.c.Gate == "input" {
		var all []float64
		for _, p := range parts {
			all = append(all, p...)
		}
		oracle.Add(logits, oracle.Product(all, n.w["gate/"+gate+"/weight"], len(parts)))
	}
	weights := logSoftmax(logits)
	out := make([]float64, len(parts[0]))
	for k, p := range parts {
		for j := range out {
			out[j] += float64(len(parts)) * math.Exp(weights[k]) * p[j]
		}
	}
	return out
}

// sees says whether token q attends to token k.
func (n *network) sees(i int, tokens []token, q, k int) bool {
	if k >= q {
		return k == q
	}
	query, key := tokens[q], tokens[k]
	if key.action < 0 {
		return true
	}
	padding := n.ints(batch.InPlace, i, key.action)[0] == 0
	other := key.action != query.action
	hidden := n.c.HideRequests && key.kind == 0 && other
	gone := !n.c.WholeHistory && n.floats(batch.InSegment, i, key.action)[0] != n.floats(batch.InSegment, i, query.action)[0]
	return !padding && !hidden && !gone
}

// nearness is the attention bias of head h between two actions.
func (n *network) nearness(i, h, query, key int) float64 {
	if !n.c.SpacetimeBias || query < 0 || key < 0 {
		return 0
	}
	hours := math.Abs(float64(n.floats(batch.InClock, i, query)[0]) - float64(n.floats(batch.InClock, i, key)[0]))
	km := 0.0
	if key < query {
		from, at := n.floats(batch.InFrom, i, query), n.floats(batch.InAt, i, key)
		dx, dy := float64(from[0])-float64(at[0]), float64(from[1])-float64(at[1])
		km = math.Sqrt(dx*dx + dy*dy + 1e-6)
	}
	turn := 2 * math.Pi * hours
	functions := []float64{0.3 * math.Log(1+hours), math.Exp(-hours / 6), math.Cos(turn / 24), math.Cos(turn / 12),
		math.Cos(turn / 168), 0.5 * math.Log(1+km), math.Exp(-km)}
	sum := 0.0
	for f, x := range functions {
		sum += x * n.row("bias", f, n.c.Decoder.Heads)[h]
	}
	return sum
}

func logSoftmax(x []float64) []float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = math.Max(top, v)
	}
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - top - math.Log(sum)
	}
	return out
}

func swish(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v / (1 + math.Exp(-v))
	}
	return out
}

func plus(a, b []float64) []float64 {
	out := append([]float64(nil), a...)
	oracle.Add(out, b)
	return out
}
