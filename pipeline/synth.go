package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"
	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
	"github.com/whereto/whereto/split"
)

// CityOptions says what of a city to write.
type CityOptions struct {
	NoImages bool // leave the images out of DetailsFile
}

// CityCard is the CardFile of a simulated city: what was written, and of which
// settings.
type CityCard struct {
	Name    string        `json:"name"`
	Users   int           `json:"users"`
	POIs    int           `json:"pois"`
	Actions int           `json:"actions"`
	Types   []split.Count `json:"types"` // actions by type
	Hours   [24]int       `json:"hours"` // actions by local hour
	Span    split.Span    `json:"span"`  // of the actions
	// Impressions, Shown and Clicks count requests, their candidates and the
	// clicked ones.
	Impressions int  `json:"impressions"`
	Shown       int  `json:"shown"`
	Clicks      int  `json:"clicks"`
	Images      bool `json:"images"`
	// City is the settings, as the part data.city of a recipe has them.
	City map[string]any `json:"city"`
}

// WriteCity writes the simulated city as a data folder: actions, profiles, places
// with their details, impressions if the city makes any, the card, and the places
// as GeoJSON to look at. Reading the folder gives what the city itself gives.
// People and places are made and written one by one. The folder appears whole or
// not at all; one that exists is never touched.
func WriteCity(ctx context.Context, cfg city.Config, dir string, opt CityOptions, progress Progress) (*CityCard, error) {
	progress.say("simulating a city of %d people", cfg.Users)
	c, err := city.New(cfg)
	if err != nil {
		return nil, err
	}
	settings, err := settingsOf(cfg)
	if err != nil {
		return nil, err
	}
	card := &CityCard{Name: cityName(cfg), Users: c.Users(), POIs: len(c.Places), Images: !opt.NoImages, City: settings}
	err = writeFolder(dir, func(tmp string) error {
		w := &cityWriter{city: c, cfg: cfg, dir: tmp, progress: progress, card: card, types: map[string]int{}}
		for _, step := range []func(context.Context) error{w.log, w.profiles, w.places, w.geojson} {
			w.next = time.Now().Add(tellEvery)
			if err := step(ctx); err != nil {
				return err
			}
		}
		w.finish()
		return writeJSON(filepath.Join(tmp, CardFile), card)
	})
	if err != nil {
		return nil, err
	}
	return card, nil
}

// settingsOf is the settings with the keys that recipes use.
func settingsOf(cfg city.Config) (map[string]any, error) {
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("pipeline: settings of the city: %w", err)
	}
	var out map[string]any
	if err := yaml.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("pipeline: settings of the city: %w", err)
	}
	return out, nil
}

// tellEvery is how long a step is silent.
const tellEvery = 5 * time.Second

// cityWriter writes the files of a city into a folder.
type cityWriter struct {
	city        *city.City
	cfg         city.Config
	dir         string
	progress    Progress
	next        time.Time // of the next line about progress
	card        *CityCard
	types       map[string]int
	first, last time.Time // local times of the actions
}

func (w *cityWriter) path(name string) string { return filepath.Join(w.dir, name) }

// tell stops when ctx is done, and says how far a step is, now and then.
func (w *cityWriter) tell(ctx context.Context, file, rows string, i, of int) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("pipeline: stopped while writing %s, at %s %d of %d: %w", file, rows, i, of, err)
	}
	if now := time.Now(); now.After(w.next) {
		w.next = now.Add(tellEvery)
		w.progress.say("writing %s: %d of %d %s, %d actions, %d impressions", file, i, of, rows, w.card.Actions, w.card.Impressions)
	}
	return nil
}

// log writes actions and impressions in one pass over the people, because a
// person's requests are made along with his days.
func (w *cityWriter) log(ctx context.Context) error {
	_, err := source.WriteActions(w.path(ActionsFile), sequence(func(action func(*poi.Action) error) error {
		if w.cfg.Impressions == 0 {
			return w.live(ctx, action, nil)
		}
		_, err := source.WriteImpressions(w.path(ImpressionsFile), sequence(func(impression func(*poi.Impression) error) error {
			return w.live(ctx, action, impression)
		}))
		if errors.Is(err, poi.ErrEmpty) && w.card.Impressions == 0 {
			return nil // so few people that nobody asked
		}
		return err
	}))
	return err
}

