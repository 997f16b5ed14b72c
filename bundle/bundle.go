// Package bundle keeps everything a service needs of one trained model in one folder
// that proves itself: runs, index, the checkpoint that answers, and the data they
// were made from, with the size and SHA-256 of each file in a manifest.
//
// Vocabulary. A part is a file of a bundle. The version is a short text that is equal
// only if all parts are. A role is a question the bundle can answer: generate, rank,
// embed. A shelf is a folder of versions of which one is current. The format is
// described in docs/format/bundle.md.
//
// Promises. A bundle appears whole or not at all. Open refuses a folder in which one
// byte, one file or one name differs from the manifest, so that what was tested is
// what answers. The recipe inside is byte for byte the run's own, since fingerprints
// rest on it: where the data is now is passed to fit.Open beside it (Bundle.Data).
//
// Failure. Errors wrap ErrCorrupt, ErrVersion or ErrSignature, those of package run
// for a run that cannot be packed, poi.ErrBadInput for options that make no sense,
// or the error of the file system, and name the part.
package bundle

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Sentinel errors, wrapped with the part and what to do.
var (
	// ErrCorrupt is returned for a folder that is not what its manifest says.
	ErrCorrupt = errors.New("corrupt bundle")
	// ErrVersion is returned for a bundle of a newer format.
	ErrVersion = errors.New("bundle of a newer format")
	// ErrSignature is returned for a bundle that no trusted key has signed.
	ErrSignature = errors.New("bundle without a trusted signature")
	// ErrCurrent is returned when the version in use would be removed.
	ErrCurrent = errors.New("version in use")
	// ErrLocked is returned when another process is changing a shelf.
	ErrLocked = errors.New("shelf is being changed")
)

// VerifyOptions say what a bundle must prove besides its sums.
type VerifyOptions struct {
	// Trusted are the keys of which one must have signed; none: no signature is asked for.
	Trusted []ed25519.PublicKey
}

// Bundle is an opened and verified bundle.
type Bundle struct {
	Manifest Manifest
	dir      string
	data     []string
}

// Dir returns the folder.
func (b *Bundle) Dir() string { return b.dir }

// Run returns the folder of the run that generates.
func (b *Bundle) Run() string { return filepath.Join(b.dir, runDir) }

// Embed returns the folder of the run that embeds, or "".
func (b *Bundle) Embed() string { return b.runDir(embedDir) }

// Rank returns the folder of the run that ranks, or "".
func (b *Bundle) Rank() string { return b.runDir(rankDir) }

func (b *Bundle) runDir(name string) string {
	if _, ok := b.Manifest.Runs[name]; !ok {
		return ""
	}
	return filepath.Join(b.dir, name)
}

// Data returns the paths of the data, for fit.OpenOptions.Data; nil for runs on the
// simulated city, which make their data anew.
func (b *Bundle) Data() []string {
	var out []string
	for _, p := range b.data {
		out = append(out, filepath.Join(b.dir, filepath.FromSlash(p)))
	}
	return out
}

// Open verifies a bundle: format, signature if keys are trusted, that the folder has
// every part and nothing else, sizes and sums.
func Open(ctx context.Context, dir string, o VerifyOptions) (*Bundle, error) {
	dir = filepath.Clean(dir)
	b, err := open(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open bundle %s: %w", dir, err)
	}
	return b, nil
}

func open(ctx context.Context, dir string, o VerifyOptions) (*Bundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	text, err := readSmall(root, ManifestFile, maxManifest)
	if err != nil {
		return nil, err
	}
	if len(o.Trusted) > 0 {
		if err := verify(root, text, o.Trusted); err != nil {
			return nil, err
		}
	}
	m, err := decode(text)
	if err != nil {
		return nil, err
	}
	data, err := dataPaths(m.Parts)
	if err != nil {
		return nil, err
	}
	if err := sameFiles(root, m.Parts); err != nil {
		return nil, err
	}
	if err := sameSums(ctx, root, m.Parts); err != nil {
		return nil, err
	}
	return &Bundle{Manifest: *m, dir: dir, data: data}, nil
}

// readSmall reads a regular file of bounded size.
func readSmall(root *os.Root, name string, most int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no %s; is this the folder of a bundle, copied whole? %w", ErrCorrupt, name, err)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%w: %s is not a file of at most %d bytes", ErrCorrupt, name, most)
	}
	return root.ReadFile(name)
}

// sameFiles compares the names below the folder with those of the manifest.
func sameFiles(root *os.Root, parts []Part) error {
	size := make(map[string]int64, len(parts))
	folders := map[string]bool{".": true}
	for _, p := range parts {
		size[p.Path] = p.Bytes
		for d := path.Dir(p.Path); d != "."; d = path.Dir(d) {
			folders[d] = true
		}
	}
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && folders[name], name == ManifestFile, name == SignatureFile && e.Type().IsRegular():
			return nil
		case e.IsDir():
			return fmt.Errorf("%w: folder %s is not in %s", ErrCorrupt, name, ManifestFile)
		case !e.Type().IsRegular():
			return fmt.Errorf("%w: %s is a link or a device; a bundle holds plain files only", ErrCorrupt, name)
		}
		want, listed := size[name]
		if !listed {
			return fmt.Errorf("%w: file %s is not in %s; remove it, or copy the bundle again", ErrCorrupt, name, ManifestFile)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() != want {
			return fmt.Errorf("%w: %s has %d bytes, %s says %d; copy the bundle again", ErrCorrupt, name, info.Size(), ManifestFile, want)
		}
		delete(size, name)
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, missing := size[p.Path]; missing {
			return fmt.Errorf("%w: %s is missing; copy the bundle again", ErrCorrupt, p.Path)
		}
	}
	return nil
}

// sameSums reads all parts, several at once.
func sameSums(ctx context.Context, root *os.Root, parts []Part) error {
	errs := make([]error, len(parts))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(parts), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(parts); i = next.Add(1) - 1 {
				errs[i] = sameSum(ctx, root, parts[i])
			}
		})
	}
	wg.Wait()
	if at := slices.IndexFunc(errs, func(err error) bool { return err != nil }); at >= 0 {
		return errs[at]
	}
	return nil
}

func sameSum(ctx context.Context, root *os.Root, p Part) error {
	f, err := root.Open(p.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, stoppable{ctx, f})
	if err != nil {
		return fmt.Errorf("read %s: %w", p.Path, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); n != p.Bytes || sum != p.SHA256 {
		return fmt.Errorf("%w: %s has %d bytes with SHA-256 %s, %s says %d with %s; copy the bundle again", ErrCorrupt, p.Path, n, sum, ManifestFile, p.Bytes, p.SHA256)
	}
	return nil
}

// stoppable ends reading when its context is done.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
