package spacetime

import (
	"math"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/poi"
)

// Tokenizer is what the network asks of an index.
type Tokenizer interface {
	// Token returns the tokens of a dense POI id; block is 0 for a flat index.
	Token(p int32) (block, inner int32)
	// Sizes returns the numbers of block and inner (or flat) tokens.
	Sizes() (blocks, inners int)
}

// NewTables gathers what the network knows of a data set's places.
func NewTables(d *poi.Dataset, tok Tokenizer, hier bool, enc *batch.Encoder, cfg batch.Config) *Tables {
	v := len(d.Places) + 1
	blocks, inners := tok.Sizes()
	t := &Tables{Hier: hier, Place: make([]int32, v), Blocks: blocks + 1, Tokens: inners + 1,
		Users: len(d.Users), Types: len(d.Types), GeoTable: cfg.GeoTable, Profile: cfg.Profile,
		Profiles: enc.ProfileVocabulary(), Located: cfg.Location != batch.LocationNone, Cells: enc.PlaceCells()}
	t.Cats, t.Categories = batch.Categories(d.Places)
	if hier {
		t.Block = make([]int32, v)
	}
	for p := range d.Places {
		block, inner := tok.Token(int32(p))
		t.Place[p+1] = inner + 1
		if hier {
			t.Block[p+1] = block + 1
		}
	}
	t.Mean, t.Scale = make([]float32, evidence.NumFeatures), make([]float32, evidence.NumFeatures)
	for i := range t.Scale {
		t.Scale[i] = 1
	}
	return t
}

// Standardise sets mean and scale of the evidence from a sample of sets.
func (t *Tables) Standardise(sets []*evidence.Set) {
	n := 0.0
	sum, square := make([]float64, evidence.NumFeatures), make([]float64, evidence.NumFeatures)
	for _, s := range sets {
		for i, x := range s.Features {
			k := i % evidence.NumFeatures
			sum[k] += float64(x)
			square[k] += float64(x) * float64(x)
		}
		n += float64(len(s.POIs))
	}
	for k := range sum {
		mean := sum[k] / math.Max(n, 1)
		t.Mean[k] = float32(mean)
		t.Scale[k] = float32(1 / (math.Sqrt(math.Max(square[k]/math.Max(n, 1)-mean*mean, 0)) + 1e-3))
	}
}
