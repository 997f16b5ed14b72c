package run

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Lock takes the run for this process, or fails with ErrLocked naming the
// process that has it. The operating system frees the lock if the process dies.
func (r *Run) Lock() error {
	if r.lock != nil {
		return nil
	}
	path := r.Path(LockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("lock run %s: %w", r.dir, err)
	}
	if err := flock(f); err != nil {
		holder := readHolder(f)
		f.Close()
		return fmt.Errorf("lock run %s: %w by process %s; wait for it, stop it, or choose another --out (%v)", r.dir, ErrLocked, holder, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err == nil {
			r.lock = f
			return nil
		}
	}
	f.Close()
	return fmt.Errorf("lock run %s: cannot write %s; is the disk full?", r.dir, path)
}

// readHolder returns the pid text of a lock file.
func readHolder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil || len(strings.TrimSpace(string(text))) == 0 {
		return "(unknown)"
	}
	return strings.TrimSpace(string(text))
}

// Unlock gives the run free; without a lock it does nothing. The file stays: to
// remove it could take away the lock of a process that opened it meanwhile.
func (r *Run) Unlock() error {
	if r.lock == nil {
		return nil
	}
	f := r.lock
	r.lock = nil
	if err := f.Truncate(0); err != nil {
		f.Close()
		return fmt.Errorf("unlock run %s: %w", r.dir, err)
	}
	return f.Close()
}
