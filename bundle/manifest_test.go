package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fakeManifest describes a bundle of all roles that lies nowhere.
func fakeManifest() *Manifest {
	m := &Manifest{Format: "whereto-bundle/1", Name: "fake", Runs: map[string]Origin{}}
	add := func(at string) string {
		sum := fmt.Sprintf("%064x", len(m.Parts)+1)
		m.Parts = append(m.Parts, Part{at, int64(len(m.Parts)), sum})
		return sum
	}
	for _, at := range []string{"data/0/log.tsv", "data/1/nyc/actions.parquet", "data/1/nyc/profiles.parquet"} {
		add(at)
	}
	for _, dir := range []string{embedDir, rankDir, runDir} {
		for _, name := range runFiles { // the recipe is the last
			m.Runs[dir] = Origin{Name: dir, RecipeHash: add(path.Join(dir, name)), DataFingerprint: "data-a", IndexFingerprint: "index-a"}
		}
	}
	m.Version, m.Roles = versionOf(m.Parts), rolesOf(m.Runs)
	return m
}

// manifestEdits are what no manifest may say.
var manifestEdits = []struct {
	name string
	edit func(m *Manifest)
	want error
	says string
}{
	{"newer format", func(m *Manifest) { m.Format = "whereto-bundle/2" }, ErrVersion, "whereto-bundle/2"},
	{"another format", func(m *Manifest) { m.Format = "whereto-run/1" }, ErrCorrupt, "whereto-run/1"},
	{"another version", func(m *Manifest) { m.Version = "0123456789ab" }, ErrCorrupt, "0123456789ab"},
	{"up", func(m *Manifest) { m.Parts[0].Path = "../secret" }, ErrCorrupt, "../secret"},
	{"up inside", func(m *Manifest) { m.Parts[0].Path = "data/0/../../x" }, ErrCorrupt, "plain path"},
	{"from the root", func(m *Manifest) { m.Parts[0].Path = "/etc/passwd" }, ErrCorrupt, "/etc/passwd"},
	{"backslash", func(m *Manifest) { m.Parts[0].Path = `data/0/..\x` }, ErrCorrupt, "characters"},
	{"hidden", func(m *Manifest) { m.Parts[0].Path = "data/0/.x" }, ErrCorrupt, "characters"},
	{"drive", func(m *Manifest) { m.Parts[0].Path = "c:/x" }, ErrCorrupt, "characters"},
	{"empty path", func(m *Manifest) { m.Parts[0].Path = "" }, ErrCorrupt, "plain path"},
	{"long path", func(m *Manifest) { m.Parts[0].Path = "data/0/" + strings.Repeat("x", maxPath) }, ErrCorrupt, "plain path"},
	{"twice", func(m *Manifest) { m.Parts[1].Path = m.Parts[0].Path }, ErrCorrupt, "not after"},
	{"out of order", func(m *Manifest) { m.Parts[0], m.Parts[1] = m.Parts[1], m.Parts[0] }, ErrCorrupt, "not after"},
	{"negative size", func(m *Manifest) { m.Parts[0].Bytes = -1 }, ErrCorrupt, "-1 bytes"},
	{"short sum", func(m *Manifest) { m.Parts[0].SHA256 = "ab" }, ErrCorrupt, `"ab"`},
	{"sum in capitals", func(m *Manifest) { m.Parts[0].SHA256 = strings.Repeat("AB", 32) }, ErrCorrupt, "SHA-256"},
	{"part of nothing", func(m *Manifest) { m.Parts[len(m.Parts)-1].Path = "run/zzz" }, ErrCorrupt, "recipe.yaml"},
	{"a part more", func(m *Manifest) { m.Parts = append(m.Parts, Part{"run/zzz", 0, strings.Repeat("0", 64)}) }, ErrCorrupt, "belong to no run"},
	{"the manifest as a part", func(m *Manifest) {
		m.Parts = slices.Insert(m.Parts, 9, Part{"manifest.json", 0, strings.Repeat("0", 64)})
	}, ErrCorrupt, "belong to no run"},
	{"a part less", func(m *Manifest) { m.Parts = m.Parts[:len(m.Parts)-1] }, ErrCorrupt, "no part run/recipe.yaml"},
	{"no run", func(m *Manifest) { delete(m.Runs, "run") }, ErrCorrupt, "no run among runs"},
	{"run without files", func(m *Manifest) { m.Runs["other"] = m.Runs["run"] }, ErrCorrupt, `"other"`},
	{"rank of another index", func(m *Manifest) {
		o := m.Runs["rank"]
		o.IndexFingerprint = "index-b"
		m.Runs["rank"] = o
	}, ErrCorrupt, "another index"},
	{"another recipe", func(m *Manifest) {
		o := m.Runs["run"]
		o.RecipeHash = strings.Repeat("0", 64)
		m.Runs["run"] = o
	}, ErrCorrupt, "recipe.yaml"},
	{"more roles", func(m *Manifest) { m.Roles = append(m.Roles, "plan") }, ErrCorrupt, "plan"},
	{"data from 1", func(m *Manifest) { m.Parts[0].Path = "data/2/x" }, ErrCorrupt, "not after"},
	{"data number with zeros", func(m *Manifest) { m.Parts[0].Path = "data/00/x" }, ErrCorrupt, "not a number"},
	{"two data of a number", func(m *Manifest) { m.Parts[0].Path = "data/1/a" }, ErrCorrupt, "both number 1"},
	{"data without a number", func(m *Manifest) { m.Parts[0].Path = "data/-/a" }, ErrCorrupt, "not a number"},
	{"data too deep", func(m *Manifest) { m.Parts[0].Path = "data/0/a/b/c" }, ErrCorrupt, "form"},
	{"too many parts", func(m *Manifest) { m.Parts = make([]Part, maxParts+1) }, ErrCorrupt, "at most"},
}

