package spacetime

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas

	"github.com/whereto/whereto/batch"
)

// layout says which tokens of a window lie where along an axis. The decoder itself does
// not mind: positions, masks and bias say what comes before what.
//
// A whole window lies as it is counted, action by action. A past lies part by part: of
// every action the first token, of every action the next. So what is repeated for the
// tokens of an action is copied in runs as long as the window and not number by number.
type layout struct {
	profile    int // profile tokens of the window
	head       int // those that are laid out, first: all or none
	actions    int
	k          int // tokens an action has in the window, K
	first, end int // its tokens that are laid out: first to end-1
	byPart     bool
}

// whole is the layout of all tokens of the window.
func (n *net) whole() layout {
	k := n.c.perAction(n.t)
	return layout{profile: n.t.Profile, head: n.t.Profile, actions: n.actions(), k: k, end: k}
}

// kept is the layout of a past: the tokens that later actions may see.
func (n *net) kept() layout {
	l := n.whole()
	l.first, l.byPart = n.c.firstKept(), true
	return l
}

// dropped is the layout of the tokens that a past lacks: u of every action.
func (n *net) dropped() layout {
	l := n.kept()
	l.head, l.first, l.end = 0, 0, l.first
	return l
}

// firstKept is the first token of an action that later ones may see.
func (c Config) firstKept() int {
	if c.HideRequests {
		return 1
	}
	return 0
}

// actions is N, the slots of the window.
func (n *net) actions() int { return n.in[batch.InPlace].Shape().Dimensions[1] }

// size is the number of tokens laid out.
func (l layout) size() int { return l.head + l.actions*(l.end-l.first) }

// token is the i-th token: its action, -1 for the profile, and its part of it.
func (l layout) token(i int) (action, part int) {
	parts := l.end - l.first
	switch i -= l.head; {
	case i < 0:
		return -1, i + l.head
	case l.byPart:
		return i % l.actions, l.first + i/l.actions
	}
	return i / parts, l.first + i%parts
}

// action is that of the i-th token, -1 for the profile.
func (l layout) action(i int) int {
	action, _ := l.token(i)
	return action
}

// isRequest tells whether the i-th token is the u of an action.
func (l layout) isRequest(i int) bool {
	action, part := l.token(i)
	return action >= 0 && part == 0
}

// visible are the actions of all tokens, and whether later actions may see them.
func (n *net) visible(l layout) (action []int32, seen []bool) {
	for i := range l.size() {
		action, seen = append(action, int32(l.action(i))), append(seen, !(n.c.HideRequests && l.isRequest(i)))
	}
	return action, seen
}

// position is where the i-th token stands in the window.
func (l layout) position(i int) int {
	action, part := l.token(i)
	if action < 0 {
		return part
	}
	return l.profile + action*l.k + part
}

// positions are those of all tokens.
func (l layout) positions() []int32 {
	out := make([]int32, l.size())
	for i := range out {
		out[i] = int32(l.position(i))
	}
	return out
}

// repeat gives the tokens of each action what it has along an axis of x, which is of
// length N, and the profile's tokens the value fill.
func (l layout) repeat(x *Node, axis int, fill any) *Node {
	parts := l.end - l.first
	dims := slices.Clone(x.Shape().Dimensions)
	if l.byPart {
		x = Concatenate(slices.Repeat([]*Node{x}, parts), axis)
	} else {
		wide := slices.Insert(slices.Clone(dims), axis+1, parts)
		dims[axis] *= parts
		x = Reshape(BroadcastToDims(InsertAxes(x, axis+1), wide...), dims...)
	}
	if l.head == 0 {
		return x
	}
	dims[axis] = l.head
	return Concatenate([]*Node{BroadcastToDims(ConstAsDType(x.Graph(), x.DType(), fill), dims...), x}, axis)
}

// lay puts the parts of all actions, [B, N, D] each, where they belong, after the
// profile's tokens, [B, P, D] or nil: [B, T, D].
func (l layout) lay(profile *Node, parts []*Node) *Node {
	dims := parts[0].Shape().Dimensions
	parts = parts[l.first:l.end]
	var x *Node
	if l.byPart {
		x = Concatenate(parts, 1)
	} else {
		x = Reshape(Stack(parts, 2), dims[0], dims[1]*len(parts), dims[2])
	}
	if l.head == 0 {
		return x
	}
	return Concatenate([]*Node{profile, x}, 1)
}
