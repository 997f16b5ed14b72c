package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/split"
)

// toyLog writes a native CSV log: 6 users, 5 places, three visits on each of 20 days.
func toyLog(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("user,poi,name,category,lat,lng,time,offset_min,type\n")
	for day := range 20 {
		for hour := 9; hour < 18; hour += 4 {
			for u := range 6 {
				p := (u + hour + day/10) % 5
				fmt.Fprintf(&b, "u%d,p%d,Place %d,Food,40.%d,-74.0%d,2024-05-%02dT%02d:0%d:00Z,-240,checkin\n", u, p, p, p+1, p, day+1, hour+4, u)
			}
		}
	}
	return testkit.WriteFile(t, "toy.csv", b.String())
}

func toyConfig(t *testing.T) pipeline.Config {
	cfg := pipeline.Default()
	cfg.Paths = []string{toyLog(t)}
	return cfg
}

func nycConfig(t *testing.T) pipeline.Config {
	cfg := pipeline.Default()
	cfg.Paths, cfg.Format = []string{testkit.DataFile(t, "foursquare-nyc", "checkins.tsv.gz")}, "tsmc"
	return cfg
}

// The counts of docs/protocols.md, to the check-in.
func TestNewYorkCounts(t *testing.T) {
	cfg := nycConfig(t)
	log, err := pipeline.Read(t.Context(), cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		protocol string
		targets  split.ByPart
	}{
		{split.LastOfTrajectory, split.ByPart{Train: 75853, Validation: 1270, Test: 1206}},
		{split.EveryCheckin, split.ByPart{Train: 75853, Validation: 7191, Test: 6909}},
		{split.LastOfUser, split.ByPart{Train: 75853, Validation: 435, Test: 384}},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			cfg.Protocol = c.protocol
			d, report, err := pipeline.Describe(t.Context(), cfg, log, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := report.Card
			if got.Targets != c.targets || got.Checkins != 105545 || got.Users != 1075 || got.POIs != 5120 ||
				got.Trajectories != 14254 || got.Rejected != 0 {
				t.Errorf("got %d check-ins, %d users, %d POIs, %d trajectories, targets %+v, %d rejected; want 105545, 1075, 5120, 14254, %+v, 0",
					got.Checkins, got.Users, got.POIs, got.Trajectories, got.Targets, got.Rejected, c.targets)
			}
			if d.Name != "checkins.tsv.gz" || d.Fingerprint != split.Fingerprint(d) {
				t.Errorf("name %q, fingerprint %q", d.Name, d.Fingerprint)
			}
		})
	}
}

