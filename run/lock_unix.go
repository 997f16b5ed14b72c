//go:build unix

package run

import (
	"os"
	"syscall"
)

// flock takes an exclusive lock that dies with the process, without waiting.
func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
