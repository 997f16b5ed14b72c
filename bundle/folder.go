package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/whereto/whereto/file"
)

// hiddenMark is in the names of folders that are not complete.
const hiddenMark = ".tmp-"

// newFolder makes a folder that appears whole or not at all: fill writes into a hidden
// one beside it, which is flushed and takes the name at the end. A process that is
// killed leaves the hidden one.
func newFolder(dir string, fill func(tmp string) error) (err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w; choose another folder or remove it", dir, cmp.Or(err, fs.ErrExist))
	}
	parent, hidden := filepath.Dir(dir), "."+filepath.Base(dir)+hiddenMark
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, hidden)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	err = filepath.WalkDir(tmp, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = file.SyncDir(p)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return file.SyncDir(parent)
}

// place puts a file where it belongs and returns its size and sum. A link is a second
// name of the same file; where that cannot be, the file is copied.
func place(ctx context.Context, from, to string, link bool) (Part, error) {
	info, err := os.Lstat(from)
	if err != nil {
		return Part{}, err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return Part{}, err
	}
	if link && info.Mode().IsRegular() && os.Link(from, to) == nil {
		f, err := os.Open(to)
		if err != nil {
			return Part{}, err
		}
		defer f.Close()
		return pour(ctx, io.Discard, f)
	}
	in, err := os.Open(from)
	if err != nil {
		return Part{}, err
	}
	defer in.Close()
	if info, err = in.Stat(); err != nil {
		return Part{}, err
	}
	if !info.Mode().IsRegular() {
		return Part{}, fmt.Errorf("%s is not a plain file", from)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Part{}, err
	}
	part, err := pour(ctx, out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return Part{}, fmt.Errorf("copy %s: %w", from, err)
	}
	return part, nil
}

func pour(ctx context.Context, w io.Writer, r io.Reader) (Part, error) {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), stoppable{ctx, r})
	return Part{Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}
