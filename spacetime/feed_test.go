package spacetime

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/testkit"
)

// statesOf is the graph of the hidden states of a feed batch: the requests' without
// options, the same beside options, and those at the options' tokens; then, given a
// plain batch too, all of its hidden states.
func statesOf(tr *feedTrial) graph {
	return func(s *model.Scope, in []*Node) []*Node {
		f := newFeed(s, tr.m, in[:batch.NumFeed], nil)
		users, at := f.options()
		out := append([]*Node{f.users(), users}, at...)
		if len(in) > batch.NumFeed {
			hidden, _ := newNet(s, tr.m.Config, tr.m.Tables, in[batch.NumFeed:], nil).run()
			out = append(out, hidden)
		}
		return out
	}
}

// What pre-training's graph sees at an action's u, block and inner token, or u and
// place, is what the feed's layout gives a request and its option: sharing the
// window, the equal positions and the mask between options change nothing.
func TestFeedEqualsPlainWindows(t *testing.T) {
	onONNX := []string{"", "/as printed", "/one trajectory", "/requests seen", "/bare", "/no bias", "/distance"}
	backends := testkit.Backends(t)
	for k, v := range feedVariants() {
		tr := newFeedTrial(t, backends["go"], v, 0, DefaultTune(), uint64(2000+k), statesOf)
		of := showns(tr.feed)
		windows, _ := tr.plain(tr.feed, of)
		for _, name := range slices.Sorted(maps.Keys(backends)) {
			kind := v.name[len("flat"):] // as long as "hier"
			if name != "go" && !slices.Contains(onONNX, kind) {
				continue
			}
			t.Run(name+"/"+v.name, func(t *testing.T) {
				tr.on(backends[name])
				got := tr.ask("states", statesOf(tr), tr.feed, tensorsOf(windows)...)
				tr.compareLayout(t, of, windows, got)
			})
		}
	}
}

// compareLayout compares hidden states of the feed with those of plain windows, one
// for each option.
func (tr *feedTrial) compareLayout(t *testing.T, of []shown, windows *batch.Batch, got [][]float64) {
	t.Helper()
	d, per := tr.v.c.Decoder.Dim, tr.m.Config.perAction(tr.m.Tables)
	tokens := tr.m.Tables.Profile + windows.Arrays[batch.InPlace].Dims[1]*per
	hidden := got[len(got)-1]
	dims := tr.feed.Arrays[batch.FeedOption].Dims
	for r, o := range of {
		at := r*tokens + tr.m.Tables.Profile + int(windows.Arrays[batch.InRequest].I[r])*per
		request := o.i*dims[1] + o.m
		for part, states := range got[:len(got)-1] {
			row, token := request, 0 // a request's state, with or without options
			if part > 1 {
				row, token = request*dims[2]+o.c, part-1
			}
			close5(t, fmt.Sprintf("option %v, part %d", o, part), states[row*d:(row+1)*d], hidden[(at+token)*d:(at+token+1)*d])
		}
	}
}
