// Package spacetime is the Spacetime-GR network (paper section 3.2.1) on the
// decoder: the spatiotemporal input module, block and inner heads or a flat head,
// the It-masked loss, and our additions, each of which a recipe can switch off.
//
// Axes: B windows, N actions, K tokens of an action, P profile tokens, T = P+N*K
// tokens, M requests of a window, R = B*M requests, C candidates, V places + 1,
// D hidden size. An action is the tokens (u, place) with a flat index, (u, block,
// inner) with a hierarchical one, plus the action type if the recipe has it. The
// network predicts at u what comes next and, hierarchical, at block the inner.
//
// Place 0 and token 0 are padding everywhere. Graph building panics on wrong
// shapes, as GoMLX does; everything else fails by an error from Config.Validate.
package spacetime

import (
	"errors"
	"fmt"

	"github.com/whereto/whereto/decoder"
)

// Config is the network of a recipe.
type Config struct {
	Decoder decoder.Config `yaml:"decoder"`
	// Gate weighs the parts of an embedding (w1..w5): "input" is a softmax over a
	// projection of the parts themselves, "scalar" a softmax over learned numbers.
	Gate        string  `yaml:"gate"`
	ActionToken bool    `yaml:"action_token"` // a token for the action's type
	Dropout     float64 `yaml:"dropout"`      // of embeddings and head inputs

	// What an action is told by; the paper has all three, ablations take them away.
	Time     bool `yaml:"time"`     // month, weekday, day and hour on u
	Geo      bool `yaml:"geo"`      // grid cells, of the user on u and of the place
	Category bool `yaml:"category"` // category path of the place

	// Ours, beyond the paper.
	CopyHead       bool `yaml:"copy_head"`       // mix of copying a past place and generating one
	Evidence       bool `yaml:"evidence"`        // evidence features in the copy head
	Pointer        bool `yaml:"pointer"`         // product of hidden state and candidate embedding in the copy head
	SpacetimeBias  bool `yaml:"spacetime_bias"`  // attention bias from time gap, hour, weekday, distance
	HideRequests   bool `yaml:"hide_requests"`   // u is no key for later tokens
	Distance       bool `yaml:"distance"`        // how far a place is from where the user stood, on the place's token
	TiedEmbeddings bool `yaml:"tied_embeddings"` // output vectors are the input embeddings of places
	UserEmbedding  bool `yaml:"user_embedding"`  // a vector for each known user, added to u
	WholeHistory   bool `yaml:"whole_history"`   // attention reaches beyond the current trajectory
	HeadHidden     int  `yaml:"head_hidden"`     // width of the copy head
	HeadOut        int  `yaml:"head_out"`        // width of its second layer
	// StateDropout is the share of training requests whose hidden state the copy
	// head does not see; 1 leaves it the evidence alone, also when predicting.
	StateDropout   float64 `yaml:"state_dropout"`
	GenerateWeight float64 `yaml:"generate_weight"` // extra weight on the generating head's own loss
}

// Default is the network of the shipped recipes.
func Default() Config {
	d := decoder.Default()
	d.Dim, d.FFN, d.Dropout = 96, 256, 0.2
	return Config{Decoder: d, Gate: "input", Dropout: 0.2, Time: true, Geo: true, Category: true, CopyHead: true, Evidence: true, Pointer: true, SpacetimeBias: true,
		HideRequests: true, TiedEmbeddings: true, UserEmbedding: true, WholeHistory: true,
		HeadHidden: 64, HeadOut: 32, GenerateWeight: 0.1}
}

// Validate reports the first value out of range or conflict.
func (c Config) Validate() error {
	if err := c.Decoder.Validate(); err != nil {
		return err
	}
	switch {
	case c.Decoder.Dim%12 != 0:
		return fmt.Errorf("model.decoder.dim is %d, want a multiple of 12: four time and twelve grid embeddings share it", c.Decoder.Dim)
	case c.Gate != "input" && c.Gate != "scalar":
		return fmt.Errorf("model.gate is %q, want input or scalar", c.Gate)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return fmt.Errorf("model.dropout is %g, want 0 up to less than 1", c.Dropout)
	case c.Evidence && !c.CopyHead:
		return errors.New("model.evidence is on but model.copy_head is off: evidence enters through the copy head")
	case c.CopyHead && !c.Evidence && !c.Pointer:
		return errors.New("model.copy_head is on with neither evidence nor pointer: nothing tells candidates apart; switch one on")
	case c.HeadHidden < 1 || c.HeadOut < 1:
		return fmt.Errorf("model.head_hidden is %d and head_out %d, want at least 1", c.HeadHidden, c.HeadOut)
	case !(c.StateDropout >= 0 && c.StateDropout <= 1):
		return fmt.Errorf("model.state_dropout is %g, want 0 to 1", c.StateDropout)
	case !(c.GenerateWeight >= 0):
		return fmt.Errorf("model.generate_weight is %g, want 0 or more", c.GenerateWeight)
	}
	return nil
}

// Tables are what the network knows of places besides what it learns.
// Row 0 of each is padding; V = Places+1 rows.
type Tables struct {
	Hier   bool
	Place  []int32 // [V] own output token of a place: inner token + 1 if Hier, else its flat token + 1
	Block  []int32 // [V] block token + 1; empty if flat
	Cats   []int32 // [V, CategoryLevels]
	Cells  []int32 // [V, 12]
	Blocks int     // block tokens + 1
	Tokens int     // inner or flat tokens + 1
	Mean   []float32
	Scale  []float32 // of the evidence features, to standardise them

	Categories, Profiles, Users, Types, GeoTable, Profile int
	Located                                               bool // u carries a location
	Media                                                 int  // width of media vectors; 0: none
}

// Places returns V.
func (t *Tables) Places() int { return len(t.Place) }

// perAction is K.
func (c Config) perAction(t *Tables) int {
	k := 2
	if t.Hier {
		k++
	}
	if c.ActionToken {
		k++
	}
	return k
}
