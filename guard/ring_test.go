package guard

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestRingReadsItsSources(t *testing.T) {
	end := time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	fileToken, fileRec := mint(t, "file", Write)
	fileRec.Scenes, fileRec.Box, fileRec.Expires = []string{"home"}, &Box{1, 2, 3, 4}, &end
	envToken, envRec := mint(t, "env", Read)
	env2Token, env2Rec := mint(t, "env2", Admin)
	storeToken, storeRec := mint(t, "store", Admin)
	asYAML, err := yaml.Marshal(map[string]any{"keys": []Record{fileRec}})
	if err != nil {
		t.Fatal(err)
	}
	asLine, err := json.Marshal(fileRec)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"k.yaml": string(asYAML), "k.jsonl": "\n" + string(asLine) + "\n\n", "k.json": `{"keys":[` + string(asLine) + `]}`} {
		r, err := NewRing(t.Context(), RingOptions{File: write(t, name, text),
			Setting: "env:" + envRec.Hash + ":read, env2:" + env2Rec.Hash + ":admin", Source: &records{list: []Record{storeRec}}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for id, token := range map[string]string{"file": fileToken, "env": envToken, "env2": env2Token, "store": storeToken} {
			key, err := r.Check(apiKey(token))
			if err != nil || key.ID != id {
				t.Errorf("%s: %v, error %v, want key %s", name, key, err, id)
			}
			if id == "file" && (key.Role != Write || len(key.Scenes) != 1 || *key.Box != *fileRec.Box || !key.Expires.Equal(end)) {
				t.Errorf("%s: the key of the file is %+v, %v, %v, %v", name, key, key.Scenes, key.Box, key.Expires)
			}
		}
	}
	empty, err := NewRing(t.Context(), RingOptions{File: write(t, "none.yaml", "")})
	if err != nil || empty.Len() != 0 {
		t.Errorf("an empty file: %v, error %v", empty, err)
	}
}

// lines is a file of records.
func lines(t *testing.T, list ...Record) string {
	t.Helper()
	var b strings.Builder
	for _, rec := range list {
		text, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.String()
}

// A broken file, a missing one, an ID that stands twice or a store that is down leave
// the keys in force as they were.
func TestReloadKeepsTheOldRing(t *testing.T) {
	oldToken, oldRec := mint(t, "app", Read)
	newToken, newRec := mint(t, "new", Read)
	path := write(t, "keys.jsonl", lines(t, oldRec))
	source := &records{}
	r, err := NewRing(t.Context(), RingOptions{File: path, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	down := errors.New("store is down")
	bad := newRec
	bad.Role = "root"
	for _, step := range []struct {
		name, text string
		source     records
		want       error
	}{
		{"half a file", lines(t, newRec)[:40], records{}, ErrRecord},
		{"one bad record after a good one", lines(t, newRec, bad), records{}, ErrRecord},
		{"twice in the file", lines(t, newRec, newRec), records{}, ErrRecord},
		{"in the file and the store", lines(t, newRec), records{list: []Record{newRec}}, ErrRecord},
		{"store down", lines(t, newRec), records{err: down}, down},
	} {
		put(step.text)
		*source = step.source
		if err := r.Reload(t.Context()); !errors.Is(err, step.want) {
			t.Errorf("%s: error %v, want %v", step.name, err, step.want)
		}
		if _, err := r.Check(bearer(oldToken)); err != nil {
			t.Errorf("%s: the old key: %v", step.name, err)
		}
		if _, err := r.Check(bearer(newToken)); !errors.Is(err, ErrBadKey) {
			t.Errorf("%s: the new key: error %v", step.name, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	*source = records{}
	if err := r.Reload(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: error %v", err)
	}
	put(lines(t, newRec))
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Check(bearer(newToken)); err != nil {
		t.Errorf("after the mending: %v", err)
	}
	if _, err := r.Check(bearer(oldToken)); !errors.Is(err, ErrBadKey) {
		t.Errorf("a removed key: error %v", err)
	}
}

func TestFilesRefused(t *testing.T) {
	_, rec := mint(t, "app", Read)
	good := "keys:\n- id: app\n  hash: " + rec.Hash + "\n  role: read\n"
	for name, text := range map[string]string{
		"unknown field":      good + "  colour: red\n",
		"unknown root":       good + "roles: []\n",
		"two documents":      good + "---\n" + good,
		"box upside down":    good + "  box: {south: 2, west: 0, north: 1, east: 0}\n",
		"box off the Earth":  good + "  box: {south: 0, west: 0, north: 91, east: 0}\n",
		"box not a number":   good + "  box: {south: .nan, west: 0, north: 1, east: 0}\n",
		"empty scene":        good + "  scenes: [\"\"]\n",
		"not the file kind":  "id: app",
		"a list at the root": "- id: app\n",
		"too many scenes":    good + "  scenes: [" + strings.Repeat("a, ", maxScenes) + "b]\n",
	} {
		if _, err := NewRing(t.Context(), RingOptions{File: write(t, "k.yaml", text)}); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := NewRing(t.Context(), RingOptions{File: write(t, "k.jsonl", strings.Repeat("x", 2<<20))}); !errors.Is(err, ErrRecord) {
		t.Errorf("long line: error %v", err)
	}
	if _, err := NewRing(t.Context(), RingOptions{File: write(t, "k.yaml", good)}); err != nil {
		t.Errorf("the good file: %v", err)
	}
}

func FuzzParseRecords(f *testing.F) {
	f.Add("keys:\n- {id: a, hash: x, role: read}\n", false)
	f.Add(`{"id":"a","hash":"x","role":"read"}`, true)
	f.Fuzz(func(t *testing.T, text string, lines bool) {
		parse := parseYAML
		if lines {
			parse = parseLines
		}
		list, err := parse([]byte(text))
		if err != nil && !errors.Is(err, ErrRecord) {
			t.Fatalf("error %v does not wrap ErrRecord", err)
		}
		for _, rec := range list {
			if key, err := rec.Key(); err == nil && (key.ID == "" || key.Role == 0) {
				t.Fatalf("%v was taken", key)
			}
		}
	})
}
