package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

// exists is true for anything but a path that is certainly not there; what else
// is wrong with it, reading will tell.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// inFolders returns the files of that name in the folders among paths.
func inFolders(paths []string, name string) []string {
	var out []string
	for _, p := range paths {
		if info, err := os.Stat(p); err != nil || !info.IsDir() {
			continue
		}
		if file := filepath.Join(p, name); exists(file) {
			out = append(out, file)
		}
	}
	return out
}

// readProfiles adds the profiles of the folders among the paths. A user in several
// folders has the profile of the last.
func readProfiles(ctx context.Context, cfg Config, log *Log, rejects io.Writer) error {
	for _, path := range inFolders(cfg.Paths, ProfilesFile) {
		if log.Profiles == nil {
			log.Profiles = map[string]poi.Profile{}
		}
		here := map[string]bool{}
		rep, err := source.ReadProfiles(ctx, []string{path}, source.Options{MaxBadRows: cfg.MaxBadRows, Reject: rejects},
			func(p *source.UserProfile) error {
				if here[p.User] {
					return fmt.Errorf("pipeline: %s has two rows of user %q; keep one: %w", path, p.User, poi.ErrBadInput)
				}
				here[p.User] = true
				log.Profiles[p.User] = p.Profile
				return nil
			})
		if err != nil {
			return err
		}
		log.Source.Warnings = append(log.Source.Warnings, rep.Warnings...)
		if rep.Bad > 0 {
			log.Source.Warnings = append(log.Source.Warnings, fmt.Sprintf("%s: %d of %d rows are bad; their users have no profile", path, rep.Bad, rep.Rows))
		}
	}
	return nil
}

// profiles is the rows of a file of profiles, by user.
func profiles(byUser map[string]poi.Profile) iter.Seq2[*source.UserProfile, error] {
	return func(yield func(*source.UserProfile, error) bool) {
		for _, user := range slices.Sorted(maps.Keys(byUser)) {
			if !yield(&source.UserProfile{User: user, Profile: byUser[user]}, nil) {
				return
			}
		}
	}
}

// LoadDetails returns the details of the data set's places, in their order, from
// the DetailsFile of the folders among cfg.Paths or from the simulated city. A
// place that no file has keeps empty details; of several folders the last counts.
// The error wraps poi.ErrEmpty if there are no details at all, so that a caller
// can go on with names and categories, and poi.ErrBadInput for a damaged file.
func LoadDetails(ctx context.Context, cfg Config, d *poi.Dataset) ([]poi.Details, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	out, byID := make([]poi.Details, len(d.Places)), placeIDs(d)
	if len(cfg.Paths) == 0 {
		return out, cityDetails(ctx, cfg.City, byID, out)
	}
	paths := inFolders(cfg.Paths, DetailsFile)
	if len(paths) == 0 {
		return nil, fmt.Errorf("pipeline: no folder among %s has a %s; switch texts and images off, or put that file beside %s: %w",
			name(cfg.Paths), DetailsFile, ActionsFile, poi.ErrEmpty)
	}
	matched := 0
	for _, path := range paths {
		here := make([]bool, len(out))
		_, err := source.ReadPlaces(ctx, []string{path}, source.Options{MaxBadRows: cfg.MaxBadRows}, func(e *source.Entry) error {
			p, known := byID[e.ID]
			switch {
			case !known:
				return nil
			case here[p]:
				return fmt.Errorf("pipeline: %s has two rows of POI %q; keep one: %w", path, e.ID, poi.ErrBadInput)
			}
			here[p], out[p] = true, e.Details
			matched++
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if matched == 0 {
		return nil, fmt.Errorf("pipeline: %s knows none of the %d POIs of the data set; does its column poi hold the ids of the actions? %w",
			name(paths), len(out), poi.ErrEmpty)
	}
	return out, nil
}

func cityDetails(ctx context.Context, cfg city.Config, byID map[string]int32, out []poi.Details) error {
	c, err := city.New(cfg)
	if err != nil {
		return err
	}
	for i := range c.Places {
		if i%1024 == 0 && ctx.Err() != nil {
			return fmt.Errorf("pipeline: stopped while describing place %d of %d: %w", i, len(c.Places), ctx.Err())
		}
		if p, known := byID[c.Places[i].ID]; known {
			out[p] = c.Details(i)
		}
	}
	return nil
}

// placeIDs returns the dense number of each POI id.
func placeIDs(d *poi.Dataset) map[string]int32 {
	m := make(map[string]int32, len(d.Places))
	for p := range d.Places {
		m[d.Places[p].ID] = int32(p)
	}
	return m
}
