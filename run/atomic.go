package run

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFileAtomic writes what write makes to path, in a run folder or elsewhere:
// a temporary file in the same folder is synced and takes the name at the end.
// On any error, one of write included, the old file stays and nothing is left
// beside it. The file is readable by all (0644).
func WriteFileAtomic(path string, write func(io.Writer) error) error {
	return writeStream(path, nil, write)
}

// writeFile writes data to path through a temporary file, fsync and rename.
func writeFile(path string, data []byte, wrap func(io.Writer) io.Writer) error {
	return writeStream(path, wrap, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// writeStream is WriteFileAtomic through wrap, unless that is nil.
func writeStream(path string, wrap func(io.Writer) io.Writer, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), ignoreClosed(f.Close()), os.Remove(f.Name()))
		}
	}()
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	var w io.Writer = f
	if wrap != nil {
		w = wrap(w)
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	if err = write(buf); err != nil {
		return err
	}
	if err = buf.Flush(); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// syncDir makes a rename inside dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be opened for fsync there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
