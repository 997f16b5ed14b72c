package roster_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whereto/whereto/roster"
)

var ctx = context.Background()

// fake is an engine that knows whether it is closed.
type fake struct {
	version string
	closed  atomic.Bool
	gone    chan string
}

func (f *fake) Close() error {
	if f.closed.Swap(true) {
		return errors.New("closed twice")
	}
	f.gone <- f.version
	return nil
}

type rig struct {
	*roster.Roster[*fake]
	gone   chan string
	chosen []string
	fail   error // of the next load
	refuse error // of Chosen
}

func newRig(t *testing.T) *rig {
	g := &rig{gone: make(chan string, 1000)}
	g.Roster = roster.New(roster.Options[*fake]{
		Load: func(_ context.Context, version string) (*fake, error) {
			if g.fail != nil {
				return nil, g.fail
			}
			return &fake{version: version, gone: g.gone}, nil
		},
		Chosen: func(version string) error {
			if g.refuse == nil {
				g.chosen = append(g.chosen, version)
			}
			return g.refuse
		},
		Closed: func(version string, err error) {
			if err != nil {
				t.Errorf("close %s: %v", version, err)
			}
		},
	})
	return g
}

func (g *rig) activate(t *testing.T, versions ...string) {
	t.Helper()
	for _, v := range versions {
		if err := g.Activate(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
}

// answers is the version that answers a user.
func (g *rig) answers(t *testing.T, user string) string {
	t.Helper()
	l, err := g.Pick(user, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if l.Engine.closed.Load() || l.Engine.version != l.Version {
		t.Errorf("version %s is leased but closed, or is %s", l.Version, l.Engine.version)
	}
	return l.Version
}

func (g *rig) states() string {
	out := ""
	for _, s := range g.List() {
		out += s.Version + " " + s.State + ";"
	}
	return out
}

// wait returns the next version that was closed.
func (g *rig) wait(t *testing.T) string {
	t.Helper()
	select {
	case v := <-g.gone:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was closed")
		return ""
	}
}

func TestTheOldOneAnswersWhatItHasBegun(t *testing.T) {
	g := newRig(t)
	if _, err := g.Pick("a", ""); !errors.Is(err, roster.ErrNone) {
		t.Errorf("an empty roster: %v", err)
	}
	g.activate(t, "1")
	held, err := g.Pick("a", "")
	if err != nil {
		t.Fatal(err)
	}
	g.activate(t, "2", "3") // 1 is let go, 2 stays for a roll-back
	if got := g.answers(t, "a"); got != "3" {
		t.Errorf("version %s answers, want 3", got)
	}
	if got := g.states(); got != "1 draining;2 ready;3 active;" || held.Engine.closed.Load() {
		t.Errorf("states %s with 1 in use", got)
	}
	if _, err := g.Pick("a", "1"); !errors.Is(err, roster.ErrUnknown) {
		t.Errorf("a version on its way out: %v", err)
	}
	held.Release()
	held.Release()
	if got := g.wait(t); got != "1" {
		t.Errorf("%s was closed, want 1", got)
	}
	if fmt.Sprint(g.chosen) != "[1 2 3]" {
		t.Errorf("chosen were %v", g.chosen)
	}
}

func TestRollBack(t *testing.T) {
	g := newRig(t)
	if _, err := g.RollBack(ctx); !errors.Is(err, roster.ErrUnknown) {
		t.Errorf("roll back from nothing: %v", err)
	}
	g.activate(t, "1", "2")
	for _, want := range []string{"1", "2"} { // there and back again
		got, err := g.RollBack(ctx)
		if err != nil || got != want || g.answers(t, "a") != want {
			t.Errorf("rolled back to %s, want %s (%v)", got, want, err)
		}
	}
	if got := g.states(); got != "1 ready;2 active;" {
		t.Errorf("states %s", got)
	}
}

func TestWhatFailsChangesNothing(t *testing.T) {
	g := newRig(t)
	g.activate(t, "1")
	g.fail = errors.New("broken")
	if err := g.Activate(ctx, "2"); !errors.Is(err, g.fail) {
		t.Errorf("a version that cannot be loaded: %v", err)
	}
	if got := g.states(); got != "1 active;2 failed;" || g.answers(t, "a") != "1" {
		t.Errorf("states %s", got)
	}
	g.fail, g.refuse = nil, errors.New("disk full")
	if err := g.Activate(ctx, "2"); !errors.Is(err, g.refuse) {
		t.Errorf("a choice that cannot be written down: %v", err)
	}
	if got := g.states(); got != "1 active;2 ready;" || g.answers(t, "a") != "1" {
		t.Errorf("states %s", got)
	}
	for version, want := range map[string]error{"1": roster.ErrInUse, "9": roster.ErrUnknown} {
		if err := g.Drop(version); !errors.Is(err, want) {
			t.Errorf("drop %s: %v, want %v", version, err, want)
		}
	}
	if err := g.Drop("2"); err != nil || g.wait(t) != "2" {
		t.Errorf("drop what is merely ready: %v", err)
	}
}

// A slow load is no obstacle to requests, and a second one of the same version is
// refused.
func TestLoadingBesideRequests(t *testing.T) {
	started, goOn := make(chan bool), make(chan bool)
	gone := make(chan string, 10)
	r := roster.New(roster.Options[*fake]{Load: func(_ context.Context, v string) (*fake, error) {
		if v == "slow" {
			started <- true
			<-goOn
		}
		return &fake{version: v, gone: gone}, nil
	}})
	if err := r.Activate(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Activate(ctx, "slow") }()
	<-started
	if l, err := r.Pick("a", ""); err != nil || l.Version != "1" {
		t.Errorf("a request while another version loads: %v", err)
	} else {
		l.Release()
	}
	if err := r.Load(ctx, "slow"); !errors.Is(err, roster.ErrLoading) {
		t.Errorf("a second load: %v", err)
	}
	goOn <- true
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l, err := r.Pick("a", ""); err != nil || l.Version != "slow" {
		t.Errorf("after loading: %v", err)
	} else {
		l.Release()
	}
}

// TestSplit: shares are kept within chance, everybody always meets the same version, and
// a larger share keeps those it had.
func TestSplit(t *testing.T) {
	g := newRig(t)
	g.activate(t, "1")
	for _, v := range []string{"b", "c"} {
		if err := g.Load(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	count := func(shares ...roster.Share) (map[string]int, map[string]string) {
		if err := g.SetSplit(shares); err != nil {
			t.Fatal(err)
		}
		n, of := map[string]int{}, map[string]string{}
		for u := range 20000 {
			user := fmt.Sprint("user", u)
			v := g.answers(t, user)
			n[v]++
			of[user] = v
		}
		return n, of
	}
	n, small := count(roster.Share{Version: "b", Share: 0.1}, roster.Share{Version: "c", Share: 0.3})
	for v, share := range map[string]float64{"1": 0.6, "b": 0.1, "c": 0.3} {
		if sd := math.Sqrt(20000 * share * (1 - share)); math.Abs(float64(n[v])-20000*share) > 5*sd {
			t.Errorf("version %s answers %d of 20000 users, want %v", v, n[v], 20000*share)
		}
	}
	_, large := count(roster.Share{Version: "b", Share: 0.5})
	for user, v := range small {
		if v == "b" && large[user] != "b" {
			t.Fatalf("%s was sent to b with a share of 0.1 and to %s with 0.5", user, large[user])
		}
	}
	if got := g.answers(t, ""); got != "1" {
		t.Errorf("somebody without a name meets %s", got)
	}
	for _, bad := range [][]roster.Share{{{Version: "b", Share: 0.6}, {Version: "c", Share: 0.6}}, {{Version: "b", Share: math.NaN()}}, {{Version: "x", Share: 0.1}}} {
		if err := g.SetSplit(bad); err == nil {
			t.Errorf("split %v is accepted", bad)
		}
	}
	if err := g.Drop("b"); err != nil {
		t.Fatal(err)
	}
	if got := g.answers(t, "user1"); got != "1" {
		t.Errorf("with its share gone a user meets %s", got)
	}
}

func TestShadow(t *testing.T) {
	g := newRig(t)
	g.activate(t, "1")
	if g.PickShadow() != nil {
		t.Error("a shadow without one")
	}
	if err := g.SetShadow("1"); !errors.Is(err, roster.ErrUnknown) {
		t.Errorf("the active version as its own shadow: %v", err)
	}
	if err := g.Load(ctx, "2"); err != nil {
		t.Fatal(err)
	}
	if err := g.SetShadow("2"); err != nil {
		t.Fatal(err)
	}
	l := g.PickShadow()
	if l == nil || l.Version != "2" || g.answers(t, "a") != "1" {
		t.Fatalf("the shadow is %+v", l)
	}
	l.Release()
	g.activate(t, "2")
	if g.PickShadow() != nil || g.answers(t, "a") != "2" {
		t.Error("a shadow that was activated is still a shadow")
	}
}

// TestSwapsUnderLoad: while versions come and go no request fails or meets a closed
// engine, and everything is closed in the end.
func TestSwapsUnderLoad(t *testing.T) {
	g := newRig(t)
	g.activate(t, "0")
	stop := make(chan bool)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				l, err := g.Pick(fmt.Sprint(w, n), "")
				if err != nil {
					t.Error(err)
					return
				}
				if l.Engine.closed.Load() {
					t.Errorf("version %s is closed", l.Version)
				}
				l.Release()
			}
		})
	}
	for v := 1; v <= 200; v++ {
		if err := g.Activate(ctx, fmt.Sprint(v)); err != nil {
			t.Fatal(err)
		}
		if v%7 == 0 {
			if _, err := g.RollBack(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
	if err := g.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if len(g.List()) != 0 {
		t.Errorf("after Close there is %s", g.states())
	}
	if err := g.Load(ctx, "x"); !errors.Is(err, roster.ErrNone) {
		t.Errorf("a closed roster loads: %v", err)
	}
}

func TestCloseWaitsForRequests(t *testing.T) {
	g := newRig(t)
	g.activate(t, "1")
	l, err := g.Pick("a", "")
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithCancel(ctx)
	cancel()
	if err := g.Close(soon); !errors.Is(err, context.Canceled) {
		t.Errorf("close with a request on its way: %v", err)
	}
	l.Release()
	if err := g.Close(ctx); err != nil {
		t.Error(err)
	}
}
