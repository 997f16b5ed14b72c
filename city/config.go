package city

import (
	"fmt"
	"math"
	"time"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Config is everything the city depends on: two equal Configs give the same
// log.
type Config struct {
	Seed     uint64  `yaml:"seed"`
	Users    int     `yaml:"users"`     // people, 1 to 10 million
	POIs     int     `yaml:"pois"`      // places in all towns, 300 to 10 million, at least 150 a town
	Towns    int     `yaml:"towns"`     // 2 to 12, the main one among them
	Days     int     `yaml:"days"`      // length of the log, 7 to 731
	Start    string  `yaml:"start"`     // first local day, 2006-01-02
	Lat      float64 `yaml:"lat"`       // centre of the main town, degrees, at most 70 from the equator
	Lng      float64 `yaml:"lng"`       // degrees
	RadiusKM float64 `yaml:"radius_km"` // of the main town, 2 to 60
	Zone     string  `yaml:"zone"`      // IANA time zone of all towns
	// Visits is the number of logged actions a typical person has over a
	// period of any length; persons spread around it from about half to double.
	Visits int `yaml:"visits"`
	// Impressions is the mean number of recommendation requests of a person, 0 to
	// 1000; 0 makes none, and the log then holds no clicks of theirs.
	Impressions float64 `yaml:"impressions"`
	// Taste is how strongly hidden attributes of places act on where people go and
	// what they click: 1 as documented at City.Relevance, 0 not at all, at most 4.
	Taste    float64 `yaml:"taste"`
	Personas Mix     `yaml:"personas"`
}

// Mix says how common each persona is; the numbers are weights, not shares.
type Mix struct {
	Office   float64 `yaml:"office"`
	Student  float64 `yaml:"student"`
	Parent   float64 `yaml:"parent"`
	NightOwl float64 `yaml:"night_owl"`
	Retiree  float64 `yaml:"retiree"`
	Tourist  float64 `yaml:"tourist"` // lives in another town, comes to the main one
}

// DefaultConfig is the city of the quickstart: 2,000 people and 3,000 places
// over 75 days in spring, with one change of the clocks.
func DefaultConfig() Config {
	return Config{
		Seed: 1, Users: 2000, POIs: 3000, Towns: 2, Days: 75, Start: "2025-03-03",
		Lat: 45.76, Lng: 4.84, RadiusKM: 10, Zone: "Europe/Paris", Visits: 72, Taste: 1,
		Personas: Mix{Office: 0.38, Student: 0.18, Parent: 0.16, NightOwl: 0.1, Retiree: 0.12, Tourist: 0.06},
	}
}

// Validate checks every field and quotes the value and its limits. The error
// wraps poi.ErrBadInput.
func (c Config) Validate() error {
	for _, f := range []struct {
		name       string
		value      float64
		low, high  float64
		suggestion string
	}{
		{"users", float64(c.Users), 1, 10_000_000, ""},
		{"pois", float64(c.POIs), 300, 10_000_000, "; fewer leave categories without a place"},
		{"towns", float64(c.Towns), 2, 12, ""},
		{"pois", float64(c.POIs), float64(minPlaces * c.Towns), 10_000_000, fmt.Sprintf("; a town needs %d", minPlaces)},
		{"days", float64(c.Days), 7, 731, ""},
		{"lat", c.Lat, -70, 70, "; nearer a pole the flat map of the city is wrong"},
		{"radius_km", c.RadiusKM, 2, 60, ""},
		{"visits", float64(c.Visits), 5, 2000, ""},
		{"impressions", c.Impressions, 0, 1000, ""},
		{"taste", c.Taste, 0, 4, ""},
	} {
		if !(f.value >= f.low && f.value <= f.high) {
			return fmt.Errorf("city: %s is %g, want %g to %g%s: %w", f.name, f.value, f.low, f.high, f.suggestion, poi.ErrBadInput)
		}
	}
	if err := geo.Valid(c.Lat, c.Lng); err != nil {
		return fmt.Errorf("city: centre: %w: %w", err, poi.ErrBadInput)
	}
	if _, _, err := c.calendar(); err != nil {
		return err
	}
	return c.Personas.validate()
}

// minPlaces is how many places a town needs on average so that none lacks a
// category.
const minPlaces = 150

// calendar resolves the first day and the time zone.
func (c Config) calendar() (time.Time, *time.Location, error) {
	// "" and "Local" would load too, but mean another zone on another machine.
	zone, err := time.LoadLocation(c.Zone)
	if err != nil || c.Zone == "" || c.Zone == "Local" {
		return time.Time{}, nil, fmt.Errorf("city: zone %q is not an IANA time zone such as Europe/Paris: %w", c.Zone, poi.ErrBadInput)
	}
	start, err := time.Parse(time.DateOnly, c.Start)
	if err != nil || start.Year() < 1980 || start.Year() > 2100 {
		return time.Time{}, nil, fmt.Errorf("city: start %q is not a day of 1980 to 2100 written 2006-01-02: %w", c.Start, poi.ErrBadInput)
	}
	return start, zone, nil
}

// weights lists the mix in persona order.
func (m Mix) weights() [personas]float64 {
	return [personas]float64{m.Office, m.Student, m.Parent, m.NightOwl, m.Retiree, m.Tourist}
}

func (m Mix) validate() error {
	sum := 0.0
	for p, w := range m.weights() {
		if !(w >= 0) || math.IsInf(w, 1) {
			return fmt.Errorf("city: personas: weight of %s is %g, want a number from 0 up: %w", persona(p), w, poi.ErrBadInput)
		}
		sum += w
	}
	if sum <= 0 || math.IsInf(sum, 1) {
		return fmt.Errorf("city: personas: the weights sum to %g, want more than 0: %w", sum, poi.ErrBadInput)
	}
	return nil
}
