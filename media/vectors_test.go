package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// counter encodes a text as its length and counts the items it was given.
type counter struct {
	name   string
	dim    int
	items  int
	calls  int
	after  func(call int) error // run at the end of each call
	answer func([][]float32) [][]float32
}

func (c *counter) Name() string { return c.name }
func (c *counter) Dim() int     { return c.dim }
func (c *counter) Encode(_ context.Context, items []Item) ([][]float32, error) {
	c.calls++
	c.items += len(items)
	out := make([][]float32, len(items))
	for i, it := range items {
		out[i] = slices.Repeat([]float32{float32(len(it.Text)) + float32(len(it.Image))/1000}, c.dim)
	}
	if c.answer != nil {
		out = c.answer(out)
	}
	if c.after != nil {
		return out, c.after(c.calls)
	}
	return out, nil
}

// catalog makes n places; each tenth has the content of the one before.
func catalog(n int) ([]poi.Place, []poi.Details) {
	places, details := make([]poi.Place, n), make([]poi.Details, n)
	for i := range places {
		j := i
		if i%10 == 9 {
			j = i - 1
		}
		places[i] = poi.Place{ID: fmt.Sprint("p", i), Name: strings.Repeat("x", j%50) + fmt.Sprint(j)}
		details[i] = poi.Details{Reviews: []string{"good"}, Image: []byte{byte(j)}}
	}
	return places, details
}

func wantRows(t *testing.T, m *Matrix, places []poi.Place, details []poi.Details) {
	t.Helper()
	if m.Rows() != len(places) {
		t.Fatalf("%d rows, want %d", m.Rows(), len(places))
	}
	for i := range places {
		want := float32(len(Text(places[i], details[i]))) + float32(len(details[i].Image))/1000
		if r := m.Row(i); len(r) != m.Dim || r[0] != want || r[m.Dim-1] != want {
			t.Fatalf("row %d is %v, want %v", i, r, want)
		}
	}
}

func TestText(t *testing.T) {
	p := poi.Place{ID: "7", Name: " Sea View ", Category: "Food"}
	d := poi.Details{Address: "1 Quay", Tags: []string{"fish", "terrace"}, Reviews: []string{"Hot spring inside!", "", "Fine."}}
	if got, want := Text(p, d), "Sea View\n1 Quay\nfish, terrace\nHot spring inside!\nFine."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Text(poi.Place{ID: "8"}, poi.Details{}); got != "" {
		t.Errorf("a place without text has %q", got)
	}
}

// A run that stops goes on where it was; then nothing is encoded twice, in any order
// of places, and what changes is encoded alone.
func TestVectorsResume(t *testing.T) {
	dir := t.TempDir()
	n := 3*chunk + 100
	places, details := catalog(n)
	distinct := n - n/10
	ctx, cancel := context.WithCancel(context.Background())
	stopped := &counter{name: "c", dim: 3, after: func(call int) error {
		if call == 2 {
			cancel()
		}
		return nil
	}}
	var seen []int
	progress := func(done, total int) {
		if total != n {
			t.Errorf("total %d, want %d", total, n)
		}
		seen = append(seen, done)
	}
	if _, err := Vectors(ctx, stopped, places, details, dir, progress); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped run says %v", err)
	}
	again := &counter{name: "c", dim: 3}
	m, err := Vectors(context.Background(), again, places, details, dir, progress)
	if err != nil {
		t.Fatal(err)
	}
	wantRows(t, m, places, details)
	if stopped.items != 2*chunk || again.items != distinct-2*chunk {
		t.Errorf("%d and %d items encoded, want %d and %d", stopped.items, again.items, 2*chunk, distinct-2*chunk)
	}
	if len(seen) != 3+2 || seen[0] != 0 || seen[3] != seen[2] || seen[len(seen)-1] != n {
		t.Errorf("progress %v", seen)
	}
	slices.Reverse(places)
	slices.Reverse(details)
	details[5].Reviews = append(details[5].Reviews, "a new review")
	third := &counter{name: "c", dim: 3}
	if m, err = Vectors(context.Background(), third, places, details, dir, nil); err != nil || third.items != 1 {
		t.Fatalf("%d items encoded, %v; want the changed one", third.items, err)
	}
	wantRows(t, m, places, details)
	other := &counter{name: "d", dim: 3}
	if _, err = Vectors(context.Background(), other, places[:10], details[:10], dir, nil); err != nil || other.items == 0 {
		t.Errorf("another encoder took the vectors of the first: %d items, %v", other.items, err)
	}
	none := &counter{name: "c", dim: 3}
	if _, err = Vectors(context.Background(), none, places[:10], details[:10], "", nil); err != nil || none.items == 0 {
		t.Errorf("without a folder: %d items, %v", none.items, err)
	}
	if m, err = Vectors(context.Background(), none, nil, nil, dir, nil); err != nil || m.Rows() != 0 {
		t.Errorf("no places: %v", err)
	}
}

