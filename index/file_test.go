package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/poi"
	"pgregory.net/rapid"
)

// tombstoned is the toy index after a and b closed and one place was added.
func tombstoned(t testing.TB, mode Mode) *Index {
	t.Helper()
	places, _ := toy()
	ix, _, err := mustBuild(t, mode).Update(append(places[2:5:5], poi.Place{ID: "new", Lat: 40.7, Lng: -74}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

func encoded(t testing.TB, ix *Index) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := ix.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(b []byte) (*Index, error) { return Read(bytes.NewReader(b), int64(len(b))) }

// Golden bytes: files of users stay readable. A change here needs a new version.
func TestGoldenBytes(t *testing.T) {
	for _, mode := range []Mode{Hier, Flat, Hash} {
		path := filepath.Join("testdata", string(mode)+".golden.hex")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := encoded(t, tombstoned(t, mode)); !bytes.Equal(got, want) {
			t.Errorf("%s: bytes differ from %s:\n%s", mode, path, hex.Dump(got))
		}
		ix, err := decode(want)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := ix.Lookup("new"); !ok || p != 5 || !ix.Places[0].Closed || ix.Places[0].Name != "Bar" {
			t.Errorf("%s: golden file reads as %v", mode, ix.Places)
		}
	}
}

func sameIndex(a, b *Index) string {
	switch {
	case a.Mode != b.Mode || a.SizeKM != b.SizeKM || len(a.Places) != len(b.Places) || a.NumBlocks() != b.NumBlocks():
		return "shape differs"
	case a.Fingerprint() != b.Fingerprint():
		return "fingerprint differs"
	case a.Trie().Len() != b.Trie().Len():
		return "trie differs"
	}
	for p := range int32(len(a.Places)) {
		ab, ai := a.Token(p)
		bb, bi := b.Token(p)
		ap, aok := a.POI(ab, ai)
		bp, bok := b.POI(bb, bi)
		found, ok := b.Lookup(a.Places[p].ID)
		if a.Places[p] != b.Places[p] || ab != bb || ai != bi || ap != bp || aok != bok || !ok || found != p {
			return "place " + a.Places[p].ID + " differs"
		}
	}
	return ""
}

func TestSaveLoadRoundTrip(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		opt := Options{Mode: rapid.SampledFrom([]Mode{Hier, Flat, Hash}).Draw(rt, "mode"), SizeKM: 5}
		ix, err := Build(drawPlaces(rt), nil, opt)
		if err != nil {
			rt.Fatal(err)
		}
		if ix, _, err = ix.Update(drawPlaces(rt), nil); err != nil {
			rt.Fatal(err)
		}
		path := filepath.Join(dir, "index.bin")
		if err := ix.Save(path); err != nil {
			rt.Fatal(err)
		}
		back, err := Load(path)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := sameIndex(ix, back); diff != "" {
			rt.Fatal(diff)
		}
		// What was loaded must go on as if it had never been saved.
		more := drawPlaces(rt)
		x, _, err1 := ix.Update(more, nil)
		y, _, err2 := back.Update(more, nil)
		if err1 != nil || err2 != nil {
			rt.Fatal(err1, err2)
		}
		if diff := sameIndex(x, y); diff != "" {
			rt.Fatalf("after an update: %s", diff)
		}
	})
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("temporary files left behind: %v", files)
	}
}

// Texts longer than one chunk of the decoder.
func TestLongTextsRoundTrip(t *testing.T) {
	var places []poi.Place
	for i := range 60 {
		c := string(rune('a' + i%26))
		places = append(places, poi.Place{ID: strings.Repeat(c, 1000) + string(rune('0'+i/26)), Name: strings.Repeat(c, 4096), Category: c})
	}
	ix, err := Build(places, nil, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	back, err := decode(encoded(t, ix))
	if err != nil {
		t.Fatal(err)
	}
	if diff := sameIndex(ix, back); diff != "" {
		t.Error(diff)
	}
}

func TestEveryTruncationAndFlipIsNoticed(t *testing.T) {
	for _, mode := range []Mode{Hier, Flat, Hash} {
		good := encoded(t, tombstoned(t, mode))
		for n := range good {
			if _, err := decode(good[:n]); !errors.Is(err, poi.ErrBadInput) {
				t.Fatalf("%s: %d of %d bytes: %v", mode, n, len(good), err)
			}
			bent := bytes.Clone(good)
			bent[n] ^= 1 << (n % 8)
			if _, err := decode(bent); !errors.Is(err, poi.ErrBadInput) {
				t.Fatalf("%s: byte %d flipped: %v", mode, n, err)
			}
		}
		if _, err := decode(append(bytes.Clone(good), 0)); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: a byte too many: %v", mode, err)
		}
	}
}

