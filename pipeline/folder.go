package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

// Files of a data folder beside ActionsFile.
const (
	CardFile    = "card.json"     // split.Card of the settings at import
	RejectsFile = "rejects.jsonl" // one source.Reject a line, empty if there were none
	PlacesFile  = "places.geojson"
)

// Import reads the logs of cfg and writes the data folder dir: the actions as
// Parquet, all of them and in order, the data card of cfg's protocol and the
// rejected rows. Reading the folder gives the same data set. The folder appears
// whole or not at all; one that exists is never touched.
func Import(ctx context.Context, cfg Config, dir string, progress Progress) (*Report, error) {
	if len(cfg.Paths) == 0 {
		return nil, fmt.Errorf("pipeline: nothing to import; give the paths of logs: %w", poi.ErrBadInput)
	}
	var report *Report
	err := writeFolder(dir, func(tmp string) error {
		rejects, err := os.OpenFile(filepath.Join(tmp, RejectsFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		log, err := Read(ctx, cfg, rejects, progress)
		if err := errors.Join(err, rejects.Sync(), rejects.Close()); err != nil {
			return err
		}
		if _, report, err = Describe(ctx, cfg, log, progress); err != nil {
			return err
		}
		progress.say("writing %s", filepath.Join(dir, ActionsFile))
		if _, err := source.WriteActions(filepath.Join(tmp, ActionsFile), stoppable(ctx, log.Actions)); err != nil {
			return err
		}
		return writeJSON(filepath.Join(tmp, CardFile), report.Card)
	})
	return report, err
}

// Synth writes the simulated city as a data folder: its actions as Parquet and
// its places as GeoJSON. It returns the numbers of actions and places.
func Synth(ctx context.Context, cfg city.Config, dir string, progress Progress) (actions, places int, err error) {
	progress.say("simulating a city of %d people", cfg.Users)
	c, err := city.New(cfg)
	if err != nil {
		return 0, 0, err
	}
	err = writeFolder(dir, func(tmp string) error {
		n, err := source.WriteActions(filepath.Join(tmp, ActionsFile), func(yield func(*poi.Action, error) bool) {
			err := c.Each(ctx, func(a *poi.Action) error {
				if !yield(a, nil) {
					return errStopped
				}
				return nil
			})
			if err != nil && !errors.Is(err, errStopped) {
				yield(nil, err)
			}
		})
		actions = n
		if err != nil {
			return err
		}
		return writeJSON(filepath.Join(tmp, PlacesFile), features(c.Places))
	})
	return actions, len(c.Places), err
}

var errStopped = errors.New("the writer stopped")

// stoppable iterates over actions until ctx is done.
func stoppable(ctx context.Context, actions []poi.Action) iter.Seq2[*poi.Action, error] {
	return func(yield func(*poi.Action, error) bool) {
		for i := range actions {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(&actions[i], nil) {
				return
			}
		}
	}
}

func features(places []poi.Place) *geojson.FeatureCollection {
	fc := geojson.NewFeatureCollection()
	for _, p := range places {
		f := geojson.NewFeature(orb.Point{p.Lng, p.Lat})
		f.ID = p.ID
		f.Properties = geojson.Properties{"poi": p.ID, "name": p.Name, "category": p.Category}
		fc.Append(f)
	}
	return fc
}

// writeFolder fills a temporary folder beside dir and renames it to dir.
func writeFolder(dir string, fill func(tmp string) error) (err error) {
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("pipeline: %s exists already; remove it or choose another folder: %w", dir, fs.ErrExist)
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("pipeline: make the folder for %s: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".*.tmp")
	if err != nil {
		return fmt.Errorf("pipeline: make a folder beside %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := fill(tmp); err != nil {
		return fmt.Errorf("pipeline: write the folder %s: %w", dir, err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil { // MkdirTemp gives 0700
		return fmt.Errorf("pipeline: write the folder %s: %w", dir, err)
	}
	if err := errors.Join(syncDir(tmp), os.Rename(tmp, dir), syncDir(parent)); err != nil {
		return fmt.Errorf("pipeline: write the folder %s: %w", dir, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeJSON writes and syncs an indented file inside a folder that is not public yet.
func writeJSON(path string, v any) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(encode(f, v), f.Sync(), f.Close())
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
