// Package recipe is the one typed tree of all settings of a training run, read
// from YAML strictly: an unknown key or a wrong type is an error with its line
// and the nearest name, never a silent default. Defaults stand in one place, the
// Default functions of the packages that own them. The resolved recipe, every
// setting spelled out, is stored with the run.
package recipe

import (
	"errors"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/media"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/ranker"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/training"
)

// ErrRecipe is wrapped by every error of this package.
var ErrRecipe = errors.New("bad recipe")

// maxBytes bounds a recipe file.
const maxBytes = 1 << 20

// Recipe is everything that decides a training run.
type Recipe struct {
	Name      string           `yaml:"name"`
	Data      pipeline.Config  `yaml:"data"`
	Evidence  evidence.Config  `yaml:"evidence"`
	Batch     batch.Config     `yaml:"batch"`
	Model     spacetime.Config `yaml:"model"`
	Training  training.Config  `yaml:"training"`
	Recommend recommend.Config `yaml:"recommend"`
	Measure   Measure          `yaml:"measure"`

	// Of post-training (package tune); pre-training reads none of these.
	Feed        batch.FeedConfig     `yaml:"feed"`
	Tune        spacetime.TuneConfig `yaml:"tune"`
	Media       media.Config         `yaml:"media"`
	Preferences Preferences          `yaml:"preferences"`
	Ranker      ranker.Config        `yaml:"ranker"`
}

// Measure bounds how many targets are measured, evenly spaced; 0 is all of them.
type Measure struct {
	Validation int `yaml:"validation"` // to choose an epoch
	Test       int `yaml:"test"`       // by eval, on either part
}

// Validate reports the first value out of range.
func (m Measure) Validate() error {
	if m.Validation < 0 || m.Test < 0 {
		return fmt.Errorf("measure.validation is %d and measure.test %d, want 0 or more rows", m.Validation, m.Test)
	}
	return nil
}

// Preferences says what alignment learns from (paper section 3.2.3).
type Preferences struct {
	Positives int `yaml:"positives"` // most clicked places of a request
	Negatives int `yaml:"negatives"` // most places shown and not clicked
	// Rules is a file of targeted preferences (docs/format/rules.md); empty: none.
	Rules string `yaml:"rules"`
	// Targets is how many samples to make from the rules, anchors included.
	Targets int `yaml:"targets"`
	// Feed is how much the ordinary pairs weigh beside those of the rules; 0 leaves
	// them out.
	Feed float64 `yaml:"feed"`
}

// Validate reports the first value out of range.
func (p Preferences) Validate() error {
	switch {
	case p.Positives < 1 || p.Positives > 512:
		return fmt.Errorf("preferences.positives is %d, want 1 to 512", p.Positives)
	case p.Negatives < 1 || p.Negatives > 512:
		return fmt.Errorf("preferences.negatives is %d, want 1 to 512", p.Negatives)
	case p.Targets < 1 || p.Targets > 10_000_000:
		return fmt.Errorf("preferences.targets is %d, want 1 to 10 million", p.Targets)
	case !(p.Feed >= 0 && p.Feed <= 1000):
		return fmt.Errorf("preferences.feed is %g, want 0 to 1000", p.Feed)
	case p.Feed == 0 && p.Rules == "":
		return errors.New("preferences.feed is 0 and there are no rules: nothing to learn from")
	}
	return nil
}

// Default is the recipe that an empty file means.
func Default() Recipe {
	return Recipe{Name: "whereto", Data: pipeline.Default(), Evidence: evidence.Default(), Batch: batch.Default(),
		Model: spacetime.Default(), Training: training.Defaults(), Recommend: recommend.Default(),
		Feed: batch.DefaultFeed(), Tune: spacetime.DefaultTune(), Media: noMedia(),
		Preferences: Preferences{Positives: 4, Negatives: 8, Targets: 4000, Feed: 1}, Ranker: ranker.Default()}
}

// noMedia leaves text and images out unless a recipe asks for them.
func noMedia() media.Config {
	c := media.Default()
	c.Kind = media.None
	return c
}

// Load reads a recipe file and applies settings of the form path.to.key=value.
func Load(path string, sets []string) (*Recipe, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	r, err := Parse(data, sets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Read returns the text of a recipe file, which Parse and Over take.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	if info.IsDir() || info.Size() > maxBytes {
		return nil, fmt.Errorf("recipe %s: %w: want a YAML file of at most %d bytes", path, ErrRecipe, maxBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	return data, nil
}

// Parse reads a recipe over the defaults, applies settings and validates.
func Parse(data []byte, sets []string) (*Recipe, error) { return over(Default(), data, sets) }

// Over reads a recipe of post-training: what it leaves out of the data, the input
// and the network is as in the run it starts from, everything else the default.
func Over(from *Recipe, data []byte, sets []string) (*Recipe, error) {
	r := Default()
	r.Data, r.Evidence, r.Batch, r.Model, r.Recommend, r.Measure = from.Data, from.Evidence, from.Batch, from.Model, from.Recommend, from.Measure
	r.Training.KeepBest = "auc" // what every stage measures on validation
	return over(r, data, sets)
}

func over(r Recipe, data []byte, sets []string) (*Recipe, error) {
	if err := decode(data, &r); err != nil {
		return nil, err
	}
	for _, s := range sets {
		if err := set(&r, s); err != nil {
			return nil, err
		}
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	return &r, nil
}

// Validate checks every part and what must agree between parts.
func (r *Recipe) Validate() error {
	for _, v := range []interface{ Validate() error }{r.Data, r.Evidence, r.Batch, r.Model, r.Recommend, r.Measure, r.Feed, r.Tune, r.Media, r.Preferences, r.Ranker} {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	if err := r.Training.Check(); err != nil {
		return fmt.Errorf("training: %w", err)
	}
	return nil
}

// Hier reports whether a place is two tokens, block and inner.
func (r *Recipe) Hier() bool { return r.Data.Index.Mode.Hierarchical() }

// Resolved is the whole recipe as YAML, every setting spelled out.
func (r *Recipe) Resolved() ([]byte, error) {
	out, err := yaml.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the resolved recipe: %w", err)
	}
	return out, nil
}
