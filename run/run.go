// Package run keeps one training run in one folder: the resolved recipe, what
// the run was made from, the index, the record of metrics, checkpoints and
// results.
//
// Vocabulary: a run is a folder with a meta.json; a checkpoint is a folder
// below checkpoints/ with weights, state and a checksum; a fingerprint is a
// short text that is equal only if two inputs are equal (data set, index,
// recipe). The layout and every file format is described in docs/format/run.md.
//
// Promises: every file appears whole or not at all (temporary file in the same
// folder, fsync, rename); a checkpoint replaces the previous one only when it is
// complete on disk; nothing read from a folder is trusted without a size limit
// and a check. One process at a time writes to a run (Lock); any number may read.
//
// Errors wrap ErrExists, ErrIncomplete, ErrLocked, ErrMismatch or ErrCorrupt and
// say which file, which value and what to do.
package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/whereto/whereto/file"
)

// Sentinel errors; wrapped with the path, the value and what to do.
var (
	// ErrExists is returned when a run is created where something already is.
	ErrExists = errors.New("run folder already exists")
	// ErrIncomplete is returned for a folder or checkpoint that was not finished.
	ErrIncomplete = errors.New("incomplete")
	// ErrLocked is returned when another process writes to the run.
	ErrLocked = errors.New("run folder is in use")
	// ErrMismatch is returned when two things do not belong together.
	ErrMismatch = errors.New("does not match")
	// ErrCorrupt is returned for a file whose content breaks its format.
	ErrCorrupt = errors.New("corrupt file")
)

// Names of files in a run folder that other packages write or read.
const (
	RecipeFile     = "recipe.yaml"
	MetaFile       = "meta.json"
	IndexFile      = "index.bin"
	MetricsFile    = "metrics.jsonl"
	TensorBoardDir = "tensorboard"
	CheckpointsDir = "checkpoints"
	LockFile       = "LOCK"
	DoneFile       = "DONE"
)

const maxSmallFile = 64 << 20 // meta, state, recipe: far above any real one

// Run is an open run folder. Its methods are not safe for concurrent use.
type Run struct {
	dir     string
	meta    Meta
	lock    *os.File
	metrics *os.File
	// wrap, if set, wraps every file written by a checkpoint: tests use it to
	// play a full disk at any byte.
	wrap func(io.Writer) io.Writer
}

// Dir returns the folder of the run.
func (r *Run) Dir() string { return r.dir }

// Meta returns what the run was made from.
func (r *Run) Meta() Meta { return r.meta }

// Path returns the path of a file of the run; parts are joined below Dir.
func (r *Run) Path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

// Create makes a run folder with meta.json and recipe.yaml. The folder appears
// complete or not at all; it must not exist, or be empty. CreatedAt is set if
// zero.
func Create(dir string, meta Meta, recipe []byte) (*Run, error) {
	dir = filepath.Clean(dir)
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("create run %s: the folder is not empty: %w; choose another --out, continue it with --resume auto, or remove it", dir, ErrExists)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	if meta.CreatedAt.IsZero() {
		meta.CreatedAt = time.Now().UTC().Truncate(time.Second)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp-")
	if err != nil {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	defer os.RemoveAll(tmp)
	if err := fill(tmp, meta, recipe); err != nil {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	// Renaming over an empty folder needs it gone on some systems.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	if err := file.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	return &Run{dir: dir, meta: meta}, nil
}

func fill(dir string, meta Meta, recipe []byte) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for _, sub := range []string{CheckpointsDir, TensorBoardDir} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, MetaFile), append(text, '\n'), nil); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, RecipeFile), recipe, nil)
}

// Open opens an existing run folder for reading (Lock it before writing). A
// folder without a valid meta.json and recipe.yaml gives ErrIncomplete.
func Open(dir string) (*Run, error) {
	dir = filepath.Clean(dir)
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open run %s: %w; give the folder that pretrain wrote with --out", dir, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open run %s: not a folder; give the folder that pretrain wrote with --out", dir)
	}
	r := &Run{dir: dir}
	text, err := r.ReadFile(MetaFile)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&r.meta); err != nil {
		return nil, fmt.Errorf("open run %s: %s: %w: %v; the folder was half written or edited, copy it again or train again", dir, MetaFile, ErrIncomplete, err)
	}
	if r.meta.Format != metaFormat {
		return nil, fmt.Errorf("open run %s: %s says format %q, this version reads %q: %w; use the version that wrote it", dir, MetaFile, r.meta.Format, metaFormat, ErrMismatch)
	}
	if _, err := os.Stat(r.Path(RecipeFile)); err != nil {
		return nil, r.missing(RecipeFile, err)
	}
	return r, nil
}

// ReadFile reads a file of the run whole, up to 64 MiB for the small files and
// without limit for index.bin. A missing file gives ErrIncomplete.
func (r *Run) ReadFile(name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("read from run %s: %w", r.dir, err)
	}
	path := r.Path(name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, r.missing(name, err)
	}
	if name != IndexFile && info.Size() > maxSmallFile {
		return nil, fmt.Errorf("read %s: %d bytes, at most %d are read: %w", path, info.Size(), maxSmallFile, ErrCorrupt)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

func (r *Run) missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open run %s: no %s: %w; this is not a run folder or it was half written: train again with another --out, or copy the whole folder again", r.dir, name, ErrIncomplete)
	}
	return fmt.Errorf("open run %s: %s: %w", r.dir, name, err)
}

// WriteFile writes a file of the run; it appears whole or not at all.
func (r *Run) WriteFile(name string, data []byte) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("write to run %s: %w", r.dir, err)
	}
	if err := writeFile(r.Path(name), data, r.wrap); err != nil {
		return fmt.Errorf("write to run %s: %w", r.dir, err)
	}
	return nil
}

// WriteTo is WriteFile for content that is produced by write piece by piece.
func (r *Run) WriteTo(name string, write func(io.Writer) error) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("write to run %s: %w", r.dir, err)
	}
	if err := writeStream(r.Path(name), r.wrap, write); err != nil {
		return fmt.Errorf("write to run %s: %w", r.dir, err)
	}
	return nil
}

// checkName refuses names that would leave the run folder.
func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, `/\`) || name == "." || name == ".." {
		return fmt.Errorf("bad file name %q: it must be a plain name without folders", name)
	}
	return nil
}

// MarkDone records that training ended by itself.
func (r *Run) MarkDone() error {
	return r.WriteFile(DoneFile, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"))
}

// IsDone reports whether MarkDone was called on the folder.
func (r *Run) IsDone() bool {
	_, err := os.Stat(r.Path(DoneFile))
	return err == nil
}

// Close releases the lock and the metrics file.
func (r *Run) Close() error {
	var errs []error
	if r.metrics != nil {
		errs = append(errs, r.metrics.Close())
		r.metrics = nil
	}
	errs = append(errs, r.Unlock())
	return errors.Join(errs...)
}

// writeFile writes data to path whole or not at all, through wrap unless that is nil.
func writeFile(path string, data []byte, wrap func(io.Writer) io.Writer) error {
	return writeStream(path, wrap, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func writeStream(path string, wrap func(io.Writer) io.Writer, write func(io.Writer) error) error {
	return file.Write(path, func(w io.Writer) error {
		if wrap != nil {
			w = wrap(w)
		}
		return write(w)
	})
}
