package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whereto/whereto/run"
)

// ManifestFile describes the bundle it lies in.
const ManifestFile = "manifest.json"

const (
	formatName    = "whereto-bundle/"
	formatVersion = 1
	versionDigits = 12 // of the version id
)

// Limits of a manifest, far above any real one.
const (
	maxManifest = 16 << 20
	maxParts    = 10_000
	maxPath     = 512
)

// Folders of a bundle. The first three are run folders.
const (
	runDir   = "run"
	embedDir = "embed"
	rankDir  = "rank"
	dataDir  = "data"
)

// Roles of a bundle.
const (
	RoleGenerate = "generate" // which places
	RoleRank     = "rank"     // in what order
	RoleEmbed    = "embed"    // who is like whom
)

// runFiles are what package fit opens of a run folder, and nothing else.
var runFiles = []string{
	path.Join(run.CheckpointsDir, run.Best, run.DoneFile),
	path.Join(run.CheckpointsDir, run.Best, "model.safetensors"),
	path.Join(run.CheckpointsDir, run.Best, "state.json"),
	run.IndexFile, run.MetaFile, run.RecipeFile,
}

// Manifest is manifest.json.
type Manifest struct {
	Format  string    `json:"format"`
	Version string    `json:"version"` // first 12 hex digits of the SHA-256 over the parts
	Name    string    `json:"name"`    // of the run
	Created time.Time `json:"created"`
	Roles   []string  `json:"roles"`
	// Runs says what each run folder was made from, by folder: run, embed, rank.
	Runs  map[string]Origin `json:"runs"`
	Parts []Part            `json:"parts"` // by path
}

// Origin is what a run's meta.json says of its making.
type Origin struct {
	Name             string    `json:"name"`
	CreatedAt        time.Time `json:"created_at"`
	Seed             int64     `json:"seed"`
	RecipeHash       string    `json:"recipe_hash"`
	DataFingerprint  string    `json:"data_fingerprint"`
	IndexFingerprint string    `json:"index_fingerprint"`
	WheretoVersion   string    `json:"whereto_version"`
}

// Part is one file of a bundle.
type Part struct {
	Path   string `json:"path"` // below the bundle, with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hex
}

// versionOf is the version id of parts, which are in order: the beginning of the
// SHA-256 of one line "sha256  bytes  path" a part.
func versionOf(parts []Part) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%s  %d  %s\n", p.SHA256, p.Bytes, p.Path) // a hash takes every write
	}
	return hex.EncodeToString(h.Sum(nil))[:versionDigits]
}

// encode writes a manifest.
func (m *Manifest) encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	return append(text, '\n'), err
}

// decode reads and checks a manifest. Errors wrap ErrVersion for a newer format and
// ErrCorrupt for all else.
func decode(text []byte) (*Manifest, error) {
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%s: %w: %v", ManifestFile, ErrCorrupt, err)
	}
	number, ours := strings.CutPrefix(head.Format, formatName)
	switch n, err := strconv.Atoi(number); {
	case !ours || err != nil || n < 1:
		return nil, fmt.Errorf("%s: %w: format %q, want %s%d", ManifestFile, ErrCorrupt, head.Format, formatName, formatVersion)
	case n > formatVersion:
		return nil, fmt.Errorf("%s: %w: format %q, this version reads %s%d; use the version of whereto that packed it, or a newer one", ManifestFile, ErrVersion, head.Format, formatName, formatVersion)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	m := &Manifest{}
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("%s: %w: %v", ManifestFile, ErrCorrupt, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: something follows the object", ManifestFile, ErrCorrupt)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", ManifestFile, ErrCorrupt, err)
	}
	return m, nil
}

// check reports the first thing in which a manifest contradicts its format or itself.
func (m *Manifest) check() error {
	if len(m.Parts) > maxParts {
		return fmt.Errorf("%d parts, at most %d", len(m.Parts), maxParts)
	}
	sums := make(map[string]string, len(m.Parts))
	for i, p := range m.Parts {
		if err := checkPath(p.Path); err != nil {
			return fmt.Errorf("parts[%d]: path %q: %w", i, p.Path, err)
		}
		if i > 0 && p.Path <= m.Parts[i-1].Path {
			return fmt.Errorf("parts[%d]: path %q is not after %q", i, p.Path, m.Parts[i-1].Path)
		}
		if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != sha256.Size || strings.ToLower(p.SHA256) != p.SHA256 || p.Bytes < 0 {
			return fmt.Errorf("parts[%d] (%s): %d bytes with SHA-256 %q", i, p.Path, p.Bytes, p.SHA256)
		}
		sums[p.Path] = p.SHA256
	}
	if want := versionOf(m.Parts); m.Version != want {
		return fmt.Errorf("version %q, the parts give %s", m.Version, want)
	}
	if _, err := dataPaths(m.Parts); err != nil {
		return err
	}
	if err := m.checkRuns(sums); err != nil {
		return err
	}
	if want := rolesOf(m.Runs); !slices.Equal(m.Roles, want) {
		return fmt.Errorf("roles %q, the runs have %q", m.Roles, want)
	}
	return nil
}

