package engine

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// fake is a candidate that is there, is missing, does not open, or panics.
func fake(name, state string) candidate {
	return candidate{
		name: name, good: "good " + name,
		find: func() (string, error) {
			if state == "missing" {
				return "", errors.Join(ErrUnavailable, errors.New("no "+name))
			}
			return "/lib/" + name, nil
		},
		open: func(detail string) (compute.Backend, error) {
			switch state {
			case "broken":
				return nil, errors.New("bad symbol")
			case "panics":
				panic("nil handle")
			}
			return gobackend.New(goOptions)
		},
	}
}

func TestChoose(t *testing.T) {
	states := func(cuda, onnx, cpu, pure string) []candidate {
		return []candidate{fake(XLACUDA, cuda), fake(ONNX, onnx), fake(XLACPU, cpu), fake(Go, pure)}
	}
	for _, c := range []struct {
		name    string
		ask     string
		from    []candidate
		want    string
		why     string
		skipped []string // a part of each, in order
		err     error
	}{
		{"cuda first", Auto, states("ok", "ok", "ok", "ok"), XLACUDA, "good xla:cuda; /lib/xla:cuda", nil, nil},
		{"empty is auto", "", states("missing", "ok", "ok", "ok"), ONNX, "good onnx", []string{"no xla:cuda"}, nil},
		{"cpu before go", Auto, states("missing", "missing", "ok", "ok"), XLACPU, "good xla:cpu", []string{"no xla:cuda", "no onnx"}, nil},
		{"go last", Auto, states("missing", "broken", "panics", "ok"), Go, "good go",
			[]string{"no xla:cuda", "onnx: /lib/onnx: bad symbol", "xla:cpu: loading it failed: nil handle"}, nil},
		{"nothing works", Auto, states("missing", "missing", "missing", "broken"), "", "", nil, ErrUnavailable},
		{"asked for", Go, states("ok", "ok", "ok", "ok"), Go, "asked for", nil, nil},
		{"asked for, missing: no fallback", ONNX, states("ok", "missing", "ok", "ok"), "", "", nil, ErrUnavailable},
		{"asked for, broken: no fallback", XLACPU, states("ok", "ok", "broken", "ok"), "", "", nil, ErrUnavailable},
		{"asked for, panics", XLACUDA, states("panics", "ok", "ok", "ok"), "", "", nil, ErrUnavailable},
		{"unknown", "tpu", states("ok", "ok", "ok", "ok"), "", "", nil, ErrUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			backend, choice, err := choose(c.ask, c.from)
			if c.err != nil {
				if !errors.Is(err, c.err) || backend != nil {
					t.Fatalf("got backend %v, error %v; want error %v", backend, err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if choice.Name != c.want || !strings.HasPrefix(choice.Why, c.why) || len(choice.Skipped) != len(c.skipped) {
				t.Fatalf("got %+v, want %s because %s after %q", choice, c.want, c.why, c.skipped)
			}
			for i, part := range c.skipped {
				if !strings.Contains(choice.Skipped[i], part) {
					t.Errorf("skipped[%d] = %q, want it to contain %q", i, choice.Skipped[i], part)
				}
			}
		})
	}
}

// The order of Names is the order of preference, and every build knows them all.
func TestNamesMatchCandidates(t *testing.T) {
	got := []string{Auto}
	for _, c := range candidates() {
		got = append(got, c.name)
	}
	if want := Names(); !reflect.DeepEqual(got, want) {
		t.Errorf("candidates %q, names %q", got, want)
	}
}

// each runs f on every engine that this machine has.
func each(t *testing.T, f func(*testing.T, compute.Backend)) {
	for _, name := range Names()[1:] {
		t.Run(name, func(t *testing.T) {
			backend, _, err := Open(name)
			if errors.Is(err, ErrUnavailable) && name != Go {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer backend.Finalize()
			f(t, backend)
		})
	}
}

// More products side by side than the pure-Go backend has workers: with its
// default options this never ends. The sum of k products of ones [n n] is k n.
func TestWideGraphEnds(t *testing.T) {
	const wide, n = 64, 256
	each(t, func(t *testing.T, backend compute.Backend) {
		exec, err := graph.NewExec(backend, func(x *graph.Node) *graph.Node {
			var sum *graph.Node
			for i := range wide {
				p := graph.MatMul(graph.MulScalar(x, float64(i+1)), x)
				if sum == nil {
					sum = p
				} else {
					sum = graph.Add(sum, p)
				}
			}
			return sum
		})
		if err != nil {
			t.Fatal(err)
		}
		ones := make([]float32, n*n)
		for i := range ones {
			ones[i] = 1
		}
		done := make(chan error, 1)
		var got []float32
		go func() {
			out, err := exec.Call(tensors.FromFlatDataAndDimensions(ones, n, n))
			if err == nil {
				got, err = tensors.CopyFlatData[float32](out[0])
			}
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("the backend is stuck: its operations wait for one another")
		}
		const want = n * wide * (wide + 1) / 2
		for i, v := range got {
			if v != want {
				t.Fatalf("element %d is %v, want %v", i, v, want)
			}
		}
	})
}

// Gradient descent on the probe's network lowers the loss, so the step computes
// a real gradient; and every engine finds the losses that pure Go finds.
func TestProbeStepTrains(t *testing.T) {
	s := stepShape{batch: 2, length: 5, dim: 8, hidden: 12, layers: 2}
	var want []float64
	losses := func(t *testing.T, backend compute.Backend) []float64 {
		exec, err := graph.NewExec(backend, s.step)
		if err != nil {
			t.Fatal(err)
		}
		defer exec.Finalize()
		state := s.state()
		var out []float64
		for range 20 {
			args := make([]any, len(state))
			for i, x := range state {
				args[i] = x
			}
			next, err := exec.Call(args...)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, float64(tensors.ToScalar[float32](next[0])))
			state = append(state[:1:1], next[1:]...)
		}
		return out
	}
	pure, _, err := Open(Go)
	if err != nil {
		t.Fatal(err)
	}
	want = losses(t, pure)
	if first, last := want[0], want[len(want)-1]; !(last < 0.99*first) {
		t.Errorf("loss went from %v to %v in 20 steps, want it to fall", first, last)
	}
	each(t, func(t *testing.T, backend compute.Backend) {
		for i, got := range losses(t, backend) {
			if math.Abs(got-want[i]) > 1e-4*want[i] {
				t.Fatalf("loss %d is %v, pure Go has %v", i, got, want[i])
			}
		}
	})
}
