package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/file"
)

// Names of the two checkpoints a run keeps, and of the files in each.
const (
	Best = "best" // best on validation: weights only
	Last = "last" // newest: weights and optimiser, to resume from

	tensorsFile = "model.safetensors"
	stateFile   = "state.json"
)

const stateFormat = "whereto-checkpoint/1"

// Choice is the best validation result so far.
type Choice struct {
	Metric string             `json:"metric"`
	Value  float64            `json:"value"`
	Epoch  int                `json:"epoch"`
	Step   int                `json:"step"`
	All    map[string]float64 `json:"all"` // every metric of that evaluation
}

// State is state.json of a checkpoint: where training stands. Fingerprints are
// filled from the run's Meta when saved.
type State struct {
	Format           string    `json:"format"`
	Step             int       `json:"step"`  // optimiser updates done
	Epoch            int       `json:"epoch"` // of the next batch, from 0
	Batch            int       `json:"batch"` // batches of the epoch already used
	Seed             int64     `json:"seed"`
	Best             *Choice   `json:"best,omitempty"`
	WithoutGain      int       `json:"evaluations_without_gain"`
	LossSum          float64   `json:"epoch_loss_sum"` // weighted, of the epoch so far
	LossWeight       float64   `json:"epoch_loss_weight"`
	SavedAt          time.Time `json:"saved_at"`
	Backend          string    `json:"backend"`
	RecipeHash       string    `json:"recipe_hash"`
	DataFingerprint  string    `json:"data_fingerprint"`
	IndexFingerprint string    `json:"index_fingerprint"`
}

// SaveCheckpoint writes the variables of store that keep accepts (all if nil)
// and st as checkpoint name. The old one stays until the new one is complete on
// disk; on any error, such as a full disk, the old one is untouched.
func (r *Run) SaveCheckpoint(name string, store *model.Store, st State, keep func(path string) bool) (err error) {
	if err := checkName(name); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	root := r.Path(CheckpointsDir)
	defer func() {
		if err != nil {
			err = fmt.Errorf("save checkpoint %s at step %d: %w; the previous checkpoint is kept, free disk space and continue with --resume auto", filepath.Join(root, name), st.Step, err)
		}
	}()
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := removeStale(root, name); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(root, "."+name+".tmp-")
	if err != nil {
		return err
	}
	defer func() {
		if rmErr := os.RemoveAll(tmp); err == nil {
			err = rmErr
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := r.fillCheckpoint(tmp, store, st, keep); err != nil {
		return err
	}
	return swapDir(root, name, tmp)
}

// removeStale removes the temporary folders of saves that a crash cut short.
func removeStale(root, name string) error {
	stale, err := filepath.Glob(filepath.Join(root, "."+name+".tmp-*"))
	if err != nil {
		return err
	}
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// fillCheckpoint writes the files of a checkpoint and, last, DONE with their sums.
func (r *Run) fillCheckpoint(dir string, store *model.Store, st State, keep func(string) bool) error {
	st.Format, st.SavedAt = stateFormat, time.Now().UTC().Truncate(time.Second)
	st.RecipeHash, st.DataFingerprint, st.IndexFingerprint = r.meta.RecipeHash, r.meta.DataFingerprint, r.meta.IndexFingerprint
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	sum := sha256.New()
	err = writeStream(filepath.Join(dir, tensorsFile), r.wrap, func(w io.Writer) error {
		return writeStore(io.MultiWriter(w, sum), store, map[string]string{"format": stateFormat}, keep)
	})
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, stateFile), text, r.wrap); err != nil {
		return err
	}
	done := fmt.Sprintf("%x  %s\n%s  %s\n", sum.Sum(nil), tensorsFile, Fingerprint(text), stateFile)
	return writeFile(filepath.Join(dir, DoneFile), []byte(done), r.wrap)
}

// swapDir puts the complete folder tmp in place of root/name. A crash between
// the two renames leaves root/.name.old, which checkpointDir finds.
func swapDir(root, name, tmp string) error {
	place, old := filepath.Join(root, name), filepath.Join(root, "."+name+".old")
	if _, err := os.Stat(place); err == nil {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
		if err := os.Rename(place, old); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, place); err != nil {
		return errors.Join(err, os.Rename(old, place))
	}
	if err := file.SyncDir(root); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// checkpointDir returns the folder of a checkpoint, or of the one before it when
// a crash came between taking the old away and putting the new in place.
func (r *Run) checkpointDir(name string) string {
	place := r.Path(CheckpointsDir, name)
	if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
		old := r.Path(CheckpointsDir, "."+name+".old")
		if _, err := os.Stat(filepath.Join(old, DoneFile)); err == nil {
			return old
		}
	}
	return place
}

// HasCheckpoint reports whether a checkpoint folder exists, complete or not.
func (r *Run) HasCheckpoint(name string) bool {
	_, err := os.Stat(r.checkpointDir(name))
	return err == nil
}

// Checkpoint is an opened and verified checkpoint. Close it after loading.
type Checkpoint struct {
	State State
	path  string
	file  *os.File
	data  *TensorFile
}

// OpenCheckpoint opens a checkpoint and verifies its DONE marker, checksums and
// that it belongs to this run (fingerprints as in meta.json).
func (r *Run) OpenCheckpoint(name string) (*Checkpoint, error) {
	dir := r.checkpointDir(name)
	ck, err := openCheckpoint(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: %w", dir, err)
	}
	if err := ck.Check(r.meta.DataFingerprint, r.meta.IndexFingerprint); err != nil {
		return nil, errors.Join(err, ck.Close())
	}
	return ck, nil
}

func openCheckpoint(dir string) (*Checkpoint, error) {
	done, err := os.ReadFile(filepath.Join(dir, DoneFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no %s: %w; training did not save it, or a copy stopped half way: use the other checkpoint or train on", DoneFile, ErrIncomplete)
	}
	if err != nil {
		return nil, err
	}
	if err := verifySums(dir, string(done)); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	ck := &Checkpoint{path: dir}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ck.State); err != nil {
		return nil, fmt.Errorf("%s: %w: %v", stateFile, ErrCorrupt, err)
	}
	if ck.State.Format != stateFormat {
		return nil, fmt.Errorf("%s says format %q, this version reads %q: %w", stateFile, ck.State.Format, stateFormat, ErrMismatch)
	}
	if ck.file, err = os.Open(filepath.Join(dir, tensorsFile)); err != nil {
		return nil, err
	}
	info, err := ck.file.Stat()
	if err == nil {
		ck.data, err = OpenTensors(ck.file, info.Size())
	}
	if err != nil {
		return nil, errors.Join(err, ck.file.Close())
	}
	return ck, nil
}

// verifySums compares the files with the "sha256  name" lines of DONE; both
// files must be listed.
func verifySums(dir, done string) error {
	sums := map[string]string{}
	for line := range strings.Lines(done) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			sums[name] = sum
		}
	}
	for _, name := range []string{tensorsFile, stateFile} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrIncomplete, err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != sums[name] {
			return fmt.Errorf("%s has SHA-256 %s, %s says %q: %w; copy the folder again or use the other checkpoint", name, got, DoneFile, sums[name], ErrCorrupt)
		}
	}
	return nil
}