// Damaged, foreign and oversized files are dropped and made again.
func TestVectorsDamage(t *testing.T) {
	dir := t.TempDir()
	places, details := catalog(20)
	if _, err := Vectors(context.Background(), &counter{name: "c", dim: 3}, places, details, dir, nil); err != nil {
		t.Fatal(err)
	}
	packed, err := filepath.Glob(filepath.Join(dir, "*", "*"+packEnd))
	if err != nil || len(packed) != 1 {
		t.Fatalf("%v, %v", packed, err)
	}
	data, err := os.ReadFile(packed[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	writeFile(t, packed[0], data)
	foreign := filepath.Join(filepath.Dir(packed[0]), "foreign"+packEnd)
	writeFile(t, foreign, encodePack([]itemKey{{1}}, [][]float32{{1, 2}}, 2))
	enc := &counter{name: "c", dim: 3}
	m, err := Vectors(context.Background(), enc, places, details, dir, nil)
	if err != nil || enc.items != 18 {
		t.Fatalf("%d items encoded, %v; want 18", enc.items, err)
	}
	wantRows(t, m, places, details)
	if _, err := os.Stat(foreign); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of another dimension is still there: %v", err)
	}
}

func TestVectorsRefuse(t *testing.T) {
	places, details := catalog(5)
	dir := t.TempDir()
	broken := errors.New("broken")
	for _, tc := range []struct {
		what string
		enc  *counter
		want error
		says string
	}{
		{"short", &counter{name: "c", dim: 3, answer: func(v [][]float32) [][]float32 { v[2] = v[2][:2]; return v }}, ErrEncoder, "p2"},
		{"NaN", &counter{name: "c", dim: 3, answer: func(v [][]float32) [][]float32 { v[1][2] = float32(math.NaN()); return v }}, ErrEncoder, "number 2 is NaN"},
		{"infinite", &counter{name: "c", dim: 3, answer: func(v [][]float32) [][]float32 { v[1][0] = float32(math.Inf(1)); return v }}, ErrEncoder, "Inf"},
		{"few", &counter{name: "c", dim: 3, answer: func(v [][]float32) [][]float32 { return v[1:] }}, ErrEncoder, "4 vectors for 5"},
		{"no dimension", &counter{name: "c"}, ErrEncoder, "dimension 0"},
		{"failing", &counter{name: "c", dim: 3, after: func(int) error { return broken }}, broken, "0 of 5 done"},
		{"one bad image", &counter{name: "c", dim: 3, after: func(int) error { return &itemError{3, broken} }}, broken, "place p3"},
	} {
		if _, err := Vectors(context.Background(), tc.enc, places, details, dir, nil); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want one that says %q", tc.what, err, tc.says)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", "*")); err != nil || len(left) != 0 {
		t.Errorf("wrong vectors were kept: %v, %v", left, err)
	}
	if _, err := Vectors(context.Background(), &counter{name: "c", dim: 3}, places, details[:4], dir, nil); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("4 details of 5 places: %v", err)
	}
}

// Two processes that encode the same catalog at once do not disturb each other.
func TestVectorsTogether(t *testing.T) {
	dir := t.TempDir()
	places, details := catalog(chunk + 10)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			m, err := Vectors(context.Background(), &counter{name: "c", dim: 2}, places, details, dir, nil)
			if err != nil {
				t.Error(err)
				return
			}
			wantRows(t, m, places, details)
		})
	}
	wg.Wait()
}

func TestPackProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.IntRange(1, 6).Draw(t, "dim")
		n := rapid.IntRange(0, 5).Draw(t, "count")
		keys, vectors := make([]itemKey, n), make([][]float32, n)
		for i := range keys {
			keys[i] = keyOf("e", Item{Text: fmt.Sprint(i)})
			vectors[i] = rapid.SliceOfN(rapid.Float32(), dim, dim).Draw(t, "vector")
		}
		data := encodePack(keys, vectors, dim)
		got := map[itemKey][]float32{}
		if err := decodePack(data, dim, func(k itemKey, v []float32) { got[k] = slices.Clone(v) }); err != nil || len(got) != n {
			t.Fatalf("%d of %d vectors, %v", len(got), n, err)
		}
		for i, k := range keys {
			if !slices.Equal(got[k], vectors[i]) {
				t.Fatalf("vector %d is %v, want %v", i, got[k], vectors[i])
			}
		}
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[at] ^= 1
		refuse := func(itemKey, []float32) { t.Fatal("a vector of a damaged file was given away") }
		if decodePack(data, dim, refuse) == nil || decodePack(data[:at], dim, refuse) == nil {
			t.Fatalf("damage at %d went unnoticed", at)
		}
	})
}

// FuzzDecodePack: whatever is taken encodes to the same bytes again.
func FuzzDecodePack(f *testing.F) {
	f.Add(encodePack([]itemKey{{1}, {2}}, [][]float32{{1, 2}, {3, 4}}, 2))
	f.Add(encodePack([]itemKey{{1}}, [][]float32{{1, float32(math.NaN())}}, 2))
	f.Add(encodePack(nil, nil, 2))
	f.Add([]byte(packMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		var keys []itemKey
		var vectors [][]float32
		err := decodePack(data, 2, func(k itemKey, v []float32) {
			keys, vectors = append(keys, k), append(vectors, slices.Clone(v))
		})
		if err == nil && !bytes.Equal(encodePack(keys, vectors, 2), data) {
			t.Error("a pack was taken that we would not write")
		}
		if err != nil && len(keys) > 0 {
			t.Error("vectors of a bad pack were given away")
		}
	})
}

// Columns are centred and get one spread, at which rows have length one on average;
// what never varies says nothing.
func TestStandardize(t *testing.T) {
	m := &Matrix{Dim: 3, Data: []float32{1, 5, 0.1, 3, 5, 0.3, 5, 5, 0.2, 7, 5, 0.2}}
	m.Standardize()
	a, b := float32(1/math.Sqrt(5*3)), float32(math.Sqrt(2.0/3)) // deviations are sqrt 5 and sqrt 0.005
	want := []float32{-3 * a, 0, -b, -a, 0, b, a, 0, 0, 3 * a, 0, 0}
	for i, x := range m.Data {
		if math.Abs(float64(x-want[i])) > 1e-5 {
			t.Fatalf("%v, want %v", m.Data, want)
		}
	}
}

// Of a group's mean, drawn towards zero as by two rows of zeros, each row loses the
// same; other groups do not matter.
func TestRelative(t *testing.T) {
	m := &Matrix{Dim: 2, Data: []float32{4, 0, 3, 9, 8, 2}}
	Relative(m, []string{"bar", "spa", "bar"})
	want := []float32{4 - 3, -0.5, 3 - 1, 9 - 3, 8 - 3, 2 - 0.5} // (4+8)/(2+2), (0+2)/4; 3/(1+2), 9/3
	if !slices.Equal(m.Data, want) {
		t.Errorf("%v, want %v", m.Data, want)
	}
}

// A place that says something else is seen as the others are: nothing changes if it
// says the same, and what changes is scaled like the rest.
func TestInstead(t *testing.T) {
	raw := []float32{1, 5, 0, 3, 5, 4, 5, 5, 2, 8, 5, 1}
	m := &Matrix{Dim: 3, Data: slices.Clone(raw)}
	plain := m.Instead(1, raw[3:6], []float32{4, 6, 4})
	if want := []float32{4, 6, 4}; !slices.Equal(plain, want) {
		t.Errorf("as encoded: %v, want %v", plain, want)
	}
	Relative(m, []int{1, 1, 2, 2})
	m.Standardize()
	if same := m.Instead(1, raw[3:6], raw[3:6]); !slices.Equal(same, m.Row(1)) {
		t.Errorf("the same words give %v, the row is %v", same, m.Row(1))
	}
	// Rows 2 and 3 share a group: what tells them apart is their own alone.
	got := m.Instead(2, raw[6:9], raw[9:12])
	for c := range 3 {
		if math.Abs(float64(got[c]-m.Row(3)[c])) > 1e-6 {
			t.Errorf("with the words of row 3 row 2 is %v, want %v", got, m.Row(3))
		}
	}
	if got[1] != 0 {
		t.Errorf("a column that never varies says %v", got[1])
	}
}
