package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// The first 16 digits of `printf a | sha256sum` and so on: an index must mean the
// same on every machine and in every version.
var toyHashes = map[string]uint64{
	"a": 0xca978112ca1bbdca, "b": 0x3e23e8160039594a, "c": 0x2e7d2c03a9507ae2,
	"d": 0x18ac3e7343f01689, "e": 0x3f79bb7b435b0532, "new": 0x11507a0e2f5e69d5,
}

func TestHashByHand(t *testing.T) {
	for id, want := range toyHashes {
		if got := idHash(id); got != want {
			t.Errorf("hash of %s is %x, want %x", id, got, want)
		}
	}
	// In order of hash: d c | b e a, cut at 5*1/2 = 2 for the grid's two blocks.
	ix := mustBuild(t, Hash)
	for id, want := range map[string][2]int32{"d": {0, 0}, "c": {0, 1}, "b": {1, 0}, "e": {1, 1}, "a": {1, 2}} {
		p, _ := ix.Lookup(id)
		b, inner := ix.Token(p)
		if back, ok := ix.POI(b, inner); [2]int32{b, inner} != want || !ok || back != p {
			t.Errorf("%s has tokens (%d, %d), want %v; they lead to %d, %v", id, b, inner, want, back, ok)
		}
	}
	if ix.NumBlocks() != 2 || ix.MaxInner() != 3 || ix.Vocabulary() != 5 || ix.SizeKM != 5 {
		t.Errorf("blocks %d, inner %d, vocabulary %d, size %v", ix.NumBlocks(), ix.MaxInner(), ix.Vocabulary(), ix.SizeKM)
	}
	if _, ok := ix.BlockAt(40.7, -74); ok || ix.BlockID(0) != -1 {
		t.Error("a hash block lies somewhere")
	}
	// A new place below the first cut goes behind the places that are there.
	next := tombstoned(t, Hash)
	if b, inner := next.Token(5); b != 0 || inner != 2 || next.NumBlocks() != 2 {
		t.Errorf("new place: tokens (%d, %d) in %d blocks, want (0, 2) in 2", b, inner, next.NumBlocks())
	}
}

func TestModesOfTheNetwork(t *testing.T) {
	if !Hier.Hierarchical() || !Hash.Hierarchical() || Flat.Hierarchical() {
		t.Error("hier and hash have two tokens a place, flat has one")
	}
	if err := (Options{Mode: Hash, SizeKM: -1}).Validate(); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("hash over a grid of -1 km: %v", err)
	}
}

// As many blocks as the grid, equally full, and nothing of visits or of the order
// of rows in the tokens.
func TestHashSpreadsEvenly(t *testing.T) {
	places, visits := Synthetic(4000, 5)
	geographic, err1 := Build(slices.Clone(places), visits, DefaultOptions())
	opt := Options{Mode: Hash, SizeKM: 5}
	ix, err2 := Build(slices.Clone(places), visits, opt)
	slices.Reverse(places)
	mirror, err3 := Build(places, nil, opt)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if ix.NumBlocks() != geographic.NumBlocks() {
		t.Errorf("%d blocks, the grid has %d", ix.NumBlocks(), geographic.NumBlocks())
	}
	s := ix.Stats()
	if s.Occupancy.Max-s.Occupancy.Min > 1 || s.EmptyBlocks != 0 {
		t.Errorf("occupancy %+v", s.Occupancy)
	}
	for p := range int32(len(places)) {
		q, _ := mirror.Lookup(ix.Places[p].ID)
		b, inner := ix.Token(p)
		if c, other := mirror.Token(q); b != c || inner != other {
			t.Fatalf("%s has tokens (%d, %d), and (%d, %d) in another order of rows", ix.Places[p].ID, b, inner, c, other)
		}
	}
}

// Ranges hold every hash, are never empty at the first build and keep equal hashes
// together.
func TestCutHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hashes := rapid.SliceOfN(rapid.OneOf(rapid.Uint64Range(0, 4), rapid.Uint64Range(math.MaxUint64-3, math.MaxUint64), rapid.Uint64()), 1, 30).Draw(t, "hashes")
		n := rapid.IntRange(1, len(hashes)).Draw(t, "n")
		cuts := cutHashes(hashes, n)
		if cuts[0] != 0 || len(cuts) > n || !slices.IsSorted(cuts) || len(slices.Compact(slices.Clone(cuts))) != len(cuts) {
			t.Fatalf("cuts %v for %d ranges", cuts, n)
		}
		full := make([]int, len(cuts))
		for _, h := range hashes {
			b := hashBlock(cuts, h)
			if h < cuts[b] || int(b)+1 < len(cuts) && h >= cuts[b+1] {
				t.Fatalf("hash %d is in range %d of %v", h, b, cuts)
			}
			full[b]++
		}
		if slices.Contains(full, 0) {
			t.Fatalf("an empty range: %v in %v", full, cuts)
		}
		distinct := slices.Clone(hashes)
		slices.Sort(distinct)
		if len(slices.Compact(distinct)) == len(hashes) && (len(cuts) != n || slices.Max(full)-slices.Min(full) > 1) {
			t.Fatalf("%d hashes fall %v into %d ranges", len(hashes), full, n)
		}
	})
}

func TestHashFileSaysWhatIsWrong(t *testing.T) {
	good := encoded(t, tombstoned(t, Hash))
	a := bytes.Index(good, []byte("\x01a\x03Bar")) + 7 + 16 // block token of a
	for _, tt := range []struct {
		name string
		at   int
		put  []byte
		want string
	}{
		{"no blocks", 32, []byte{0}, "without blocks"},
		{"first range", 40, []byte{1}, "begins at 1, not 0"},
		{"order", 48, make([]byte, 8), "range 1 of hashes begins at 0"},
		{"cut moved", 48, binary.LittleEndian.AppendUint64(nil, math.MaxUint64), `"a": block 1, its hash is of block 0`},
		{"block", a, []byte{0}, `"a": block 0, its hash is of block 1`},
		{"block token", a, []byte{7}, "there are 2 blocks"},
	} {
		b := bytes.Clone(good)
		copy(b[tt.at:], tt.put)
		if _, err := decode(seal(b)); !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestShowAndExportOfHash(t *testing.T) {
	ix := tombstoned(t, Hash)
	s := ix.Stats()
	if s.Blocks != 2 || s.Places != 4 || s.BlockKM != 5 || s.WidthKM != (Spread{}) || s.HeightKM != (Spread{}) {
		t.Errorf("%+v", s)
	}
	var b strings.Builder
	if err := s.WriteText(&b); err != nil || !strings.Contains(b.String(), "not places") || strings.Contains(b.String(), "width") {
		t.Errorf("%v:\n%s", err, b.String())
	}
	var out bytes.Buffer
	if err := ix.WriteGeoJSON(&out, Layers{Blocks: true, Places: true}); err != nil || bytes.Contains(out.Bytes(), []byte("Polygon")) || bytes.Count(out.Bytes(), []byte(`"Point"`)) != 4 {
		t.Errorf("%v:\n%s", err, out.String())
	}
	if err := ix.WriteGeoJSON(&out, Layers{Blocks: true}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("blocks alone: %v", err)
	}
}
