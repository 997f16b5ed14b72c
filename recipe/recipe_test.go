package recipe

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/internal/testkit"
)

// files lists testdata files of a kind and fails if there are none.
func files(t testing.TB, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil || len(list) == 0 {
		t.Fatalf("no file matches %s (%v)", pattern, err)
	}
	return list
}

func TestGoodFiles(t *testing.T) {
	for _, path := range files(t, filepath.Join("testdata", "*.good.yaml")) {
		if _, err := Load(path, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestBadFiles wants the message that the first line of each file quotes.
func TestBadFiles(t *testing.T) {
	for _, path := range files(t, filepath.Join("testdata", "*.bad.yaml")) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(data), "\n")
		want, ok := strings.CutPrefix(head, "# want: ")
		if !ok || want == "" {
			t.Errorf("%s: the first line must be `# want: message`", path)
			continue
		}
		_, err = Load(path, nil)
		switch {
		case err == nil:
			t.Errorf("%s: accepted, want an error with %q", path, want)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s: error %q, want %q in it", path, err, want)
		case !errors.Is(err, ErrRecipe) || !strings.HasPrefix(err.Error(), path):
			t.Errorf("%s: error %q does not wrap ErrRecipe or does not begin with the file", path, err)
		}
	}
}

// TestShippedRecipes loads every recipe of the repository.
func TestShippedRecipes(t *testing.T) {
	for _, path := range files(t, filepath.Join(testkit.ModuleRoot(t), "recipes", "*.yaml")) {
		r, err := Load(path, nil)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if want := strings.TrimSuffix(filepath.Base(path), ".yaml"); r.Name != want {
			t.Errorf("%s is named %q inside, want the file's name", path, r.Name)
		}
	}
}

func TestEmptyFileMeansDefaults(t *testing.T) {
	for _, text := range []string{"", "\n", "# a comment\n", "{}\n"} {
		r, err := Parse([]byte(text), nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := Default(); !reflect.DeepEqual(*r, want) {
			t.Errorf("%q gives %+v, want the defaults", text, r)
		}
	}
}

func TestValuesArrive(t *testing.T) {
	r, err := Load(filepath.Join("testdata", "full.good.yaml"), []string{"training.epochs=5"})
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	for _, c := range []struct{ name, got, want any }{
		{"name", r.Name, "full"}, {"paths", r.Data.Paths, []string{"a.tsv", "b.tsv"}}, {"gap", r.Data.Split.GapHours, 12},
		{"categories", r.Data.Clean.FunctionalCategories, []string{"Home", "Road"}}, {"block", r.Data.Index.SizeKM, 2.5},
		{"hier", r.Hier(), true}, {"past", r.Evidence.MaxPast, 10}, {"window", r.Batch.Window, 16}, {"weight", r.Batch.LastWeight, 6.5},
		{"dim", r.Model.Decoder.Dim, 24}, {"copy", r.Model.CopyHead, false}, {"lr", r.Training.LR, 0.01},
		{"scale", r.Training.LRScale, map[string]float64{"spacetime/place": 0.5, "spacetime/block": 2}},
		{"beam", r.Recommend.Beam.Inners, 4}, {"set wins over the file", r.Training.Epochs, 5},
		{"absent in a section: the default", r.Training.Beta1, d.Training.Beta1}, {"absent in a section of a section", r.Model.Decoder.RopeTheta, d.Model.Decoder.RopeTheta},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%v is %v, want %v", c.name, c.got, c.want)
		}
	}
	if flat, err := Parse(nil, []string{"data.index.mode=" + string(index.Flat)}); err != nil || flat.Hier() {
		t.Errorf("a flat index is called hierarchical, or %v", err)
	}
}

func TestSet(t *testing.T) {
	for _, c := range []struct {
		set  string
		got  func(*Recipe) any
		want any
	}{
		{"name=x y", func(r *Recipe) any { return r.Name }, "x y"},
		{"name=a=b", func(r *Recipe) any { return r.Name }, "a=b"},
		{"training.lr=2e-3", func(r *Recipe) any { return r.Training.LR }, 2e-3},
		{"training.seed=-7", func(r *Recipe) any { return r.Training.Seed }, int64(-7)},
		{"model.copy_head=true", func(r *Recipe) any { return r.Model.CopyHead }, true},
		{"model.decoder.layers=3", func(r *Recipe) any { return r.Model.Decoder.Layers }, 3},
		{"data.paths=[a, b]", func(r *Recipe) any { return r.Data.Paths }, []string{"a", "b"}},
		{"data.paths=[]", func(r *Recipe) any { return r.Data.Paths }, []string{}},
		{"batch={window: 8, chunk: 4}", func(r *Recipe) any { return [2]int{r.Batch.Window, r.Batch.Chunk} }, [2]int{8, 4}},
		{"training.lr_scale={a: 0.5}", func(r *Recipe) any { return r.Training.LRScale }, map[string]float64{"a": 0.5}},
	} {
		r, err := Parse([]byte("data: {paths: [z], format: tsmc}"), []string{c.set})
		if err != nil {
			t.Errorf("--set %s: %v", c.set, err)
		} else if !reflect.DeepEqual(c.got(r), c.want) {
			t.Errorf("--set %s gives %v, want %v", c.set, c.got(r), c.want)
		}
	}
	last, err := Parse(nil, []string{"training.epochs=3", "training.epochs=4"})
	if err != nil || last.Training.Epochs != 4 {
		t.Errorf("the last of two settings does not win (%v)", err)
	}
}

func TestBadSet(t *testing.T) {
	for set, want := range map[string]string{
		"epochs":                     "want path.to.key=value",
		"=3":                         "want path.to.key=value",
		"training.epoch=3":           `unknown key "epoch" in training; nearest is "epochs"`,
		"trainin.epochs=3":           `unknown key "trainin" in the recipe; nearest is "training"`,
		"training.epochs.x=3":        "cannot unmarshal",
		"training..epochs=3":         `unknown key ""`,
		"training.epochs=many":       "cannot unmarshal !!str `many` into int",
		"training.epochs=2.5":        "training.epochs is 2.5, want a whole number",
		"training.epochs=[3]":        "cannot unmarshal !!seq into int",
		"training.epochs=":           "training.epochs has no value",
		"training.epochs=~":          "training.epochs has no value",
		"training.epochs=3\nname: y": "one line",
		"training=3":                 "training must be a section",
		"training.epochs=0":          "epochs is 0",
		"data.paths=[a":              "yaml",
		"model.decoder.dim=13":       "dim 13",
	} {
		_, err := Parse(nil, []string{set})
		if err == nil || !errors.Is(err, ErrRecipe) || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %q: error %v, want ErrRecipe with %q", set, err, want)
		}
	}
}

