// Package ranker is the ordinary click model of the field: the "online ranking
// model" that the features of Spacetime-GR are added to (paper section 4.1.4,
// Table 4). It also holds the floors that any ranking must beat.
//
// Words. A request shows options in an order; the model gives each option the
// probability of a click. A field is one categorical feature with an embedding
// and a first-order weight; dense features are numbers. The network is DeepFM
// (Guo et al. 2017: first order, second-order interactions of all fields, and a
// multi-layer perceptron) with the attention of DIN (Zhou et al. 2018) from each
// option over the person's recent visits. Extra holds features of other models.
//
// Axes: R requests of a batch, O options, H recent visits, A fields of a request,
// F fields of an option, X dense features, D width of an embedding, V rows of the
// one table that holds all embeddings. Row 0 is padding.
//
// Promises. The features of a request are a function of the request, of the
// visits before it and of training requests and training visits strictly earlier
// than it: no later event and no click of its own enters them, in training as in
// prediction. Scores of the options of a request do not depend on each other. A
// batch is a function of (seed, epoch, step).
//
// Failure. New checks the feed and wraps sentinels of package poi; Rank names the
// request. Graph building panics on wrong shapes and nowhere else.
package ranker

import "fmt"

// Ways to use the position at which an option is shown.
const (
	PositionKnown = "known" // a feature in training and in prediction
	PositionTrain = "train" // a feature in training; every option counts as first in prediction
	PositionOff   = "off"
)

// MaxOptions bounds the options of one request.
const MaxOptions = 1024

// maxTable bounds an embedding table, for memory.
const maxTable = 1 << 26

// Config is the section of a recipe for the base ranker.
type Config struct {
	Dim             int     `yaml:"dim"`              // of a field's embedding
	UserTable       int     `yaml:"user_table"`       // rows that user ids are hashed to
	PlaceTable      int     `yaml:"place_table"`      // rows that POI ids are hashed to
	GeoTable        int     `yaml:"geo_table"`        // rows that blocks are hashed to
	CrossTable      int     `yaml:"cross_table"`      // rows that category x hour x weekend is hashed to
	BlockKM         float64 `yaml:"block_km"`         // edge of a block
	History         int     `yaml:"history"`          // recent visits that options attend to
	AttentionHidden int     `yaml:"attention_hidden"` // width of the attention unit
	Hidden          []int   `yaml:"hidden"`           // widths of the perceptron
	Dropout         float64 `yaml:"dropout"`          // of the perceptron's layers
	FieldDropout    float64 `yaml:"field_dropout"`    // of embeddings at the perceptron's input
	Attention       bool    `yaml:"attention"`        // DIN attention over the history
	Interactions    bool    `yaml:"interactions"`     // second-order interactions of fields
	Position        string  `yaml:"position"`         // known, train or off
	Prior           float64 `yaml:"prior"`            // expected clicks that smooth a click rate
	// WarmUp is the earliest share of the training requests that only feed the
	// running counts. Leave to it also the requests that other models, whose scores
	// come in as Extra, were trained on: on those their scores are too good.
	WarmUp float64 `yaml:"warm_up"`
	Batch  int     `yaml:"batch"` // requests
}

// Default is the network of the recipe city-base, whose training settings belong to it.
func Default() Config {
	return Config{Dim: 16, UserTable: 1 << 14, PlaceTable: 1 << 15, GeoTable: 1 << 12, CrossTable: 1 << 13, BlockKM: 1,
		History: 16, AttentionHidden: 32, Hidden: []int{128, 64}, Dropout: 0.1, FieldDropout: 0.2, Attention: true, Interactions: true,
		Position: PositionKnown, Prior: 2, WarmUp: 0.1, Batch: 64}
}

// Validate reports the first value out of range.
func (c Config) Validate() error {
	for _, r := range []struct {
		name     string
		v        float64
		min, max float64
	}{
		{"dim", float64(c.Dim), 1, 1024}, {"user_table", float64(c.UserTable), 2, maxTable},
		{"place_table", float64(c.PlaceTable), 2, maxTable}, {"geo_table", float64(c.GeoTable), 2, maxTable},
		{"cross_table", float64(c.CrossTable), 2, maxTable}, {"block_km", c.BlockKM, 0.1, 500},
		{"history", float64(c.History), 1, 1024}, {"attention_hidden", float64(c.AttentionHidden), 1, 4096},
		{"hidden", float64(len(c.Hidden)), 1, 8}, {"dropout", c.Dropout, 0, 0.95}, {"field_dropout", c.FieldDropout, 0, 0.95},
		{"prior", c.Prior, 1e-3, 1e6}, {"warm_up", c.WarmUp, 0, 0.95}, {"batch", float64(c.Batch), 1, 1 << 16},
	} {
		if !(r.v >= r.min && r.v <= r.max) { // also refuses NaN
			return fmt.Errorf("ranker.%s is %v, want %v to %v", r.name, r.v, r.min, r.max)
		}
	}
	for i, w := range c.Hidden {
		if w < 1 || w > 8192 {
			return fmt.Errorf("ranker.hidden[%d] is %d, want 1 to 8192", i, w)
		}
	}
	switch c.Position {
	case PositionKnown, PositionTrain, PositionOff:
		return nil
	}
	return fmt.Errorf("ranker.position is %q, want %s, %s or %s", c.Position, PositionKnown, PositionTrain, PositionOff)
}
