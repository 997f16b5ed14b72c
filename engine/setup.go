package engine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Limits of Setup.
const (
	maxLibrary  = 256 << 20        // bytes of the library; the pinned ones are under 50 MB
	maxArchive  = 1 << 30          // bytes read from the archive, unpacked
	npmDeadline = 10 * time.Minute // for the download
)

// ErrNoSource is wrapped by Setup when the library cannot be had here: no npm,
// no network, no library for this platform. Everything still works on the pure
// Go engine, so a caller may treat it as a remark rather than a failure.
var ErrNoSource = errors.New("ONNX Runtime cannot be fetched")

// SetupResult says what Setup did.
type SetupResult struct {
	Path    string `json:"path"`
	Fetched bool   `json:"fetched"` // false: it was there already
}

// Setup makes sure that the pinned ONNX Runtime library is in the cache folder.
// It fetches the npm package with `npm pack`, takes the one member for this
// platform, compares its SHA-256 with the pinned sum and renames it into place;
// on any failure nothing is left behind. A file already there with the right sum
// is kept, one with a wrong sum is replaced.
//
// Errors: ErrNoSource (see there); a wrong sum or an archive without the member
// is a plain error and must stop the caller.
func Setup(ctx context.Context) (SetupResult, error) {
	rel, ok := releases[platform()]
	if !ok {
		return SetupResult{}, fmt.Errorf("%w: no library is pinned for %s; set %s to one", ErrNoSource, platform(), libraryEnv)
	}
	return setup(ctx, rel)
}

func setup(ctx context.Context, rel release) (SetupResult, error) {
	path, err := CachedLibrary()
	if err != nil {
		return SetupResult{}, err
	}
	if sum, err := sumFile(path); err == nil && sum == rel.sha256 {
		return SetupResult{Path: path}, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return SetupResult{}, fmt.Errorf("%w: npm is not on PATH; install Node.js, or set %s to the library's file", ErrNoSource, libraryEnv)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return SetupResult{}, fmt.Errorf("make cache folder: %w", err)
	}
	// In the same folder, so that the final rename stays on one file system.
	tmp, err := os.MkdirTemp(dir, ".setup-")
	if err != nil {
		return SetupResult{}, fmt.Errorf("make temporary folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	archive, err := npmPack(ctx, npm, tmp)
	if err != nil {
		return SetupResult{}, err
	}
	lib := filepath.Join(tmp, libraryFile)
	if err := extract(archive, rel, lib); err != nil {
		return SetupResult{}, err
	}
	if err := os.Rename(lib, path); err != nil {
		return SetupResult{}, fmt.Errorf("install ONNX Runtime: %w", err)
	}
	return SetupResult{Path: path, Fetched: true}, nil
}

// npmPack downloads the package into dir and returns the archive's path.
func npmPack(ctx context.Context, npm, dir string) (string, error) {
	limited, cancel := context.WithTimeout(ctx, npmDeadline)
	defer cancel()
	cmd := exec.CommandContext(limited, npm, "pack", npmPackage, "--silent", "--pack-destination", dir)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("npm pack %s: %w", npmPackage, context.Cause(ctx))
		}
		if limited.Err() != nil {
			err = fmt.Errorf("no answer within %v", npmDeadline)
		}
		if line := firstLine(stderr.String()); line != "" {
			err = fmt.Errorf("%w: %s", err, line)
		}
		return "", fmt.Errorf("%w: npm pack %s: %w", ErrNoSource, npmPackage, err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%w: npm pack %s left %d archives where one was expected", ErrNoSource, npmPackage, len(found))
	}
	return found[0], nil
}

// extract writes the wanted member of a gzipped tar archive to dst, durably,
// after its sum was found right.
func extract(archive string, rel release, dst string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open npm archive: %w", err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("npm archive of %s: %w", npmPackage, err)
	}
	tr := tar.NewReader(io.LimitReader(gz, maxArchive))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("npm archive of %s has no file %s", npmPackage, rel.member)
		}
		if err != nil {
			return fmt.Errorf("npm archive of %s: %w", npmPackage, err)
		}
		if h.Name != rel.member || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxLibrary {
			return fmt.Errorf("%s in %s is %d bytes, more than %d", rel.member, npmPackage, h.Size, maxLibrary)
		}
		return writeChecked(dst, tr, rel)
	}
}

// writeChecked copies r to dst and removes it again if the sum is wrong.
func writeChecked(dst string, r io.Reader, rel release) (err error) {
	f, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write ONNX Runtime: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			os.Remove(dst)
		}
	}()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return fmt.Errorf("write ONNX Runtime to %s: %w", dst, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != rel.sha256 {
		return fmt.Errorf("checksum of %s in %s is %s, expected %s: the download is damaged or was changed, nothing was installed",
			rel.member, npmPackage, got, rel.sha256)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write ONNX Runtime to %s: %w", dst, err)
	}
	return nil
}

// sumFile is the hex SHA-256 of a file.
func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// firstLine is the first non-blank line of s, at most 200 bytes.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return line[:min(len(line), 200)]
		}
	}
	return ""
}
