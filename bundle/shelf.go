package bundle

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
)

// Files of a shelf beside its versions.
const (
	currentFile  = "current"
	previousFile = "previous"
	lockFile     = "LOCK"
)

// lockEvery is how often a lock that another holds is tried again.
const lockEvery = 20 * time.Millisecond

// Shelf is a folder of bundles, each in a folder named by its version. The files
// current and previous name two of them. Any number of processes may read a shelf
// while one changes it: versions appear and go whole, names change at once.
type Shelf struct{ dir string }

// Entry is one version of a shelf.
type Entry struct {
	Manifest Manifest
	Current  bool
	Previous bool
}

// OpenShelf opens a shelf and makes its folder where there is none.
func OpenShelf(dir string) (*Shelf, error) {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open shelf: %w", err)
	}
	return &Shelf{dir: dir}, nil
}

// Dir returns the folder of the shelf.
func (s *Shelf) Dir() string { return s.dir }

// locked runs change while no other process changes the shelf. It waits until ctx is
// done; the lock goes with the process.
func (s *Shelf) locked(ctx context.Context, change func() error) (err error) {
	lock := flock.New(filepath.Join(s.dir, lockFile))
	got, err := lock.TryLockContext(ctx, lockEvery)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("lock shelf %s: %w", s.dir, err)
	}
	if !got {
		return fmt.Errorf("%s: %w: %w", s.dir, ErrLocked, ctx.Err())
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := s.sweep(); err != nil {
		return fmt.Errorf("sweep shelf %s: %w", s.dir, err)
	}
	return change()
}