// seal puts the right checksum under changed bytes, so that what is tested is
// the check behind it.
func seal(b []byte) []byte {
	body := b[:len(b)-sumBytes]
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

func TestDecoderSaysWhatIsWrong(t *testing.T) {
	good := encoded(t, tombstoned(t, Hier))
	flat := encoded(t, tombstoned(t, Flat))
	records := bytes.Index(good, []byte("\x01a\x03Bar"))       // first place
	second := bytes.Index(good, []byte("\x01b\x06Museum")) + 9 // after the texts of b
	tests := []struct {
		name string
		file []byte
		at   int
		put  string
		want string
	}{
		{"another kind", good, 0, "PARQUET1", "not a whereto index"},
		{"newer version", good, 8, "\x02", "version 2, this program reads 1"},
		{"mode", good, 12, "\x07", "mode 7"},
		{"size", good, 16, "\x00\x00\x00\x00\x00\x00\xf0\x7f", "block size +Inf"},
		{"no places", good, 24, "\x00", "0 places"},
		{"too many places", good, 24, "\xff\xff\xff\xff\xff\xff\xff\xff", "allowed 1 to"},
		{"more places than bytes", good, 24, "\x00\x10", "need at least"},
		{"more blocks than bytes", good, 32, "\xff\xff\xff\xff", "need at least"},
		{"block twice", good, 48, string(good[40:48]), "same key"},
		{"block off the grid", good, 40, "\xff\xff\xff\xff", "lacks"},
		{"category twice", good, records - 18, "\x00\x00\x0f", "listed twice"},
		{"id empty", good, records, "\x00", "place"},
		{"id twice", good, bytes.Index(good, []byte("\x01b\x06Mus")) + 1, "a", `places 0 and 1 have the same id "a"`},
		{"long text", good, records, "\xff\x7f", "text of 16383 bytes"},
		{"long number", good, records, strings.Repeat("\xff", 10), "not encoded properly"},
		{"category", good, second, "\x05", "category 5"},
		{"latitude", good, second + 1, "\x00\x00\x00\x00\x00\x00\xf8\x7f", "latitude NaN"},
		{"block token", good, second + 17, "\x09", "tokens (9, 0), there are 2 blocks"},
		{"inner token", good, second + 21, "\x04", "inner token 4 in a block of 2"},
		{"tokens twice", good, second + 21, "\x01", "same tokens (0, 1)"},
		{"flags", good, second + 25, "\x81", "flags 0x81"},
		{"flat with blocks", flat, 32, "\x01", "flat index with 1 blocks"},
		{"flat token", flat, bytes.Index(flat, []byte("Bar")) + 3 + 1 + 16 + 4, "\x01", "place 0 of a flat index has tokens (0, 1)"},
	}
	for _, tt := range tests {
		b := bytes.Clone(tt.file)
		copy(b[tt.at:], tt.put)
		_, err := decode(seal(b))
		if !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	unused := bytes.ReplaceAll(good, []byte("d\x00\x02"), []byte("d\x00\x00"))
	unused = bytes.ReplaceAll(unused, []byte("new\x00\x02"), []byte("new\x00\x00"))
	if _, err := decode(seal(unused)); err == nil || !strings.Contains(err.Error(), "3 categories listed, 2 used") {
		t.Errorf("unused category: %v", err)
	}
	hollow := bytes.Clone(good) // b and d move to block 1, so that block 0 is empty
	copy(hollow[second+17:], "\x01\x00\x00\x00\x04")
	copy(hollow[bytes.Index(hollow, []byte("\x01d\x00\x02"))+4+16:], "\x01\x00\x00\x00\x05")
	if _, err := decode(seal(hollow)); err == nil || !strings.Contains(err.Error(), "block 0 has no place") {
		t.Errorf("empty block: %v", err)
	}
	bent := bytes.Clone(good)
	bent[len(bent)-1] ^= 1
	if _, err := decode(bent); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("bent checksum: %v", err)
	}
}

func TestSaveAndLoadFailures(t *testing.T) {
	dir := t.TempDir()
	ix := mustBuild(t, Hier)
	if err := ix.Save(filepath.Join(dir, "no", "such", "index.bin")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("saving into a missing folder: %v", err)
	}
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := ix.Save(taken); err == nil {
		t.Error("an index replaced a folder")
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("a failed save left files behind: %v", files)
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loading nothing: %v", err)
	}
	if _, err := Load(taken); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("loading a folder: %v", err)
	}
}

type fullDisk struct{ left int }

func (w *fullDisk) Write(b []byte) (int, error) {
	if len(b) > w.left {
		n := w.left
		w.left = 0
		return n, errors.New("no space left on device")
	}
	w.left -= len(b)
	return len(b), nil
}

func TestWritersReportAFullDisk(t *testing.T) {
	ix := mustBuild(t, Hier)
	size := len(encoded(t, ix))
	for _, room := range []int{0, 50, size - 1} {
		if err := ix.Write(&fullDisk{room}); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("room for %d of %d bytes: %v", room, size, err)
		}
		if err := ix.WriteGeoJSON(&fullDisk{room}, Layers{Blocks: true, Places: true}); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("GeoJSON with room for %d bytes: %v", room, err)
		}
	}
}

// Whatever the bytes, the decoder returns an error or an index that encodes to
// exactly those bytes.
func FuzzRead(f *testing.F) {
	for _, mode := range []Mode{Hier, Flat, Hash} {
		b := encoded(f, tombstoned(f, mode))
		f.Add(b[:len(b)-sumBytes])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		file := seal(append(bytes.Clone(body), make([]byte, sumBytes)...))
		ix, err := decode(file)
		if err != nil {
			if !errors.Is(err, poi.ErrBadInput) {
				t.Fatalf("error without a kind: %v", err)
			}
			return
		}
		if !bytes.Equal(encoded(t, ix), file) {
			t.Fatal("encoding what was read gives other bytes")
		}
	})
}
