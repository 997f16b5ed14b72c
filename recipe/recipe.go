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
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/pipeline"
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
}

// Default is the recipe that an empty file means.
func Default() Recipe {
	return Recipe{Name: "whereto", Data: pipeline.Default(), Evidence: evidence.Default(), Batch: batch.Default(),
		Model: spacetime.Default(), Training: training.Defaults(), Recommend: recommend.Default()}
}

// Load reads a recipe file and applies settings of the form path.to.key=value.
func Load(path string, sets []string) (*Recipe, error) {
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
	r, err := Parse(data, sets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Parse reads a recipe over the defaults, applies settings and validates.
func Parse(data []byte, sets []string) (*Recipe, error) {
	r := Default()
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
	for _, v := range []interface{ Validate() error }{r.Data, r.Evidence, r.Batch, r.Model, r.Recommend} {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	if err := r.Training.Check(); err != nil {
		return fmt.Errorf("training: %w", err)
	}
	return nil
}

// Hier reports whether the index is hierarchical.
func (r *Recipe) Hier() bool { return r.Data.Index.Mode == index.Hier }

// Resolved is the whole recipe as YAML, every setting spelled out.
func (r *Recipe) Resolved() ([]byte, error) {
	out, err := yaml.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the resolved recipe: %w", err)
	}
	return out, nil
}
