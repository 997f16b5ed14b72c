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

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

// Files of a data folder that are only looked at.
const (
	CardFile    = "card.json"      // split.Card of the settings at import, or a CityCard
	RejectsFile = "rejects.jsonl"  // one source.Reject a line, empty if there were none
	PlacesFile  = "places.geojson" // of a simulated city
)

// Import reads the logs of cfg and writes the data folder dir: the actions as
// Parquet, all of them and in order, the data card of cfg's protocol and the
// rejected rows; and of profiles, impressions and details whatever cfg has.
// Reading the folder gives the same data set. The folder appears whole or not at
// all; one that exists is never touched.
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
		if err == nil {
			err = importRest(ctx, cfg, log, tmp, rejects, progress)
		}
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

// importRest converts what belongs to the log.
func importRest(ctx context.Context, cfg Config, log *Log, tmp string, rejects io.Writer, progress Progress) error {
	opt := source.Options{Zone: cfg.Zone, MaxBadRows: cfg.MaxBadRows, Reject: rejects}
	if len(log.Profiles) > 0 {
		if _, err := source.WriteProfiles(filepath.Join(tmp, ProfilesFile), profiles(log.Profiles)); err != nil {
			return err
		}
	}
	if paths := inFolders(cfg.Paths, DetailsFile); len(paths) > 0 {
		progress.say("converting places")
		rows := sequence(func(yield func(*source.Entry) error) error {
			_, err := source.ReadPlaces(ctx, paths, opt, yield)
			return err
		})
		if _, err := source.WritePlaces(filepath.Join(tmp, DetailsFile), rows); err != nil {
			return err
		}
	}
	if paths := impressionPaths(cfg); len(paths) > 0 {
		progress.say("converting impressions")
		rows := sequence(func(yield func(*poi.Impression) error) error {
			_, err := source.ReadImpressions(ctx, paths, opt, yield)
			return err
		})
		if _, err := source.WriteImpressions(filepath.Join(tmp, ImpressionsFile), rows); err != nil {
			return err
		}
	}
	return nil
}

// errStopped says that whoever consumed a sequence wants no more of it.
var errStopped = errors.New("the writer stopped")

// sequence turns a reader that calls back into a sequence for a writer.
func sequence[T any](read func(yield func(*T) error) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		stopped := false
		err := read(func(row *T) error {
			if stopped = !yield(row, nil); stopped {
				return errStopped
			}
			return nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

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
	if err := errors.Join(file.SyncDir(tmp), os.Rename(tmp, dir), file.SyncDir(parent)); err != nil {
		return fmt.Errorf("pipeline: write the folder %s: %w", dir, err)
	}
	return nil
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
