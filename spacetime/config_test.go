package spacetime

import (
	"math"
	"strings"
	"testing"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/internal/testkit"
)

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	tests := []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) { c.Decoder.Layers = 0 }, "layers is 0"},
		{func(c *Config) { c.Decoder.Dim, c.Decoder.Heads, c.Decoder.KVHeads = 40, 4, 4 }, "model.decoder.dim is 40, want a multiple of 12"},
		{func(c *Config) { c.Gate = "dynamic" }, `model.gate is "dynamic"`},
		{func(c *Config) { c.Dropout = 1 }, "model.dropout is 1"},
		{func(c *Config) { c.Dropout = -0.1 }, "model.dropout is -0.1"},
		{func(c *Config) { c.CopyHead = false }, "model.copy_head is off"},
		{func(c *Config) { c.Evidence, c.Pointer = false, false }, "neither evidence nor pointer"},
		{func(c *Config) { c.HeadHidden = 0 }, "model.head_hidden is 0"},
		{func(c *Config) { c.HeadOut = 0 }, "head_out 0"},
		{func(c *Config) { c.StateDropout = 1.5 }, "model.state_dropout is 1.5"},
		{func(c *Config) { c.Dropout = math.NaN() }, "model.dropout is NaN"},
		{func(c *Config) { c.GenerateWeight = -1 }, "model.generate_weight is -1"},
	}
	for _, tc := range tests {
		c := Default()
		tc.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want one that says %q", err, tc.want)
		}
	}
}

// byTens puts ten places into a block.
type byTens struct{}

func (byTens) Token(p int32) (block, inner int32) { return p / 10, p % 10 }
func (byTens) Sizes() (blocks, inners int)        { return 2, 10 }

func TestNewTables(t *testing.T) {
	d := testkit.Toy(1, 3, 15)
	cfg := batch.Default()
	cfg.Profile, cfg.Location = 2, batch.LocationNone
	enc := batch.NewEncoder(d, cfg)
	hier, flat := NewTables(d, byTens{}, true, enc, cfg), NewTables(d, byTens{}, false, enc, cfg)
	if hier.Places() != 16 || hier.Blocks != 3 || hier.Tokens != 11 || hier.Located || hier.Profile != 2 || hier.Users != 3 || hier.Types != 1 {
		t.Errorf("tables of %d places, %d blocks, %d tokens: %+v", hier.Places(), hier.Blocks, hier.Tokens, hier)
	}
	if hier.Block[0] != 0 || hier.Place[0] != 0 || hier.Block[13] != 2 || hier.Place[13] != 3 { // place 12 is (1, 2)
		t.Errorf("blocks %v, inners %v", hier.Block, hier.Place)
	}
	if flat.Block != nil {
		t.Errorf("a flat index has blocks %v", flat.Block)
	}
	if most := maxOf(hier.Cats); int(most) != hier.Categories-1 || maxOf(hier.Cells) >= int32(hier.GeoTable) {
		t.Errorf("categories to %d of %d, cells to %d of %d", most, hier.Categories, maxOf(hier.Cells), hier.GeoTable)
	}
}

func maxOf(x []int32) (most int32) {
	for _, v := range x {
		most = max(most, v)
	}
	return most
}

// Candidates 1, 3 and 8 of two requests: mean 4, variance (9+1+16)/3.
func TestStandardise(t *testing.T) {
	row := func(x float32) []float32 {
		f := make([]float32, evidence.NumFeatures)
		f[2] = x
		return f
	}
	d := testkit.Toy(1, 3, 15)
	tb := NewTables(d, byTens{}, true, batch.NewEncoder(d, batch.Default()), batch.Default())
	tb.Standardise([]*evidence.Set{
		{POIs: []int32{4, 5}, Features: append(row(1), row(3)...)},
		{POIs: []int32{6}, Features: row(8)},
	})
	want := 1 / (math.Sqrt(26.0/3) + 1e-3)
	if tb.Mean[2] != 4 || math.Abs(float64(tb.Scale[2])-want) > 1e-6 || tb.Mean[0] != 0 || tb.Scale[0] != 1000 {
		t.Errorf("mean %g, scale %g, of a constant %g and %g; want 4, %g, 0, 1000", tb.Mean[2], tb.Scale[2], tb.Mean[0], tb.Scale[0], want)
	}
}

var _ Tokenizer = byTens{}
