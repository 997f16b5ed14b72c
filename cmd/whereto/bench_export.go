package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

// inputNames are the file names of a batch's arrays; their shapes are in package
// batch.
var inputNames = [batch.NumInputs]string{
	batch.InPlace: "place", batch.InTimes: "times", batch.InClock: "clock", batch.InCells: "cells", batch.InAt: "at",
	batch.InFrom: "from", batch.InType: "type", batch.InSegment: "segment", batch.InUser: "user", batch.InProfile: "profile",
	batch.InRequest: "request", batch.InWeight: "weight", batch.InLabel: "label", batch.InCandidate: "candidate",
	batch.InFeature: "feature", batch.InContext: "context", batch.InChosen: "chosen",
}

// manifest is manifest.json of an export.
type manifest struct {
	Seed    int64            `json:"seed"`
	Weights string           `json:"weights"` // safetensors, relative
	Tables  map[string]any   `json:"tables"`  // sizes; arrays are in tables/NAME.npy
	Batches []exportedBatch  `json:"batches"`
	Inputs  []string         `json:"inputs"` // in the order of package batch
	Recipe  map[string]any   `json:"recipe"`
	Shapes  map[string][]int `json:"table_shapes"`
}

// exportedBatch is one batch: arrays are in FOLDER/NAME.npy.
type exportedBatch struct {
	Folder  string           `json:"folder"`
	Tokens  int              `json:"tokens"`
	Targets int              `json:"targets"`
	Weight  float64          `json:"weight"`
	Shapes  map[string][]int `json:"shapes"`
	Loss    float64          `json:"loss"` // of the first weights, without dropout: to compare networks
}

// export writes the batches, tables and first weights as a run folder that
// others can read: the weights are its checkpoint "first".
func (k *keptBatches) export(dir string, backend compute.Backend, store *model.Store) (err error) {
	text, err := k.a.Recipe.Resolved()
	if err != nil {
		return err
	}
	meta := run.NewMeta(filepath.Base(dir), text)
	meta.Seed, meta.Backend = k.a.Recipe.Training.Seed, backend.Name()
	meta.DataFingerprint, meta.IndexFingerprint = k.a.Dataset.Fingerprint, k.a.Index.Fingerprint()
	r, err := run.Create(dir, meta, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.SaveCheckpoint("first", store, run.State{Seed: meta.Seed, Backend: meta.Backend}, training.IsModelPath); err != nil {
		return err
	}
	m := manifest{Seed: meta.Seed, Weights: filepath.Join(run.CheckpointsDir, "first", "model.safetensors"), Inputs: inputNames[:]}
	if err := yaml.Unmarshal(text, &m.Recipe); err != nil {
		return fmt.Errorf("read the resolved recipe back: %w", err)
	}
	if err := k.exportTables(r, &m); err != nil {
		return err
	}
	losses, err := k.losses(backend, store)
	if err != nil {
		return err
	}
	for i, b := range k.list {
		e, err := exportBatch(r, i, b)
		if err != nil {
			return err
		}
		e.Loss = losses[i]
		m.Batches = append(m.Batches, e)
	}
	out, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return r.WriteFile("manifest.json", append(out, '\n')) // last: with it the export is complete
}

func exportBatch(r *run.Run, i int, b training.Batch) (exportedBatch, error) {
	e := exportedBatch{Folder: filepath.Join("batches", fmt.Sprintf("%03d", i)), Tokens: b.Tokens, Targets: targetsOf(b), Weight: b.Weight, Shapes: map[string][]int{}}
	if err := os.MkdirAll(r.Path(e.Folder), 0o755); err != nil {
		return e, fmt.Errorf("export: %w", err)
	}
	for j, in := range b.Inputs {
		name := inputNames[j]
		e.Shapes[name] = in.Dims
		if err := saveNPY(r.Path(e.Folder, name+".npy"), in.Data, in.Dims); err != nil {
			return e, err
		}
	}
	return e, nil
}

// exportTables writes what the network knows of places besides its weights.
func (k *keptBatches) exportTables(r *run.Run, m *manifest) error {
	t := k.a.Model.Tables
	v := t.Places()
	m.Tables = map[string]any{"hier": t.Hier, "blocks": t.Blocks, "tokens": t.Tokens, "places": v, "categories": t.Categories,
		"profiles": t.Profiles, "users": t.Users, "types": t.Types, "geo_table": t.GeoTable, "profile": t.Profile, "located": t.Located}
	m.Shapes = map[string][]int{"place": {v}, "cats": {v, len(t.Cats) / v}, "cells": {v, len(t.Cells) / v}, "mean": {len(t.Mean)}, "scale": {len(t.Scale)}}
	arrays := map[string]any{"place": t.Place, "cats": t.Cats, "cells": t.Cells, "mean": t.Mean, "scale": t.Scale}
	if t.Hier {
		m.Shapes["block"], arrays["block"] = []int{v}, t.Block
	}
	if err := os.MkdirAll(r.Path("tables"), 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for name, data := range arrays {
		if err := saveNPY(r.Path("tables", name+".npy"), data, m.Shapes[name]); err != nil {
			return err
		}
	}
	return nil
}

// losses runs the network forward on each batch, without dropout.
func (k *keptBatches) losses(backend compute.Backend, store *model.Store) ([]float64, error) {
	exec, err := model.NewExec(backend, store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
		loss, _ := k.a.Model.Loss(s, in[1:], in[0])
		return []*graph.Node{loss}
	})
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	defer exec.Finalize()
	exec.SetMaxCache(-1)
	var out []float64
	for i, b := range k.list {
		args := []any{float32(0)}
		for _, in := range b.Inputs {
			t, err := in.Tensor()
			if err != nil {
				return nil, fmt.Errorf("export: batch %d: %w", i, err)
			}
			args = append(args, t)
		}
		res, err := exec.Call(args...)
		if err != nil {
			return nil, fmt.Errorf("export: loss of batch %d: %w", i, err)
		}
		out = append(out, float64(tensors.ToScalar[float32](res[0])))
	}
	return out, nil
}

// targetsOf counts the requests of a batch that weigh something.
func targetsOf(b training.Batch) int {
	n := 0
	if weights, ok := b.Inputs[batch.InWeight].Data.([]float32); ok {
		for _, w := range weights {
			if w != 0 {
				n++
			}
		}
	}
	return n
}

// saveNPY writes an array as a NumPy file, format version 1.0.
func saveNPY(path string, data any, dims []int) error {
	return file.Write(path, func(w io.Writer) error { return writeNPY(w, data, dims) })
}

func writeNPY(w io.Writer, data any, dims []int) error {
	kind := ""
	switch data.(type) {
	case []float32:
		kind = "<f4"
	case []int32:
		kind = "<i4"
	default:
		return fmt.Errorf("no NumPy type for %T", data)
	}
	shape := make([]string, len(dims))
	for i, d := range dims {
		shape[i] = fmt.Sprint(d)
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }", kind, strings.Join(shape, ", "))
	const before = len("\x93NUMPY\x01\x00") + 2 // magic and version, then the header's length
	header += strings.Repeat(" ", 63-(before+len(header))%64) + "\n"
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "\x93NUMPY\x01\x00")
	if err := binary.Write(out, binary.LittleEndian, uint16(len(header))); err != nil {
		return err
	}
	fmt.Fprint(out, header) // a bufio.Writer keeps its first error for Flush
	if err := binary.Write(out, binary.LittleEndian, data); err != nil {
		return err
	}
	return out.Flush()
}