// live passes on everybody's actions and impressions.
func (w *cityWriter) live(ctx context.Context, action func(*poi.Action) error, impression func(*poi.Impression) error) error {
	for u := range w.city.Users() {
		if err := w.tell(ctx, ActionsFile, "people", u, w.city.Users()); err != nil {
			return err
		}
		actions, impressions := w.city.Live(u)
		for i := range actions {
			w.countAction(&actions[i])
			if err := action(&actions[i]); err != nil {
				return err
			}
		}
		for i := range impressions {
			w.countImpression(&impressions[i])
			if err := impression(&impressions[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *cityWriter) countAction(a *poi.Action) {
	w.card.Actions++
	w.types[a.Type]++
	at := poi.LocalTime(a.TimeMS, a.OffsetMin)
	w.card.Hours[at.Hour()]++
	if w.first.IsZero() || at.Before(w.first) {
		w.first = at
	}
	if at.After(w.last) {
		w.last = at
	}
}

func (w *cityWriter) countImpression(im *poi.Impression) {
	w.card.Impressions++
	w.card.Shown += len(im.Shown)
	for i := range im.Shown {
		if im.Shown[i].Clicked {
			w.card.Clicks++
		}
	}
}

// finish completes the card.
func (w *cityWriter) finish() {
	w.card.Types = counts(w.types)
	const layout = "2006-01-02T15:04:05"
	w.card.Span = split.Span{First: w.first.Format(layout), Last: w.last.Format(layout), Days: w.last.Sub(w.first).Hours() / 24}
}

func (w *cityWriter) profiles(ctx context.Context) error {
	_, err := source.WriteProfiles(w.path(ProfilesFile), sequence(func(yield func(*source.UserProfile) error) error {
		for u := range w.city.Users() {
			if err := w.tell(ctx, ProfilesFile, "people", u, w.city.Users()); err != nil {
				return err
			}
			if err := yield(&source.UserProfile{User: w.city.UserID(u), Profile: w.city.Profile(u)}); err != nil {
				return err
			}
		}
		return nil
	}))
	return err
}

func (w *cityWriter) places(ctx context.Context) error {
	_, err := source.WritePlaces(w.path(DetailsFile), sequence(func(yield func(*source.Entry) error) error {
		for i, p := range w.city.Places {
			if err := w.tell(ctx, DetailsFile, "places", i, len(w.city.Places)); err != nil {
				return err
			}
			e := &source.Entry{Place: p, Details: w.city.Details(i)}
			if !w.card.Images {
				e.Image = nil
			}
			if err := yield(e); err != nil {
				return err
			}
		}
		return nil
	}))
	return err
}

// geojson writes the places one feature at a time.
func (w *cityWriter) geojson(ctx context.Context) error {
	f, err := os.OpenFile(w.path(PlacesFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	return errors.Join(w.features(ctx, out), out.Flush(), f.Sync(), f.Close())
}

func (w *cityWriter) features(ctx context.Context, out *bufio.Writer) error {
	before := `{"type":"FeatureCollection","features":[` + "\n"
	for i, p := range w.city.Places {
		if err := w.tell(ctx, PlacesFile, "places", i, len(w.city.Places)); err != nil {
			return err
		}
		f := geojson.NewFeature(orb.Point{p.Lng, p.Lat})
		f.ID = p.ID
		f.Properties = geojson.Properties{"poi": p.ID, "name": p.Name, "category": p.Category}
		text, err := f.MarshalJSON()
		if err != nil {
			return err
		}
		if _, err := out.WriteString(before); err != nil {
			return err
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
		before = ",\n"
	}
	_, err := out.WriteString("\n]}\n")
	return err
}