// checkRuns compares the run folders among the parts with those described.
func (m *Manifest) checkRuns(sums map[string]string) error {
	if _, ok := m.Runs[runDir]; !ok {
		return fmt.Errorf("no %s among runs", runDir)
	}
	files := 0
	for dir, origin := range m.Runs {
		if dir != runDir && dir != embedDir && dir != rankDir {
			return fmt.Errorf("runs has %q, which is no folder of a bundle", dir)
		}
		for _, name := range runFiles {
			if sums[path.Join(dir, name)] == "" {
				return fmt.Errorf("no part %s/%s", dir, name)
			}
			files++
		}
		if sum := sums[path.Join(dir, run.RecipeFile)]; sum != origin.RecipeHash {
			return fmt.Errorf("%s/%s has SHA-256 %s, its run was made from recipe %s", dir, run.RecipeFile, sum, origin.RecipeHash)
		}
		if all := m.Runs[runDir]; origin.DataFingerprint != all.DataFingerprint || origin.IndexFingerprint != all.IndexFingerprint {
			return fmt.Errorf("%s was made from other data or another index than %s", dir, runDir)
		}
	}
	for _, p := range m.Parts {
		if !strings.HasPrefix(p.Path, dataDir+"/") {
			files--
		}
	}
	if files != 0 {
		return fmt.Errorf("%d parts belong to no run and not to the data", -files)
	}
	return nil
}

// rolesOf lists what a bundle of these runs can answer.
func rolesOf(runs map[string]Origin) []string {
	roles := []string{RoleGenerate}
	for _, r := range [...]struct{ dir, role string }{{rankDir, RoleRank}, {embedDir, RoleEmbed}} {
		if _, ok := runs[r.dir]; ok {
			roles = append(roles, r.role)
		}
	}
	return roles
}

// checkPath refuses what is not a plain path below the bundle on every system.
func checkPath(p string) error {
	if len(p) > maxPath || !fs.ValidPath(p) || p == "." {
		return fmt.Errorf("not a plain path below the bundle of at most %d bytes", maxPath)
	}
	for name := range strings.SplitSeq(p, "/") {
		if plainName(name) != name {
			return fmt.Errorf("the name %q has characters that not every system allows", name)
		}
	}
	return nil
}

// plainName returns a name that every system allows and that is not hidden.
func plainName(name string) string {
	name = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\uFFFD' || strings.ContainsRune(`\/:*?"<>|`, c) {
			return '-'
		}
		return c
	}, name)
	name = strings.TrimRight(strings.TrimLeft(name, "."), ". ")
	return cmp.Or(name, dataDir)
}

// dataPaths returns the paths that stand for those of the recipe, in their order:
// data/N/NAME, a log file or a folder of files.
func dataPaths(parts []Part) ([]string, error) {
	byNumber := map[int]string{}
	for _, p := range parts {
		if !strings.HasPrefix(p.Path, dataDir+"/") {
			continue
		}
		steps := strings.Split(p.Path, "/")
		if len(steps) < 3 || len(steps) > 4 {
			return nil, fmt.Errorf("part %s is not of the form %s/NUMBER/NAME or %s/NUMBER/FOLDER/NAME", p.Path, dataDir, dataDir)
		}
		n, err := strconv.Atoi(steps[1])
		if err != nil || strconv.Itoa(n) != steps[1] || n < 0 {
			return nil, fmt.Errorf("part %s: %q is not a number", p.Path, steps[1])
		}
		at := path.Join(steps[:3]...)
		if other, ok := byNumber[n]; ok && other != at {
			return nil, fmt.Errorf("parts %s and %s are both number %d of the data", other, at, n)
		}
		byNumber[n] = at
	}
	out := make([]string, len(byNumber))
	for n, at := range byNumber {
		if n >= len(out) {
			return nil, fmt.Errorf("part %s: there are only %d paths of data, counted from 0", at, len(out))
		}
		out[n] = at
	}
	return out, nil
}