// Only train visits decide the order of tokens.
func TestIndexKnowsTrainOnly(t *testing.T) {
	d, ix, report, err := pipeline.Load(t.Context(), toyConfig(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(ix.Places) != len(d.Places) || report.Card.Users != 6 || report.Card.POIs != 5 {
		t.Fatalf("index of %d places, data set of %d, card %+v", len(ix.Places), len(d.Places), report.Card)
	}
	before := pipeline.Popularity(d)
	if !slices.IsSortedFunc(before, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("places are not in order of train visits: %v", before)
	}
	for u := range d.Users {
		for i := range d.Users[u].Visits {
			if v := &d.Users[u].Visits[i]; v.Tag != poi.Train {
				v.POI = 0
			}
		}
	}
	if after := pipeline.Popularity(d); !slices.Equal(before, after) {
		t.Errorf("later visits moved the popularity from %v to %v", before, after)
	}
}

func TestLoadFails(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		name string
		edit func(*pipeline.Config)
		want error
		says string
	}{
		{"no such file", func(c *pipeline.Config) { c.Paths = []string{filepath.Join(empty, "none.csv")} }, fs.ErrNotExist, "none.csv"},
		{"empty path", func(c *pipeline.Config) { c.Paths = []string{" "} }, poi.ErrBadInput, "empty path"},
		{"unknown format", func(c *pipeline.Config) { c.Format = "tsmcc" }, poi.ErrBadInput, "tsmcc"},
		{"folder without a log", func(c *pipeline.Config) { c.Paths = []string{empty} }, poi.ErrBadInput, "actions.parquet"},
		{"bad limit", func(c *pipeline.Config) { c.MaxBadRows = -2 }, poi.ErrBadInput, "max_bad_rows"},
		{"unknown protocol", func(c *pipeline.Config) { c.Protocol = "random" }, poi.ErrBadInput, "random"},
		{"bad index", func(c *pipeline.Config) { c.Index.Mode = "tree" }, poi.ErrBadInput, "tree"},
		{"bad city", func(c *pipeline.Config) { c.Paths, c.City.Users = nil, 0 }, poi.ErrBadInput, "users"},
		{"city too large", func(c *pipeline.Config) { c.Paths, c.City.Users = nil, 10_000_000 }, poi.ErrBadInput, "over the limit"},
		{"all filtered out", func(c *pipeline.Config) { c.Split.MinUser = 1000 }, poi.ErrEmpty, "users with >= 1000"},
		{"empty file", func(c *pipeline.Config) { c.Paths = []string{testkit.WriteFile(t, "empty.csv", "")} }, poi.ErrEmpty, "empty.csv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := toyConfig(t)
			c.edit(&cfg)
			_, _, _, err := pipeline.Load(t.Context(), cfg, nil)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
}

func TestLoadStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, cfg := range map[string]pipeline.Config{"file": toyConfig(t), "city": pipeline.Default()} {
		if _, _, _, err := pipeline.Load(ctx, cfg, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
}

func smallCity() pipeline.Config {
	cfg := pipeline.Default()
	cfg.City.Users, cfg.City.POIs, cfg.City.Days = 60, 300, 40
	cfg.Split.MinPOI = 2
	return cfg
}

func TestCity(t *testing.T) {
	var said []string
	d, ix, _, err := pipeline.Load(t.Context(), smallCity(), func(s string) { said = append(said, s) })
	if err != nil {
		t.Fatal(err)
	}
	again, _, _, err := pipeline.Load(t.Context(), smallCity(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Fingerprint != again.Fingerprint || d.Fingerprint != split.Fingerprint(d) || ix.Mode != index.Hier {
		t.Errorf("fingerprints %s and %s", d.Fingerprint, again.Fingerprint)
	}
	if d.Users[0].Profile.Gender == "" || d.Name != "city-1" {
		t.Errorf("user %+v of %q has no profile", d.Users[0].Profile, d.Name)
	}
	if len(said) != 3 {
		t.Errorf("progress said %q, want simulating, splitting, indexing", said)
	}
}

// A folder that Import wrote is the same data set as the log it came from.
func TestImportKeepsTheDataSet(t *testing.T) {
	cfg, dir := toyConfig(t), filepath.Join(t.TempDir(), "new", "toy")
	f, err := os.OpenFile(cfg.Paths[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("u1,p1,Place 1,Food,140.0,-74.0,2024-05-01T09:00:00Z,-240,checkin\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := pipeline.Import(t.Context(), cfg, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.Card.Rejected != 1 {
		t.Errorf("%d rows rejected, want 1", report.Card.Rejected)
	}
	rejects, err := os.ReadFile(filepath.Join(dir, pipeline.RejectsFile))
	if err != nil || strings.Count(string(rejects), "\n") != 1 || !strings.Contains(string(rejects), `"lat`) {
		t.Errorf("rejects %q, error %v", rejects, err)
	}
	var card split.Card
	text, err := os.ReadFile(filepath.Join(dir, pipeline.CardFile))
	if err != nil || json.Unmarshal(text, &card) != nil || card.Checkins != report.Card.Checkins {
		t.Errorf("card %s, error %v", text, err)
	}
	cfg.Paths = []string{dir}
	d, _, _, err := pipeline.Load(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Fingerprint != report.Card.Fingerprint || d.Name != "toy" {
		t.Errorf("%q read back has another fingerprint", d.Name)
	}
	cfg.Format = "tsmc"
	if _, _, _, err := pipeline.Load(t.Context(), cfg, nil); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a folder read as tsmc: %v", err)
	}
}

func TestImportLeavesNothingHalf(t *testing.T) {
	for name, edit := range map[string]func(*pipeline.Config){
		"bad row": func(c *pipeline.Config) {
			c.MaxBadRows, c.Paths = 0, append(c.Paths, testkit.WriteFile(t, "bad.csv", "user\n"))
		},
		"filtered out": func(c *pipeline.Config) { c.Split.MinPOI = math.MaxInt32 },
		"no paths":     func(c *pipeline.Config) { c.Paths = nil },
	} {
		t.Run(name, func(t *testing.T) {
			cfg, parent := toyConfig(t), t.TempDir()
			edit(&cfg)
			if _, err := pipeline.Import(t.Context(), cfg, filepath.Join(parent, "out"), nil); err == nil {
				t.Fatal("no error")
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, error %v", left, err)
			}
		})
	}
	t.Run("exists", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := pipeline.Import(t.Context(), toyConfig(t), dir, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("got %v, want ErrExist", err)
		}
	})
}

func TestWriteCityCountsItsFiles(t *testing.T) {
	cfg, dir := smallCity(), filepath.Join(t.TempDir(), "city")
	card, err := pipeline.WriteCity(t.Context(), cfg.City, dir, pipeline.CityOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var fc struct {
		Features []struct{ Properties map[string]any }
	}
	text, err := os.ReadFile(filepath.Join(dir, pipeline.PlacesFile))
	if err != nil || json.Unmarshal(text, &fc) != nil {
		t.Fatalf("places %.100s, error %v", text, err)
	}
	if len(fc.Features) != card.POIs || card.POIs < 200 || fc.Features[0].Properties["poi"] == "" {
		t.Errorf("%d features for %d places", len(fc.Features), card.POIs)
	}
	cfg.Paths = []string{dir}
	log, err := pipeline.Read(t.Context(), cfg, nil, nil)
	if err != nil || len(log.Actions) != card.Actions {
		t.Errorf("read %d of %d actions, error %v", len(log.Actions), card.Actions, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pipeline.WriteCity(ctx, cfg.City, filepath.Join(t.TempDir(), "x"), pipeline.CityOptions{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// A recipe holds the whole Config; what it does not set keeps its default.
func TestConfigYAML(t *testing.T) {
	cfg := pipeline.Default()
	text := "paths: [a.tsv]\nformat: tsmc\nprotocol: last-of-user\nsplit: {min_poi: 5}\nclean: {min_richness: 0.3}\nindex: {mode: flat}\ncity: {seed: 7}\n"
	if err := yaml.Unmarshal([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg.Split.MinPOI != 5 || cfg.Split.MinUser != 10 || cfg.Clean.MinRichness != 0.3 || cfg.Clean.HomeKM != 50 ||
		cfg.Index.Mode != index.Flat || cfg.City.Seed != 7 || cfg.City.Days == 0 || cfg.Protocol != split.LastOfUser {
		t.Errorf("got %+v", cfg)
	}
}
