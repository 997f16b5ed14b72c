//go:build !unix

package run

import (
	"fmt"
	"os"
)

// flock takes the lock if no pid is written in the file. Without advisory locks
// a process that died leaves its pid: the message says so.
func flock(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > 0 {
		return fmt.Errorf("remove %s if that process is gone", f.Name())
	}
	return nil
}
