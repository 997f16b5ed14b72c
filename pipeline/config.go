package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/clean"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
	"github.com/whereto/whereto/split"
)

// Config says where data comes from and what becomes of it.
type Config struct {
	// Paths are log files, or folders that `whereto data import` or `data synth`
	// wrote. Without any, the simulated city of City is the data.
	Paths []string `yaml:"paths"`
	// Impressions are logs of impressions, or folders with an ImpressionsFile. Empty
	// means those of the folders among Paths, or of the simulated city.
	Impressions []string `yaml:"impressions"`
	// Format is a format of package source; folders have "actions".
	Format string `yaml:"format"`
	// Zone is the IANA zone of rows that do not tell their offset from UTC; empty
	// means the nautical zone of the POI's longitude.
	Zone string `yaml:"zone"`
	// MaxBadRows stops reading when more rows are bad; -1 never stops.
	MaxBadRows int           `yaml:"max_bad_rows"`
	Protocol   string        `yaml:"protocol"`
	Split      split.Config  `yaml:"split"`
	Clean      clean.Config  `yaml:"clean"`
	Index      index.Options `yaml:"index"`
	City       city.Config   `yaml:"city"`
}

// Default returns the settings of every part: the simulated city, the published
// filters with the last-of-trajectory protocol, blocks of 5 km.
func Default() Config {
	return Config{Format: string(source.Actions), MaxBadRows: 100, Protocol: split.LastOfTrajectory,
		Split: split.Default(), Clean: clean.Default(), Index: index.DefaultOptions(), City: city.DefaultConfig()}
}

// Validate reports the first setting outside its range, wrapping
// poi.ErrBadInput. It opens no file.
func (c Config) Validate() error {
	if len(c.Paths) > 0 {
		if _, err := source.ParseFormat(c.Format); err != nil {
			return err
		}
	} else {
		if err := c.City.Validate(); err != nil {
			return err
		}
		// Rows are held in memory on their way to the data set.
		if n := c.City.Users * c.City.Visits; n > maxCityActions {
			return fmt.Errorf("pipeline: a city of %d users with %d visits each is about %d actions, over the limit of %d; ask for fewer: %w",
				c.City.Users, c.City.Visits, n, maxCityActions, poi.ErrBadInput)
		}
	}
	for _, p := range slices.Concat(c.Paths, c.Impressions) {
		if strings.TrimSpace(p) == "" {
			return fmt.Errorf("pipeline: paths or impressions has an empty path; remove it: %w", poi.ErrBadInput)
		}
	}
	if c.MaxBadRows < source.Unlimited {
		return fmt.Errorf("pipeline: max_bad_rows %d; use -1 for no limit: %w", c.MaxBadRows, poi.ErrBadInput)
	}
	if err := c.split().Validate(); err != nil {
		return err
	}
	return c.Index.Validate()
}

// maxCityActions bounds the memory of a simulated log to about 20 GB.
const maxCityActions = 100_000_000

// split returns the split's settings with the two that a recipe holds elsewhere.
func (c Config) split() split.Config {
	s := c.Split
	s.Protocol, s.Clean = c.Protocol, c.Clean
	return s
}