// Check compares the data set and index a checkpoint was trained with to those
// at hand; an empty text is not compared. ErrMismatch quotes both.
func (c *Checkpoint) Check(data, index string) error {
	for _, p := range []struct{ what, have, want string }{
		{"data", c.State.DataFingerprint, data}, {"index", c.State.IndexFingerprint, index},
	} {
		if p.want != "" && p.have != "" && p.have != p.want {
			return fmt.Errorf("checkpoint %s was trained with %s %s, this is %s %s: %w; use the %s the run was made with, or train again",
				c.path, p.what, p.have, p.what, p.want, ErrMismatch, p.what)
		}
	}
	return nil
}

// Tensors gives the weights by name.
func (c *Checkpoint) Tensors() *TensorFile { return c.data }

// Load sets the variables of store that keep accepts (all if nil) to the values
// of the checkpoint. Store and file must hold the same names, types and shapes;
// nothing is changed otherwise.
func (c *Checkpoint) Load(store *model.Store, keep func(path string) bool) error {
	if err := checkAgainst(c.data, store, keep); err != nil {
		return fmt.Errorf("load checkpoint %s: %w", c.path, err)
	}
	for v := range store.IterVariables() {
		if keep != nil && !keep(v.Path()) {
			continue
		}
		t, err := readTensor(c.data, tensorName(v))
		if err == nil {
			err = v.SetValue(t)
		}
		if err != nil {
			return fmt.Errorf("load checkpoint %s: %w", c.path, err)
		}
	}
	return nil
}

// Restore creates in store every variable of the checkpoint that keep accepts
// (all if nil): for a store without variables, whose model is built afterwards
// and finds them by path. It fails if a variable exists with another shape.
func (c *Checkpoint) Restore(store *model.Store, keep func(path string) bool) error {
	for _, name := range c.data.Names() {
		if keep != nil && !keep("/"+name) {
			continue
		}
		t, err := readTensor(c.data, name)
		if err != nil {
			return fmt.Errorf("load checkpoint %s: %w", c.path, err)
		}
		if v := store.GetVariable(name); v != nil {
			return fmt.Errorf("load checkpoint %s: variable %s exists already; use Load: %w", c.path, name, ErrMismatch)
		}
		if _, err := store.CreateVariable(name, t); err != nil {
			return fmt.Errorf("load checkpoint %s: %w", c.path, err)
		}
	}
	return nil
}

// Close closes the file.
func (c *Checkpoint) Close() error { return c.file.Close() }