func TestLoadRefusesWhatIsNoRecipeFile(t *testing.T) {
	long := "# " + strings.Repeat("x", maxBytes) + "\n"
	for _, c := range []struct{ path, want string }{
		{filepath.Join(t.TempDir(), "none.yaml"), "no such file"},
		{t.TempDir(), "want a YAML file"},
		{testkit.WriteFile(t, "long.yaml", long), "at most 1048576 bytes"},
	} {
		if _, err := Load(c.path, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.path, err, c.want)
		}
	}
	if _, err := Load(testkit.WriteFile(t, "limit.yaml", long[:maxBytes]), nil); err != nil {
		t.Errorf("a file of exactly the limit: %v", err)
	}
}

// scramble gives every number, flag, text, list and map below v a random value,
// whether it is valid or not.
func scramble(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "-" {
				scramble(t, v.Field(i))
			}
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint"))
	case reflect.Float64:
		v.SetFloat(rapid.OneOf(rapid.Float64Range(-1e9, 1e9), rapid.SampledFrom([]float64{math.MaxFloat64, 0, 1e-300, 1. / 3, 1e21})).Draw(t, "float"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.String:
		v.SetString(text.Draw(t, "text"))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Int {
			v.Set(reflect.ValueOf(rapid.SliceOfN(rapid.Int(), 0, 3).Draw(t, "numbers")))
			return
		}
		v.Set(reflect.ValueOf(rapid.SliceOfN(text, 0, 3).Draw(t, "list")))
	case reflect.Map:
		v.Set(reflect.ValueOf(rapid.MapOfN(key, rapid.Float64Range(0, 9), 0, 3).Draw(t, "map")))
	default:
		t.Fatalf("no random value for a %s: add one", v.Type())
	}
}

// text has what YAML could take for something else.
var text = rapid.OneOf(rapid.StringN(0, 12, 40), rapid.SampledFrom([]string{"", "~", "null", "true", "yes", "1e3", "0x1", "1:30", "- a", "a: b", "#", "'", "<<", "2024-01-01", ".nan", " x "})).
	Filter(func(s string) bool { return !strings.ContainsAny(s, breaks) })

// key is any text but YAML's merge key, which no quotes turn into a plain one.
var key = text.Filter(func(s string) bool { return s != "<<" })

// TestResolvedReadsBackTheSame: what is stored with a run is what was used, for
// any values; validity is a matter of Parse.
func TestResolvedReadsBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, got := Default(), Default()
		scramble(t, reflect.ValueOf(&want).Elem())
		out, err := want.Resolved()
		if err != nil {
			t.Fatal(err)
		}
		if err := decode(out, &got); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("read back %+v\nwrote     %+v\n%s", got, want, out)
		}
	})
}