// A manifest that was edited together with the files, to lead out of the folder or to
// mix versions, is refused for what it says.
func TestManifestRefuses(t *testing.T) {
	m := fakeManifest()
	for _, tt := range manifestEdits {
		text, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		var edited Manifest
		if err := json.Unmarshal(text, &edited); err != nil {
			t.Fatal(err)
		}
		tt.edit(&edited)
		if tt.name != "another version" {
			edited.Version = versionOf(edited.Parts)
		}
		if text, err = edited.encode(); err != nil {
			t.Fatal(err)
		}
		_, err = decode(text)
		wantError(t, tt.name, err, tt.want, tt.says, ManifestFile)
	}
	for name, text := range map[string]string{"no JSON": "x", "nothing": "", "unknown field": `{"format":"whereto-bundle/1","extra":1}`, "no number": `{"format":"whereto-bundle/x"}`} {
		_, err := decode([]byte(text))
		wantError(t, name, err, ErrCorrupt)
	}
}

// A gap in the numbers of data, which the order of parts lets through.
func TestDataPathsCount(t *testing.T) {
	if _, err := dataPaths([]Part{{Path: "data/1/x"}}); err == nil {
		t.Error("data from 1 was taken")
	}
	got, err := dataPaths([]Part{{Path: "data/0/a"}, {Path: "data/1/b/x"}, {Path: "data/1/b/y"}, {Path: "data/10/k"}, {Path: "data/2/c"}, {Path: "data/3/d"}, {Path: "data/4/e"},
		{Path: "data/5/f"}, {Path: "data/6/g"}, {Path: "data/7/h"}, {Path: "data/8/i"}, {Path: "data/9/j"}, {Path: "run/x"}})
	if want := []string{"data/0/a", "data/1/b", "data/2/c", "data/3/d", "data/4/e", "data/5/f", "data/6/g", "data/7/h", "data/8/i", "data/9/j", "data/10/k"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, error %v; want %v", got, err, want)
	}
}

func TestPlainName(t *testing.T) {
	for name, want := range map[string]string{"log.tsv": "log.tsv", "a b": "a b", ".hidden": "hidden", "..": "data", "/": "-", `a\b:c`: "a-b-c", "星巴克": "星巴克", "x.": "x", "a\nb\xff": "a-b-", "": "data"} {
		got := plainName(name)
		if got != want || plainName(got) != got || checkPath("data/0/"+got) != nil {
			t.Errorf("plainName(%q) = %q, want %q; as a path: %v", name, got, want, checkPath("data/0/"+got))
		}
	}
}

// Golden: version ids are names in logs and on shelves.
func TestVersionNeverChanges(t *testing.T) {
	parts := []Part{{"run/a", 3, strings.Repeat("0f", 32)}, {"run/b", 0, strings.Repeat("e3", 32)}}
	// printf '%s  3  run/a\n%s  0  run/b\n' ... | sha256sum | cut -c1-12
	if got := versionOf(parts); got != "7db66993df7f" {
		t.Errorf("got %s", got)
	}
}

func FuzzManifest(f *testing.F) {
	text, err := fakeManifest().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"whereto-bundle/9"}`))
	f.Add([]byte(`{"format":"whereto-bundle/1","parts":[{"path":"../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decode(text)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("error %v wraps neither sentinel", err)
			}
			return
		}
		for _, p := range m.Parts {
			if !filepath.IsLocal(filepath.FromSlash(p.Path)) {
				t.Fatalf("part %q leads out of the bundle", p.Path)
			}
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(again); err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("written and read again: %+v, error %v; want %+v", back, err, m)
		}
	})
}
