package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/bundle"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/engine"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/tune"
)

// library is where a service finds the versions of its model: folders named on the
// command line, and a shelf.
type library struct {
	backend compute.Backend
	folders map[string]string // by version
	order   []string          // versions of folders as they were given
	data    []string          // of runs among the folders
	stages  [2]string         // runs of rank and of embed that go with runs among the folders; "" for none
	tune    tune.Options      // to open them
	shelf   *bundle.Shelf     // nil: none
	verify  bundle.VerifyOptions
	live    recommend.LiveConfig
	threads int    // of a graph; 0: by size
	vectors keeper // nil: in this process
	// opened is told of every data set that was read, for the first import.
	opened func(version string, d *poi.Dataset)
}

// manyWeights is from where on the operations of a decoder are worth sharing.
const manyWeights = 4 << 20

// threadsOf is how many threads the graphs of a network get if so many are wished for, 0:
// whatever suits its size. See engine.Threads.
func threadsOf(wish int, c decoder.Config) int {
	if wish == 0 && c.Params() < manyWeights {
		return 1
	}
	return wish
}

// add names a folder of the command line: a run or a bundle.
func (l *library) add(ctx context.Context, dir string) error {
	version, err := l.versionOf(ctx, dir)
	if err != nil {
		return err
	}
	if other, twice := l.folders[version]; twice {
		return fmt.Errorf("%s and %s are the same version %s: %w; name one of them", other, dir, version, poi.ErrBadInput)
	}
	l.folders[version] = dir
	l.order = append(l.order, version)
	return nil
}

// versionOf is the version of a folder: a bundle's own, or of a run its name and the
// beginning of its recipe's fingerprint.
func (l *library) versionOf(ctx context.Context, dir string) (string, error) {
	if isBundle(dir) {
		b, err := bundle.Open(ctx, dir, l.verify)
		if err != nil {
			return "", err
		}
		return b.Manifest.Version, nil
	}
	if len(l.verify.Trusted) > 0 {
		return "", fmt.Errorf("%s is a run, and only signed bundles are trusted: %w; pack and sign it with `whereto models pack`", dir, poi.ErrBadInput)
	}
	r, err := run.Open(dir)
	if err != nil {
		return "", err
	}
	meta := r.Meta()
	return fmt.Sprintf("%s-%.8s", meta.Name, meta.RecipeHash), r.Close()
}

func isBundle(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, bundle.ManifestFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// versions lists what could be loaded.
func (l *library) versions() ([]string, error) {
	out := slices.Clone(l.order)
	if l.shelf == nil {
		return out, nil
	}
	entries, err := l.shelf.List()
	for _, e := range entries {
		out = append(out, e.Manifest.Version)
	}
	return out, err
}

// first is the version to begin with: the shelf's current one, else the first folder.
func (l *library) first() (string, error) {
	if l.shelf != nil {
		version, err := l.shelf.Current()
		if err == nil && version != "" || len(l.order) == 0 {
			return version, err
		}
	}
	return l.order[0], nil
}

// chosen writes down which version of the shelf is current.
func (l *library) chosen(ctx context.Context, version string) error {
	if _, ours := l.folders[version]; ours || l.shelf == nil {
		return nil
	}
	return l.shelf.Activate(ctx, version)
}

// load opens a version and makes it ready to answer.
func (l *library) load(ctx context.Context, version string) (*desk.Model, error) {
	dir, ours := l.folders[version]
	o := fit.OpenOptions{Backend: l.backend, Data: l.data}
	stages := l.stages
	var files []api.Part
	switch {
	case !ours && l.shelf == nil:
		return nil, fmt.Errorf("version %s: %w: it was not given when the service started, and there is no shelf (--models)", version, poi.ErrBadInput)
	case !ours || isBundle(dir):
		b, err := l.open(ctx, dir, version, ours)
		if err != nil {
			return nil, err
		}
		dir, o.Data, stages = b.Run(), b.Data(), [2]string{b.Rank(), b.Embed()}
		for _, p := range b.Manifest.Parts {
			files = append(files, api.Part{Path: p.Path, Bytes: p.Bytes, SHA256: p.SHA256})
		}
	}
	t, err := fit.Open(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	if l.opened != nil {
		l.opened(version, t.Dataset)
	}
	p := desk.Parts{Version: version, Name: t.Recipe.Name, Index: t.Index.Fingerprint(), Dataset: t.Dataset,
		Lookup: t.Index.Lookup, Predictor: t.Predictor, Live: l.live, Files: files, Vectors: l.vectors,
		Close: func() error { defer engine.Trim(); return t.Close() }}
	if err := l.addStages(ctx, &p, stages, o); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	engine.Threads(threadsOf(l.threads, t.Model.Config.Decoder))
	m, err := desk.NewModel(ctx, p)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return m, nil
}

// addStages opens runs of the rank and embed stages, each "" for none, and warms them up.
func (l *library) addStages(ctx context.Context, p *desk.Parts, dirs [2]string, o fit.OpenOptions) error {
	for i, dir := range dirs {
		if dir == "" {
			continue
		}
		t, err := tune.Open(ctx, dir, o, l.tune)
		if err != nil {
			return err
		}
		closeWith(p, t.Close)
		if err := fits(p, i, dir, t); err != nil {
			return err
		}
		one, err := t.One(dir, l.backend, t.Store)
		if err != nil {
			return err
		}
		closeWith(p, one.Close)
		if err := one.Warm(ctx, api.MaxCandidates); err != nil {
			return fmt.Errorf("warm %s up: %w", dir, err)
		}
		if i == 0 {
			p.Rank = one
		} else {
			p.Embed = one
		}
	}
	return nil
}

// closeWith adds something to close before the rest of a model.
func closeWith(p *desk.Parts, first func() error) {
	rest := p.Close
	p.Close = func() error { return errors.Join(first(), rest()) }
}

// fits reports why a run cannot be stage i of a model. Numbers of people and places must
// mean the same to both, so they must come from the same data and index.
func fits(p *desk.Parts, i int, dir string, t *tune.Trained) error {
	if stage := t.Base.Recipe.Tune.Stage; stage != [2]string{spacetime.StageRank, spacetime.StageEmbed}[i] {
		made := "pretrain"
		if stage != "" {
			made = "finetune " + stage
		}
		return fmt.Errorf("%s is a run of `%s`: %w; --rank-run takes one of `finetune rank`, --embed-run one of `finetune embed`", dir, made, poi.ErrBadInput)
	}
	if other := t.Index.Fingerprint(); other != p.Index {
		return fmt.Errorf("%s has index %s, the run that generates %s: %w; post-train from that run", dir, other, p.Index, run.ErrMismatch)
	}
	if other := t.Dataset.Fingerprint; other != p.Dataset.Fingerprint {
		return fmt.Errorf("%s was made from data %s, the run that generates from %s: %w; post-train from that run", dir, other, p.Dataset.Fingerprint, run.ErrMismatch)
	}
	return nil
}

func (l *library) open(ctx context.Context, dir, version string, ours bool) (*bundle.Bundle, error) {
	if ours {
		return bundle.Open(ctx, dir, l.verify)
	}
	return l.shelf.Open(ctx, version, l.verify)
}

// trusted reads the public keys of which one must have signed a bundle.
func trusted(paths []string) (keys []ed25519.PublicKey, err error) {
	for _, path := range paths {
		key, err := bundle.ReadPublicKey(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
