package pipeline_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

func each[T any](rows ...T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for i := range rows {
			if !yield(&rows[i], nil) {
				return
			}
		}
	}
}

// toyFolder is the toy log as a data folder, and its settings.
func toyFolder(t *testing.T) (pipeline.Config, string) {
	t.Helper()
	cfg, dir := toyConfig(t), filepath.Join(t.TempDir(), "toy")
	if _, err := pipeline.Import(t.Context(), cfg, dir, nil); err != nil {
		t.Fatal(err)
	}
	cfg.Paths = []string{dir}
	return cfg, dir
}

func must(t *testing.T) func(int, error) {
	t.Helper()
	return func(_ int, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func place(id, address string) source.Entry {
	return source.Entry{Place: poi.Place{ID: id, Lat: 1}, Details: poi.Details{Address: address}}
}

func TestFolderWithCatalogAndProfiles(t *testing.T) {
	cfg, dir := toyFolder(t)
	bare, _, _, err := pipeline.Load(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.LoadDetails(t.Context(), cfg, bare); !errors.Is(err, poi.ErrEmpty) || !strings.Contains(err.Error(), pipeline.DetailsFile) {
		t.Errorf("a folder without details: %v", err)
	}
	profile := poi.Profile{Gender: "f", AgeBand: "30-39", Tags: []string{"runner"}}
	must(t)(source.WriteProfiles(filepath.Join(dir, pipeline.ProfilesFile), each(source.UserProfile{User: "u3", Profile: profile}, source.UserProfile{User: "nobody"})))
	must(t)(source.WritePlaces(filepath.Join(dir, pipeline.DetailsFile), each(place("p4", "4 Quay"), place("elsewhere", "x"), place("p0", "0 Lane"))))
	d, _, _, err := pipeline.Load(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Fingerprint == bare.Fingerprint {
		t.Error("profiles did not change the fingerprint")
	}
	for _, u := range d.Users {
		want := poi.Profile{}
		if u.ID == "u3" {
			want = profile
		}
		if u.Profile.Gender != want.Gender || u.Profile.AgeBand != want.AgeBand || !slices.Equal(u.Profile.Tags, want.Tags) {
			t.Errorf("%s has profile %+v, want %+v", u.ID, u.Profile, want)
		}
	}
	details, err := pipeline.LoadDetails(t.Context(), cfg, d)
	if err != nil || len(details) != len(d.Places) {
		t.Fatal(len(details), err)
	}
	for i, p := range d.Places {
		if want := map[string]string{"p4": "4 Quay", "p0": "0 Lane"}[p.ID]; details[i].Address != want {
			t.Errorf("%s at %q, want %q", p.ID, details[i].Address, want)
		}
	}
	importKeepsAll(t, cfg, dir, d, details)
}

// importKeepsAll checks that what belongs to the log goes into a new folder, too.
func importKeepsAll(t *testing.T, cfg pipeline.Config, dir string, d *poi.Dataset, details []poi.Details) {
	t.Helper()
	must(t)(source.WriteImpressions(filepath.Join(dir, pipeline.ImpressionsFile), each(poi.Impression{ID: "i", User: "u1", TimeMS: 1715000000000,
		Shown: []poi.Shown{{POI: "p0", Clicked: true, Click: -1, Relevance: -1}, {POI: "p1", Click: -1, Relevance: -1}}})))
	feed, _, err := pipeline.LoadFeed(t.Context(), cfg, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "second")
	if _, err := pipeline.Import(t.Context(), cfg, second, nil); err != nil {
		t.Fatal(err)
	}
	cfg.Paths = []string{second}
	back, _, _, err := pipeline.Load(t.Context(), cfg, nil)
	if err != nil || back.Fingerprint != d.Fingerprint {
		t.Errorf("an imported folder is another data set, error %v", err)
	}
	backFeed, _, err := pipeline.LoadFeed(t.Context(), cfg, back, nil)
	if err != nil || backFeed.Fingerprint != feed.Fingerprint {
		t.Errorf("an imported folder has another feed, error %v", err)
	}
	if backDetails, err := pipeline.LoadDetails(t.Context(), cfg, back); err != nil || backDetails[0].Address != details[0].Address {
		t.Errorf("an imported folder has other details, error %v", err)
	}
}

func TestCatalogFails(t *testing.T) {
	for _, c := range []struct {
		name, says string
		want       error
		write      func(dir string) (int, error)
	}{
		{"a user twice", `two rows of user "u3"`, poi.ErrBadInput, func(dir string) (int, error) {
			return source.WriteProfiles(filepath.Join(dir, pipeline.ProfilesFile), each(source.UserProfile{User: "u3"}, source.UserProfile{User: "u3"}))
		}},
		{"a place twice", `two rows of POI "p0"`, poi.ErrBadInput, func(dir string) (int, error) {
			return source.WritePlaces(filepath.Join(dir, pipeline.DetailsFile), each(place("p0", ""), place("p0", "")))
		}},
		{"another catalog", "knows none of the 5 POIs", poi.ErrEmpty, func(dir string) (int, error) {
			return source.WritePlaces(filepath.Join(dir, pipeline.DetailsFile), each(place("x", "")))
		}},
		{"a damaged catalog", "not a whole Parquet file", poi.ErrBadInput, func(dir string) (int, error) {
			return 0, os.WriteFile(filepath.Join(dir, pipeline.DetailsFile), []byte("PAR1 PAR1 PAR1"), 0o644)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, dir := toyFolder(t)
			must(t)(c.write(dir))
			d, _, _, err := pipeline.Load(t.Context(), cfg, nil)
			if err == nil {
				_, err = pipeline.LoadDetails(t.Context(), cfg, d)
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
}

func TestWriteCity(t *testing.T) {
	cfg, parent := cityWithFeed(), t.TempDir()
	cfg.City.Users = 12
	images := func(opt pipeline.CityOptions, name string) (with, all int) {
		dir := filepath.Join(parent, name)
		if _, err := pipeline.WriteCity(t.Context(), cfg.City, dir, opt, nil); err != nil {
			t.Fatal(err)
		}
		_, err := source.ReadPlaces(t.Context(), []string{filepath.Join(dir, pipeline.DetailsFile)}, source.Options{}, func(e *source.Entry) error {
			all++
			if len(e.Image) > 0 {
				with++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return with, all
	}
	if with, all := images(pipeline.CityOptions{}, "a"); with != all || all != 300 {
		t.Errorf("%d of %d places have an image", with, all)
	}
	if with, _ := images(pipeline.CityOptions{NoImages: true}, "b"); with != 0 {
		t.Errorf("%d places have an image in spite of NoImages", with)
	}
	// Equal settings give equal bytes.
	images(pipeline.CityOptions{}, "c")
	for _, name := range []string{pipeline.ActionsFile, pipeline.ProfilesFile, pipeline.DetailsFile, pipeline.ImpressionsFile, pipeline.CardFile, pipeline.PlacesFile} {
		a, errA := os.ReadFile(filepath.Join(parent, "a", name))
		c, errC := os.ReadFile(filepath.Join(parent, "c", name))
		if err := errors.Join(errA, errC); err != nil || !slices.Equal(a, c) {
			t.Errorf("%s differs between two runs, error %v", name, err)
		}
	}
	// Without impressions there is no file of them.
	cfg.City.Impressions = 0
	images(pipeline.CityOptions{}, "d")
	if _, err := os.Stat(filepath.Join(parent, "d", pipeline.ImpressionsFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("impressions of a city without any: %v", err)
	}
	// A run that is stopped on the way leaves nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cfg.City.Impressions = 4
	if _, err := pipeline.WriteCity(ctx, cfg.City, filepath.Join(parent, "e"), pipeline.CityOptions{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 4 {
		t.Errorf("left behind %v, error %v", left, err)
	}
}
