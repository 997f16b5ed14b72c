package recipes_test

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recipes"
)

// Every shipped recipe is valid, tells its own name and says what it is for.
func TestShippedRecipes(t *testing.T) {
	names := recipes.Names()
	if !slices.Contains(names, "quickstart") || !slices.IsSorted(names) {
		t.Fatalf("names %q lack quickstart or are not in order", names)
	}
	for _, name := range names {
		text, err := recipes.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := recipe.Parse(text, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Name != name {
			t.Errorf("recipe %s calls itself %q; run folders are named after that", name, r.Name)
		}
		if len(r.Data.Paths) > 0 {
			t.Errorf("recipe %s names files of one machine: %q", name, r.Data.Paths)
		}
	}
}

func TestReadFails(t *testing.T) {
	for _, name := range []string{"", "none", "../recipes/quickstart", "quickstart.yaml"} {
		if _, err := recipes.Read(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: got %v, want ErrNotExist", name, err)
		}
	}
}

func TestAbout(t *testing.T) {
	for text, want := range map[string]string{"# One line\n# two\nname: x\n": "One line", "name: x\n": "", "": "", "#": ""} {
		if got := recipes.About([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
