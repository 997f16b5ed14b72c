package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
)

// A folder gives back the settings it was written from, to the last digit.
func TestCityOfAFolder(t *testing.T) {
	cfg := smallCity()
	cfg.City.Users, cfg.City.Seed, cfg.City.Lat, cfg.City.Taste = 8, 1<<63+12345, 45.123456789012345, 1e-7
	want := cfg.City
	if got, err := pipeline.CityOf(cfg); err != nil || got != want {
		t.Errorf("without paths: %+v, %v; want %+v", got, err, want)
	}
	dir := filepath.Join(t.TempDir(), "city")
	if _, err := pipeline.WriteCity(t.Context(), cfg.City, dir, pipeline.CityOptions{NoImages: true}, nil); err != nil {
		t.Fatal(err)
	}
	cfg.Paths, cfg.City = []string{dir}, pipeline.Default().City
	if got, err := pipeline.CityOf(cfg); err != nil || got != want {
		t.Errorf("of the folder: %+v, %v; want %+v", got, err, want)
	}
	card, err := os.ReadFile(filepath.Join(dir, pipeline.CardFile))
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, c := range []struct {
		name  string
		paths []string
		card  string
		says  string
	}{
		{"two folders", []string{dir, dir}, string(card), "is not one folder"},
		{"no card", []string{empty}, string(card), "is not one folder"},
		{"a file", []string{filepath.Join(dir, pipeline.ActionsFile)}, string(card), "is not one folder"},
		{"no JSON", []string{dir}, "name: x", "is no JSON object"},
		{"another log", []string{dir}, `{"name":"nyc"}`, "tells of no simulated city"},
		{"an unknown setting", []string{dir}, strings.Replace(string(card), `"towns"`, `"villages"`, 1), "villages"},
		{"a setting out of range", []string{dir}, strings.Replace(string(card), `"users": 8,`, `"users": -8,`, 2), "users is -8"},
		{"too large", []string{dir}, strings.Repeat(" ", 17<<20), "more than"},
	} {
		if err := os.WriteFile(filepath.Join(dir, pipeline.CardFile), []byte(c.card), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg.Paths = c.paths
		if got, err := pipeline.CityOf(cfg); !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v; want %q", c.name, got, err, c.says)
		}
	}
}
