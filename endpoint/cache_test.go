package endpoint

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestCache(t *testing.T) {
	dir := t.TempDir()
	c, err := OpenCache(filepath.Join(dir, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	k := KeyOf("chat", "m", "x")
	if _, ok, err := c.Get(k, JSON); ok || err != nil {
		t.Errorf("an empty cache: %v, %v", ok, err)
	}
	for _, v := range []string{`{"a":1}`, `[]`, `"second"`} {
		if err := c.Put(k, JSON, []byte(v)); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := c.Get(k, JSON); string(got) != v || !ok || err != nil {
			t.Errorf("got %s, %v, %v", got, ok, err)
		}
	}
	for kind, v := range map[Kind][]byte{JSON: []byte("{"), Vector: {1, 2, 3}, 'X': []byte("{}")} {
		if err := c.Put(k, kind, v); err == nil {
			t.Errorf("kind %c took %q", kind, v)
		}
	}
	if _, ok, err := c.Get(k, Vector); ok || err != nil || c.Corrupt() != 1 {
		t.Errorf("JSON read as a vector: %v, %v, %d dropped", ok, err, c.Corrupt())
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(filepath.Join(dir, "file", "below")); err == nil {
		t.Error("a cache below a file")
	}
}

// No two lists of parts share a key.
func TestKeyOf(t *testing.T) {
	seen := map[Key]bool{}
	for _, parts := range [][]string{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"a", "b", ""}, {"a", "", "b"}, {"a", "bc"}, {"b", "a"}} {
		k := KeyOf(parts[0], parts[1], parts[2:]...)
		if seen[k] {
			t.Errorf("the key of %q was there before", parts)
		}
		seen[k] = true
	}
}

// Many writers and readers of one entry: a reader sees a whole value or none.
func TestCacheConcurrently(t *testing.T) {
	dir := t.TempDir()
	k := KeyOf("embedding", "m", "x")
	value := encodeVector(slices.Repeat([]float32{1.5}, 100))
	var wg sync.WaitGroup
	for range 4 {
		c, err := OpenCache(dir) // as another process would
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 10 {
				if err := c.Put(k, Vector, value); err != nil {
					t.Error(err)
				}
				if got, ok, err := c.Get(k, Vector); !ok || err != nil || !bytes.Equal(got, value) {
					t.Errorf("read %d bytes, %v, %v", len(got), ok, err)
				}
			}
			if c.Corrupt() != 0 {
				t.Error("a half-written entry was seen")
			}
		})
	}
	wg.Wait()
	if n := cached(t, dir); n != 1 {
		t.Errorf("%d files left, want 1", n)
	}
}

// One changed, missing or added byte anywhere is found.
func TestDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := KeyOf("embedding", "m", rapid.String().Draw(t, "input"))
		v := rapid.SliceOfN(rapid.Float32Range(1, math.MaxFloat32), 1, 20).Draw(t, "vector")
		data := encodeEntry(k, Vector, encodeVector(v))
		got, err := decodeEntry(data, k, Vector)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeVector(got); err != nil || !slices.Equal(back, v) {
			t.Fatalf("%v came back as %v, %v", v, back, err)
		}
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		flipped := slices.Clone(data)
		flipped[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		for what, bad := range map[string][]byte{"flipped": flipped, "cut": data[:at], "longer": append(slices.Clone(data), 0)} {
			if _, err := decodeEntry(bad, k, Vector); err == nil {
				t.Fatalf("%s at %d went unnoticed", what, at)
			}
		}
		if _, err := decodeEntry(data, KeyOf("other", "m"), Vector); err == nil {
			t.Fatal("an entry of another key was taken")
		}
	})
}

// FuzzDecodeEntry: whatever is taken encodes to the same bytes again.
func FuzzDecodeEntry(f *testing.F) {
	k := KeyOf("fuzz", "m")
	f.Add(encodeEntry(k, JSON, []byte(`{"winner":"A"}`)), false)
	f.Add(encodeEntry(k, Vector, encodeVector([]float32{1, -2, 0.5})), true)
	f.Add(encodeEntry(k, Vector, encodeVector([]float32{float32(math.NaN())})), true)
	f.Add(encodeEntry(k, Vector, nil), true)
	f.Add([]byte(cacheMagic), false)
	f.Fuzz(func(t *testing.T, data []byte, vector bool) {
		kind := JSON
		if vector {
			kind = Vector
		}
		value, err := decodeEntry(data, k, kind)
		if err != nil {
			return
		}
		if !bytes.Equal(encodeEntry(k, kind, value), data) {
			t.Error("an entry was taken that we would not write")
		}
		if v, err := decodeVector(value); vector && (err != nil || len(v) == 0) {
			t.Errorf("a vector entry holds %v, %v", v, err)
		}
	})
}
