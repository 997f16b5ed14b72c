package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/poi"
)

// maxCard bounds the card of a data folder, in bytes.
const maxCard = 16 << 20

// CityOf returns the settings of the simulated city whose log cfg reads: cfg.City
// without paths, else what WriteCity noted in the card of the one folder. The error
// wraps poi.ErrBadInput for data that are no simulated city.
func CityOf(cfg Config) (city.Config, error) {
	if len(cfg.Paths) == 0 {
		return cfg.City, cfg.City.Validate()
	}
	cards := inFolders(cfg.Paths, CardFile)
	if len(cfg.Paths) > 1 || len(cards) == 0 {
		return city.Config{}, fmt.Errorf("pipeline: %s is not one folder with a %s, so no simulated city; give the folder that `whereto data synth` wrote: %w",
			name(cfg.Paths), CardFile, poi.ErrBadInput)
	}
	text, err := readCard(cards[0])
	if err != nil {
		return city.Config{}, err
	}
	var card struct {
		City json.RawMessage `json:"city"`
	}
	if err := json.Unmarshal(text, &card); err != nil {
		return city.Config{}, fmt.Errorf("pipeline: %s is no JSON object: %w: %w", cards[0], poi.ErrBadInput, err)
	}
	if card.City == nil {
		return city.Config{}, fmt.Errorf("pipeline: %s tells of no simulated city; give the folder that `whereto data synth` wrote: %w", filepath.Dir(cards[0]), poi.ErrBadInput)
	}
	var out city.Config
	dec := yaml.NewDecoder(bytes.NewReader(card.City)) // JSON is YAML, and the keys are those of recipes
	dec.KnownFields(true)
	if err := dec.Decode(&out); err != nil {
		return city.Config{}, fmt.Errorf("pipeline: the city of %s: %w: %w; it was written by another version or edited: write the folder again", cards[0], poi.ErrBadInput, err)
	}
	if err := out.Validate(); err != nil {
		return city.Config{}, fmt.Errorf("pipeline: the city of %s: %w", cards[0], err)
	}
	return out, nil
}

func readCard(path string) (text []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pipeline: open the card: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if text, err = io.ReadAll(io.LimitReader(f, maxCard+1)); err != nil {
		return nil, fmt.Errorf("pipeline: read %s: %w", path, err)
	}
	if len(text) > maxCard {
		return nil, fmt.Errorf("pipeline: %s has more than %d bytes: %w", path, maxCard, poi.ErrBadInput)
	}
	return text, nil
}
