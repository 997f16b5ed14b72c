package vector

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
)

// Endings of the two formats.
const (
	ExtParquet     = ".parquet"
	ExtSafetensors = ".safetensors"
)

// Save writes the set in the format that the path's ending names, whole or not at
// all. The folder must exist.
func (s *Set) Save(path string) error {
	write, err := s.writerOf(path)
	if err != nil {
		return fmt.Errorf("saving vectors to %s: %w", path, err)
	}
	if err := s.Validate(); err != nil {
		return fmt.Errorf("saving vectors to %s: %w", path, err)
	}
	if err := file.Write(path, write); err != nil {
		return fmt.Errorf("saving vectors to %s: %w; the old file, if any, is as it was", path, err)
	}
	return nil
}

func (s *Set) writerOf(path string) (func(io.Writer) error, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ExtParquet:
		return s.WriteParquet, nil
	case ExtSafetensors:
		return s.WriteSafetensors, nil
	default:
		return nil, fmt.Errorf("%w: ending %q, want %s or %s", poi.ErrBadInput, ext, ExtParquet, ExtSafetensors)
	}
}

// Load reads what Save wrote, and Parquet of other programs with the same columns.
// Errors wrap poi.ErrBadInput (a damaged or foreign file), poi.ErrEmpty (no rows)
// or os.ErrNotExist.
func Load(path string) (*Set, error) {
	read := ReadParquet
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ExtParquet:
	case ExtSafetensors:
		read = func(r io.ReaderAt, size int64) (*Set, error) {
			return ReadSafetensors(io.NewSectionReader(r, 0, size), size)
		}
	default:
		return nil, fmt.Errorf("loading vectors %s: %w: ending %q, want %s or %s", path, poi.ErrBadInput, ext, ExtParquet, ExtSafetensors)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("loading vectors: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("loading vectors %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("loading vectors %s: %w: not a regular file", path, poi.ErrBadInput)
	}
	s, err := read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("loading vectors %s: %w", path, err)
	}
	return s, nil
}