func TestResolvedDefaultsAreARecipe(t *testing.T) {
	for _, path := range files(t, filepath.Join("testdata", "*.good.yaml")) {
		a, err := Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		first, err := a.Resolved()
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(first, nil)
		if err != nil {
			t.Fatalf("%s: its resolved recipe: %v", path, err)
		}
		second, err := b.Resolved()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: resolved twice gives\n%s\nand\n%s (%v)", path, first, second, err)
		}
	}
}

// TestNearestName checks the hint for one wrong letter anywhere in a name.
func TestNearestName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"training", "evidence", "recommend", "model", "batch"}).Draw(t, "name")
		at := rapid.IntRange(0, len(name)-1).Draw(t, "at")
		typo := name[:at] + rapid.SampledFrom([]string{"", "x", name[at:at+1] + "x"}).Draw(t, "instead") + name[at+1:]
		_, err := Parse([]byte(typo+": {}"), nil)
		if want := `nearest is "` + name + `"`; err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: error %v, want %s", typo, err, want)
		}
	})
}

// FuzzParse wants an error or a valid recipe, never a panic, of any bytes.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"*.good.yaml", "*.bad.yaml"} {
		for _, path := range files(f, filepath.Join("testdata", pattern)) {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, "training.epochs=3")
		}
	}
	f.Add([]byte("a: &a [*a]\n"), "data.paths=[a, b]")
	f.Add([]byte("data: {paths: &a [*a]}\n"), "x.\"y\"=\x00")
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		r, err := Parse(data, []string{set})
		if err != nil {
			if !errors.Is(err, ErrRecipe) || r != nil {
				t.Fatalf("recipe %v with error %v, want ErrRecipe alone", r, err)
			}
			return
		}
		out, err := r.Resolved()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(out, nil); err != nil {
			t.Fatalf("the resolved recipe of a good one is bad: %v\n%s", err, out)
		}
	})
}

// A recipe of post-training keeps the data, input and network of the run it starts
// from and takes defaults for the rest.
func TestOver(t *testing.T) {
	base, err := Parse([]byte("name: pre\nbatch: {window: 48, chunk: 16}\ntraining: {epochs: 7, lr: 0.5}\nmodel: {time: false}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Over(base, []byte("name: rank\ntune: {stage: rank}\nmodel: {dropout: 0}\n"), []string{"feed.size=3"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "rank" || r.Batch.Window != 48 || r.Model.Time || r.Model.Dropout != 0 || r.Feed.Size != 3 || r.Tune.Stage != "rank" {
		t.Errorf("recipe %+v", r)
	}
	if d := Default(); r.Training.Epochs != d.Training.Epochs || r.Training.LR != d.Training.LR || r.Training.KeepBest != "auc" {
		t.Errorf("training %+v, want the defaults with auc", r.Training)
	}
	if _, err := Over(base, []byte("tune: {stages: rank}\n"), nil); !errors.Is(err, ErrRecipe) || !strings.Contains(err.Error(), `nearest is "stage"`) {
		t.Errorf("unknown key: %v", err)
	}
}