// sweep removes what changes that were killed have left. Under the lock, no other
// change is under way.
func (s *Shelf) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, ".") && strings.Contains(name, hiddenMark) {
			if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Add verifies a bundle and puts it on the shelf; nothing becomes current by that. A
// version that is there already gives fs.ErrExist.
func (s *Shelf) Add(ctx context.Context, from string, o VerifyOptions) (Manifest, error) {
	b, err := Open(ctx, from, o)
	if err != nil {
		return Manifest{}, err
	}
	m := b.Manifest
	err = s.locked(ctx, func() error {
		return newFolder(s.path(m.Version), func(tmp string) error {
			for _, p := range m.Parts {
				got, err := place(ctx, filepath.Join(b.dir, filepath.FromSlash(p.Path)), filepath.Join(tmp, filepath.FromSlash(p.Path)), true)
				if err != nil {
					return err
				}
				if got.Bytes != p.Bytes || got.SHA256 != p.SHA256 {
					return fmt.Errorf("%w: %s changed while it was copied", ErrCorrupt, p.Path)
				}
			}
			for _, name := range []string{ManifestFile, SignatureFile} {
				_, err := place(ctx, filepath.Join(b.dir, name), filepath.Join(tmp, name), false)
				if err != nil && !(name == SignatureFile && errors.Is(err, fs.ErrNotExist)) {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return Manifest{}, fmt.Errorf("add bundle %s to shelf %s: %w", from, s.dir, err)
	}
	return m, nil
}

// List returns the versions, the newest first. It reads manifests and no parts.
func (s *Shelf) List() ([]Entry, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list shelf: %w", err)
	}
	current, previous, err := s.names()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, e := range entries {
		if !e.IsDir() || checkVersion(e.Name()) != nil {
			continue
		}
		m, err := s.manifest(e.Name())
		if errors.Is(err, fs.ErrNotExist) && !s.has(e.Name()) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Entry{Manifest: *m, Current: e.Name() == current, Previous: e.Name() == previous})
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(b.Manifest.Created.Compare(a.Manifest.Created), cmp.Compare(a.Manifest.Version, b.Manifest.Version))
	})
	return out, nil
}

// Open verifies a version of the shelf and opens it.
func (s *Shelf) Open(ctx context.Context, version string, o VerifyOptions) (*Bundle, error) {
	if err := s.check(version); err != nil {
		return nil, err
	}
	b, err := Open(ctx, s.path(version), o)
	if err != nil {
		return nil, err
	}
	if b.Manifest.Version != version {
		return nil, fmt.Errorf("open bundle %s: %w: it is version %s", b.dir, ErrCorrupt, b.Manifest.Version)
	}
	return b, nil
}

// Current returns the version in use, "" if none was activated yet.
func (s *Shelf) Current() (string, error) { return s.name(currentFile) }

// Activate makes a version current; the one before becomes previous. It does not
// verify: the caller has opened the version and seen it answer.
func (s *Shelf) Activate(ctx context.Context, version string) error {
	return s.locked(ctx, func() error {
		if err := s.check(version); err != nil {
			return err
		}
		current, _, err := s.names()
		if err != nil || current == version {
			return err
		}
		// In this order a crash between the two leaves the old version current.
		if current != "" {
			if err := s.setName(previousFile, current); err != nil {
				return err
			}
		}
		return s.setName(currentFile, version)
	})
}

// RollBack makes the previous version current again, and the current one previous. It
// returns the version that is current now.
func (s *Shelf) RollBack(ctx context.Context) (version string, err error) {
	err = s.locked(ctx, func() error {
		current, previous, err := s.names()
		if err != nil {
			return err
		}
		if previous == "" || previous == current {
			return fmt.Errorf("shelf %s has no previous version: %w; activate one by name", s.dir, fs.ErrNotExist)
		}
		if err := s.check(previous); err != nil {
			return err
		}
		version = previous
		if err := s.setName(currentFile, previous); err != nil {
			return err
		}
		return s.setName(previousFile, current)
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

// Remove takes a version off the shelf. The current one gives ErrCurrent.
func (s *Shelf) Remove(ctx context.Context, version string) error {
	return s.locked(ctx, func() error {
		if err := s.check(version); err != nil {
			return err
		}
		current, previous, err := s.names()
		if err != nil {
			return err
		}
		if version == current {
			return fmt.Errorf("remove %s from shelf %s: %w; activate another first", version, s.dir, ErrCurrent)
		}
		if version == previous {
			if err := os.Remove(filepath.Join(s.dir, previousFile)); err != nil {
				return err
			}
		}
		// Gone at once for readers. Cut short, the rest is swept up by the next change.
		gone, err := os.MkdirTemp(s.dir, "."+version+hiddenMark)
		if err != nil {
			return err
		}
		if err := os.Rename(s.path(version), filepath.Join(gone, version)); err != nil {
			return err
		}
		if err := file.SyncDir(s.dir); err != nil {
			return err
		}
		return os.RemoveAll(gone)
	})
}

func (s *Shelf) path(version string) string { return filepath.Join(s.dir, version) }

func (s *Shelf) has(version string) bool {
	info, err := os.Stat(s.path(version))
	return err == nil && info.IsDir()
}

// check refuses what is not a version of the shelf.
func (s *Shelf) check(version string) error {
	if err := checkVersion(version); err != nil {
		return err
	}
	if !s.has(version) {
		return fmt.Errorf("shelf %s has no version %s: %w", s.dir, version, fs.ErrNotExist)
	}
	return nil
}

func checkVersion(version string) error {
	if _, err := hex.DecodeString(version); err != nil || len(version) != versionDigits || strings.ToLower(version) != version {
		return fmt.Errorf("version %q: %w: want %d hex digits", version, poi.ErrBadInput, versionDigits)
	}
	return nil
}

func (s *Shelf) manifest(version string) (*Manifest, error) {
	root, err := os.OpenRoot(s.path(version))
	if err != nil {
		return nil, fmt.Errorf("version %s of shelf %s: %w", version, s.dir, err)
	}
	defer root.Close()
	text, err := readSmall(root, ManifestFile, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("version %s of shelf %s: %w", version, s.dir, err)
	}
	m, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("version %s of shelf %s: %w", version, s.dir, err)
	}
	return m, nil
}

func (s *Shelf) names() (current, previous string, err error) {
	if current, err = s.name(currentFile); err != nil {
		return "", "", err
	}
	previous, err = s.name(previousFile)
	return current, previous, err
}

// name reads which version a file names; "" if there is no such file.
func (s *Shelf) name(of string) (string, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return "", fmt.Errorf("read shelf: %w", err)
	}
	defer root.Close()
	text, err := readSmall(root, of, 64)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read shelf %s: %w", s.dir, err)
	}
	version := strings.TrimSpace(string(text))
	if err := checkVersion(version); err != nil {
		return "", fmt.Errorf("read shelf %s: %s: %w: %w", s.dir, of, ErrCorrupt, err)
	}
	return version, nil
}

func (s *Shelf) setName(of, version string) error {
	return file.Write(filepath.Join(s.dir, of), func(w io.Writer) error {
		_, err := io.WriteString(w, version+"\n")
		return err
	})
}
