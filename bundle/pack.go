package bundle

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
)

// dataFiles are the files of a data folder that package pipeline reads again; the
// first must be there, the last is read by runs of post-training only.
var dataFiles = []string{"actions.parquet", "profiles.parquet", "places.parquet", "impressions.parquet"}

// PackOptions say what goes into a bundle.
type PackOptions struct {
	Run   string // folder of the run that generates
	Embed string // folder of a run of the embed stage on it; "": none
	Rank  string // folder of a run of the rank stage on it; "": none
	// Data is where the data of the runs is now; nil: where their recipe says. A run on
	// the simulated city needs none.
	Data []string
	Out  string             // folder to make; must not exist
	Sign ed25519.PrivateKey // nil: no signature
}

// Pack makes a bundle. Its folder appears whole or not at all. The files of runs are
// linked rather than copied where the file system can, because they are only ever
// replaced, never changed; data is copied, since logs may grow. That the data is
// that of the runs shows when fit.Open opens the bundle.
func Pack(ctx context.Context, o PackOptions) (Manifest, error) {
	m, err := pack(ctx, o)
	if err != nil {
		return Manifest{}, fmt.Errorf("pack %s: %w", o.Out, err)
	}
	return *m, nil
}

func pack(ctx context.Context, o PackOptions) (m *Manifest, err error) {
	if o.Out == "" || o.Run == "" {
		return nil, fmt.Errorf("%w: a bundle needs the folder of a run and a folder to make", poi.ErrBadInput)
	}
	err = newFolder(filepath.Clean(o.Out), func(tmp string) error {
		p := &packer{ctx: ctx, to: tmp, m: &Manifest{Format: formatName + strconv.Itoa(formatVersion), Created: time.Now().UTC().Truncate(time.Second), Runs: map[string]Origin{}}}
		if err := p.runs(o); err != nil {
			return err
		}
		m = p.m
		m.Name, m.Roles = m.Runs[runDir].Name, rolesOf(m.Runs)
		slices.SortFunc(m.Parts, func(a, b Part) int { return cmp.Compare(a.Path, b.Path) })
		m.Version = versionOf(m.Parts)
		text, err := m.encode()
		if err != nil {
			return err
		}
		if _, err := decode(text); err != nil {
			return err
		}
		if err := file.Write(filepath.Join(tmp, ManifestFile), func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		}); err != nil {
			return err
		}
		if o.Sign != nil {
			return sign(tmp, o.Sign)
		}
		return nil
	})
	return m, err
}

// packer fills the folder of a bundle.
type packer struct {
	ctx context.Context
	to  string
	m   *Manifest
}

// settings is the little of a recipe that packing needs.
type settings struct {
	Data struct {
		Paths       []string `yaml:"paths"`
		Impressions []string `yaml:"impressions"`
	} `yaml:"data"`
	Tune struct {
		Stage string `yaml:"stage"`
	} `yaml:"tune"`
}

// runs packs the runs, then the data they share.
func (p *packer) runs(o PackOptions) error {
	data := o.Data
	for _, r := range []struct{ dir, from string }{{runDir, o.Run}, {embedDir, o.Embed}, {rankDir, o.Rank}} {
		if r.from == "" {
			continue
		}
		s, err := p.run(r.dir, r.from)
		if err != nil {
			return err
		}
		if r.dir == runDir {
			if data == nil {
				data = s.Data.Paths
			}
			continue
		}
		if len(data) > 0 && len(s.Data.Impressions) > 0 {
			return fmt.Errorf("%s: %w: its recipe names data.impressions apart from the data, which cannot be told where they went; put them as %s into a data folder and train with that", r.from, poi.ErrBadInput, dataFiles[3])
		}
	}
	return p.data(data, o.Embed != "" || o.Rank != "")
}

// run packs one run folder and checks the copy as fit.Open will.
func (p *packer) run(dir, from string) (*settings, error) {
	source, err := run.Open(from)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	if !source.HasCheckpoint(run.Best) {
		return nil, fmt.Errorf("%s has no checkpoint %q: %w; train it until an epoch is validated", from, run.Best, run.ErrIncomplete)
	}
	for _, name := range runFiles {
		if err := p.add(source.Path(filepath.FromSlash(name)), path.Join(dir, name), true); err != nil {
			return nil, err
		}
	}
	// The copy is checked, not the source, which may be training on.
	packed, err := run.Open(filepath.Join(p.to, dir))
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	ck, err := packed.OpenCheckpoint(run.Best)
	if err != nil {
		return nil, err
	}
	if err := ck.Close(); err != nil {
		return nil, err
	}
	meta := packed.Meta()
	if all, ok := p.m.Runs[runDir]; ok && (meta.DataFingerprint != all.DataFingerprint || meta.IndexFingerprint != all.IndexFingerprint) {
		return nil, fmt.Errorf("%s was made from data %s and index %s, the run that generates from data %s and index %s: %w; pack runs of one base",
			from, meta.DataFingerprint, meta.IndexFingerprint, all.DataFingerprint, all.IndexFingerprint, run.ErrMismatch)
	}
	p.m.Runs[dir] = Origin{Name: meta.Name, CreatedAt: meta.CreatedAt, Seed: meta.Seed, RecipeHash: meta.RecipeHash,
		DataFingerprint: meta.DataFingerprint, IndexFingerprint: meta.IndexFingerprint, WheretoVersion: meta.WheretoVersion}
	return recipeOf(packed, dir, from)
}

// recipeOf reads what packing needs of a recipe and checks that the run's stage is
// what the folder stands for.
func recipeOf(r *run.Run, dir, from string) (*settings, error) {
	text, err := r.ReadFile(run.RecipeFile)
	if err != nil {
		return nil, err
	}
	s := &settings{}
	if err := yaml.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: %s: %w: %v", from, run.RecipeFile, run.ErrCorrupt, err)
	}
	stages := map[string][]string{runDir: {"", "align"}, embedDir: {"embed"}, rankDir: {"rank"}}[dir]
	if !slices.Contains(stages, s.Tune.Stage) {
		return nil, fmt.Errorf("%s is a run of the stage %q: %w; the role of %s takes %q", from, s.Tune.Stage, poi.ErrBadInput, dir, stages)
	}
	return s, nil
}

// data packs logs and data folders under their number.
func (p *packer) data(paths []string, impressions bool) error {
	for i, from := range paths {
		info, err := os.Stat(from)
		if err != nil {
			return fmt.Errorf("data of the run: %w; if it has moved, say where", err)
		}
		abs, err := filepath.Abs(from)
		if err != nil {
			return err
		}
		at := path.Join(dataDir, strconv.Itoa(i), plainName(filepath.Base(abs)))
		if !info.IsDir() {
			if err := p.add(from, at, false); err != nil {
				return err
			}
			continue
		}
		for k, name := range dataFiles {
			if k == len(dataFiles)-1 && !impressions {
				break
			}
			err := p.add(filepath.Join(from, name), path.Join(at, name), false)
			if errors.Is(err, fs.ErrNotExist) && k > 0 {
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// add takes one file into the bundle.
func (p *packer) add(from, at string, link bool) error {
	part, err := place(p.ctx, from, filepath.Join(p.to, filepath.FromSlash(at)), link)
	if err != nil {
		return err
	}
	part.Path = at
	p.m.Parts = append(p.m.Parts, part)
	return nil
}
