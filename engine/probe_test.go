package engine

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestProbeReportsEachEngine(t *testing.T) {
	got, err := probe(t.Context(), []candidate{fake(XLACUDA, "missing"), fake(ONNX, "broken"), fake(XLACPU, "panics"), fake(Go, "ok")}, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name, why string
		available bool
	}{
		{XLACUDA, "engine not available no xla:cuda", false},
		{ONNX, "/lib/onnx: bad symbol", false},
		{XLACPU, "loading it failed: nil handle", false},
		{Go, "/lib/go", true},
	} {
		g := got[i]
		if g.Name != want.name || g.Why != want.why || g.Available != want.available {
			t.Errorf("engine %d is %+v, want %+v", i, g, want)
		}
		if (g.Description != "") != want.available || (g.Devices > 0) != want.available || g.Speed != nil {
			t.Errorf("engine %d: description, devices or speed of one that is not there: %+v", i, g)
		}
	}
}

func TestProbeStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := probe(ctx, []candidate{fake(Go, "ok")}, true); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

// The measuring functions return finite positive speeds, on the smallest effort.
func TestMeasureSmall(t *testing.T) {
	backend, _, err := Open(Go)
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	size, rate, err := measureGEMM(t.Context(), backend, time.Nanosecond)
	if err != nil || size != gemmRungs[0].n || !(rate > 0) {
		t.Errorf("measureGEMM = %d, %v, %v; want the first rung and a positive rate", size, rate, err)
	}
	seconds, err := measureTraining(t.Context(), backend, stepShape{batch: 1, length: 3, dim: 4, hidden: 8, layers: 1}, time.Nanosecond)
	if err != nil || !(seconds > 0) {
		t.Errorf("measureTraining = %v, %v; want a positive time", seconds, err)
	}
}

// By hand, per token: projections 4 x 3x3 and 2 x 3x4 make 60 multiply-adds,
// scores and sum 2 x 2x3 make 12; 72 x 2 FLOPs x 3 passes x 2 tokens x 1 layer.
func TestStepFLOPs(t *testing.T) {
	if got := (stepShape{batch: 1, length: 2, dim: 3, hidden: 4, layers: 1}).flops(); got != 864 {
		t.Errorf("flops = %v, want 864", got)
	}
}

// Scripts read these names.
func TestFoundJSON(t *testing.T) {
	f := Found{Name: Go, Available: true, Why: "built in", Description: "d", Devices: 1, Speed: &Speed{GEMMSize: 512, GEMM: 1, TrainTokens: 2, Train: 3}}
	got, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"go","available":true,"why":"built in","description":"d","devices":1,"speed":{"gemm_size":512,"gemm_gflops":1,"train_tokens_per_s":2,"train_gflops":3}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
