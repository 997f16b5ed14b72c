package vector

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/whereto/whereto/poi"
)

func TestSaveAndLoad(t *testing.T) {
	for _, ext := range []string{ExtParquet, ExtSafetensors, ".SafeTensors"} {
		for _, positions := range []bool{false, true} {
			want := testSet(1, 600, 7, positions) // more than two Parquet batches
			path := filepath.Join(t.TempDir(), "v"+ext)
			for range 2 { // the second time over the first
				if err := want.Save(path); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			equalSets(t, got, want)
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
}

func TestSaveFails(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "v.parquet")
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad := testSet(1, 3, 2, false)
	bad.Data[3] = float32(math.NaN())
	if err := bad.Save(old); !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), "row 1 (é1)") {
		t.Errorf("NaN: %v", err)
	}
	if text, _ := os.ReadFile(old); string(text) != "old" {
		t.Errorf("the old file is now %q", text)
	}
	good := testSet(1, 3, 2, false)
	if err := good.Save(filepath.Join(dir, "v.npy")); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("ending: %v", err)
	}
	if err := good.Save(filepath.Join(dir, "none", "v.parquet")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none.parquet")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "v.npy")); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("ending: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d.parquet"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "d.parquet")); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("folder: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(s *Set){
		"dimension":     func(s *Set) { s.Dim = 0 },
		"count":         func(s *Set) { s.Data = s.Data[1:] },
		"twice":         func(s *Set) { s.IDs[2] = s.IDs[0] },
		"empty id":      func(s *Set) { s.IDs[1] = "" },
		"long id":       func(s *Set) { s.IDs[1] = strings.Repeat("x", MaxID+1) },
		"not UTF-8":     func(s *Set) { s.IDs[1] = "\xff" },
		"NUL":           func(s *Set) { s.IDs[1] = "a\x00b" },
		"infinite":      func(s *Set) { s.Data[0] = float32(math.Inf(-1)) },
		"large":         func(s *Set) { s.Data[0] = 2e15 },
		"lat alone":     func(s *Set) { s.Lng = nil },
		"few positions": func(s *Set) { s.Lat = s.Lat[1:] },
		"off the Earth": func(s *Set) { s.Lat[0] = 91 },
		"NaN longitude": func(s *Set) { s.Lng[0] = math.NaN() },
	} {
		s := testSet(2, 3, 2, true)
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		change(s)
		if err := s.Validate(); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&Set{Dim: 1}).Validate(); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no rows: %v", err)
	}
}

// golden is the set a=(1, -2), bc=(0.5, 0) at (10, 20) and (-30, 180), as any
// safetensors reader reads it.
const goldenHeader = `{"__metadata__":{"format":"whereto-vectors","version":"1"},` +
	`"id_ends":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},` +
	`"lat":{"dtype":"F64","shape":[2],"data_offsets":[16,32]},` +
	`"lng":{"dtype":"F64","shape":[2],"data_offsets":[32,48]},` +
	`"vectors":{"dtype":"F32","shape":[2,2],"data_offsets":[48,64]},` +
	`"ids":{"dtype":"U8","shape":[3],"data_offsets":[64,67]}}`

const goldenData = "0100000000000000" + "0300000000000000" + // ends
	"0000000000002440" + "0000000000003ec0" + "0000000000003440" + "0000000000806640" + // 10 -30 20 180
	"0000803f" + "000000c0" + "0000003f" + "00000000" + "616263"

func goldenFile(t testing.TB, header string) []byte {
	data, err := hex.DecodeString(goldenData)
	if err != nil {
		t.Fatal(err)
	}
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	file := append([]byte{byte(len(header)), byte(len(header) >> 8), 0, 0, 0, 0, 0, 0}, header...)
	return append(file, data...)
}

func TestSafetensorsGolden(t *testing.T) {
	want := &Set{IDs: []string{"a", "bc"}, Dim: 2, Data: []float32{1, -2, .5, 0}, Lat: []float64{10, -30}, Lng: []float64{20, 180}}
	file := goldenFile(t, goldenHeader)
	var out bytes.Buffer
	if err := want.WriteSafetensors(&out); err != nil || !bytes.Equal(out.Bytes(), file) {
		t.Fatalf("%v\n%q\nwant\n%q", err, out.Bytes(), file)
	}
	got, err := ReadSafetensors(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	equalSets(t, got, want)
}

func TestSafetensorsRefuses(t *testing.T) {
	replace := func(old, with string) []byte {
		header := strings.Replace(goldenHeader, old, with, 1)
		if header == goldenHeader {
			t.Fatalf("%q is not in the header", old)
		}
		return goldenFile(t, header)
	}
	good := goldenFile(t, goldenHeader)
	swap := func(at int, b byte) []byte { c := bytes.Clone(good); c[at] = b; return c }
	for name, file := range map[string][]byte{
		"nothing":          nil,
		"seven bytes":      good[:7],
		"cut header":       good[:50],
		"cut data":         good[:len(good)-1],
		"more data":        append(bytes.Clone(good), 0),
		"huge header":      swap(6, 1),
		"not JSON":         swap(8, 'x'),
		"version":          replace(`"version":"1"`, `"version":"2"`),
		"no metadata":      replace(`"__metadata__"`, `"__meta__"`),
		"another type":     replace(`"F32"`, `"I32"`),
		"unknown type":     replace(`"F32"`, `"BF16"`),
		"negative shape":   replace(`[2,2]`, `[-2,-2]`),
		"overflowing":      replace(`[2,2]`, `[4611686018427387904,4]`),
		"one axis":         replace(`[2,2]`, `[4]`),
		"no rows":          replace(`[2,2]`, `[0,2]`),
		"offsets overlap":  replace(`[32,48]`, `[16,32]`),
		"missing":          replace(`"lng"`, `"long"`),
		"fewer ends":       replace(`"shape":[2],"data_offsets":[0,16]`, `"shape":[1],"data_offsets":[0,16]`),
		"fewer id bytes":   replace(`[3],"data_offsets":[64,67]`, `[2],"data_offsets":[64,66]`),
		"ends go back":     swap(len(good)-67, 3),
		"empty id":         swap(len(good)-67, 0),
		"last end":         swap(len(good)-59, 2),
		"latitude of 1e30": swap(len(good)-67+16+7, 0x46),
	} {
		if s, err := ReadSafetensors(bytes.NewReader(file), int64(len(file))); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	// A file that shrank after its size was read.
	if _, err := ReadSafetensors(bytes.NewReader(good[:len(good)-30]), int64(len(good))); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("shrunk: %v", err)
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(goldenFile(f, goldenHeader))
	var out bytes.Buffer
	if err := testSet(3, 2, 3, false).WriteSafetensors(&out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := ReadSafetensors(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := s.WriteSafetensors(&again); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := ReadSafetensors(bytes.NewReader(again.Bytes()), int64(again.Len()))
		if err != nil {
			t.Fatal(err)
		}
		equalSets(t, back, s)
	})
}

// Opening a Zstandard writer costs milliseconds: shapes at the edges, not drawn ones.
func TestFormatsAgree(t *testing.T) {
	for _, n := range []int{1, 2, parquetBatch, parquetBatch + 1} {
		for _, dim := range []int{1, 33} {
			want := testSet(uint64(n*dim), n, dim, dim > 1)
			var a, b bytes.Buffer
			if err := errors.Join(want.WriteParquet(&a), want.WriteSafetensors(&b)); err != nil {
				t.Fatal(err)
			}
			got, err := ReadParquet(bytes.NewReader(a.Bytes()), int64(a.Len()))
			if err != nil {
				t.Fatal(err)
			}
			equalSets(t, got, want)
			if got, err = ReadSafetensors(&b, int64(b.Len())); err != nil {
				t.Fatal(err)
			}
			equalSets(t, got, want)
		}
	}
}

// foreign is how other tools may write the same: everything optional, doubles, more
// columns, another order.
type foreign struct {
	Extra  string     `parquet:"extra"`
	Vector []*float64 `parquet:"vector,list,optional"`
	Lng    *float64   `parquet:"lng,optional"`
	Lat    *float64   `parquet:"lat,optional"`
	ID     *string    `parquet:"id,optional"`
}

func TestParquetOfOthers(t *testing.T) {
	file := func(change func(rows []foreign)) []byte {
		rows := []foreign{
			{ID: new("a"), Vector: []*float64{new(1.0), new(2.0)}, Lat: new(1.0), Lng: new(2.0)},
			{ID: new("b"), Vector: []*float64{new(3.0), new(-4.5)}, Lat: new(3.0), Lng: new(4.0)},
		}
		change(rows)
		var out bytes.Buffer
		if err := parquet.Write(&out, rows); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	read := func(b []byte) (*Set, error) { return ReadParquet(bytes.NewReader(b), int64(len(b))) }
	got, err := read(file(func([]foreign) {}))
	if err != nil {
		t.Fatal(err)
	}
	equalSets(t, got, &Set{IDs: []string{"a", "b"}, Dim: 2, Data: []float32{1, 2, 3, -4.5}, Lat: []float64{1, 3}, Lng: []float64{2, 4}})
	got, err = read(file(func(r []foreign) { r[0].Lat, r[0].Lng, r[1].Lat, r[1].Lng = nil, nil, nil, nil }))
	if err != nil || got.HasPositions() {
		t.Errorf("only null positions: %+v, %v", got, err)
	}
	for name, change := range map[string]func(r []foreign){
		"null id":        func(r []foreign) { r[1].ID = nil },
		"null number":    func(r []foreign) { r[1].Vector[0] = nil },
		"null vector":    func(r []foreign) { r[1].Vector = nil },
		"short vector":   func(r []foreign) { r[1].Vector = r[1].Vector[:1] },
		"null latitude":  func(r []foreign) { r[1].Lat = nil },
		"late position":  func(r []foreign) { r[0].Lat, r[0].Lng = nil, nil },
		"no last point":  func(r []foreign) { r[1].Lat, r[1].Lng = nil, nil },
		"too large":      func(r []foreign) { r[1].Vector[1] = new(1e300) },
		"twice":          func(r []foreign) { r[1].ID = r[0].ID },
		"wide longitude": func(r []foreign) { r[1].Lng = new(200.0) },
	} {
		if _, err := read(file(change)); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParquetSchemaRefused(t *testing.T) {
	write := func(rows any, run func(io.Writer) error) []byte {
		var out bytes.Buffer
		if err := run(&out); err != nil {
			t.Fatalf("%T: %v", rows, err)
		}
		return out.Bytes()
	}
	type noVector struct {
		ID string `parquet:"id"`
	}
	type plain struct {
		ID     string  `parquet:"id"`
		Vector float32 `parquet:"vector"`
	}
	type whole struct {
		ID     string  `parquet:"id"`
		Vector []int64 `parquet:"vector,list"`
	}
	type halfPlace struct {
		ID     string    `parquet:"id"`
		Lat    float64   `parquet:"lat"`
		Vector []float32 `parquet:"vector,list"`
	}
	type numbered struct {
		ID     int64     `parquet:"id"`
		Vector []float32 `parquet:"vector,list"`
	}
	for _, b := range [][]byte{
		write(noVector{}, func(w io.Writer) error { return parquet.Write(w, []noVector{{"a"}}) }),
		write(plain{}, func(w io.Writer) error { return parquet.Write(w, []plain{{"a", 1}}) }),
		write(whole{}, func(w io.Writer) error { return parquet.Write(w, []whole{{"a", []int64{1}}}) }),
		write(halfPlace{}, func(w io.Writer) error { return parquet.Write(w, []halfPlace{{"a", 1, []float32{1}}}) }),
		write(numbered{}, func(w io.Writer) error { return parquet.Write(w, []numbered{{1, []float32{1}}}) }),
	} {
		if _, err := ReadParquet(bytes.NewReader(b), int64(len(b))); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%v", err)
		}
	}
}

// A damaged or cut Parquet file gives an error or a valid set, never a panic.
func TestParquetDamaged(t *testing.T) {
	var out bytes.Buffer
	if err := testSet(4, 5, 3, true).WriteParquet(&out); err != nil {
		t.Fatal(err)
	}
	good := out.Bytes()
	for at := 0; at < len(good); at += 11 {
		for _, b := range [][]byte{good[:at], append(append(bytes.Clone(good[:at]), good[at]^0x5a), good[at+1:]...)} {
			s, err := ReadParquet(bytes.NewReader(b), int64(len(b)))
			switch {
			case err == nil && s.Validate() != nil:
				t.Errorf("byte %d: an invalid set was read", at)
			case err != nil && !errors.Is(err, poi.ErrBadInput) && !errors.Is(err, poi.ErrEmpty):
				t.Errorf("byte %d: %v", at, err)
			case err == nil && len(b) < len(good):
				t.Errorf("a file cut at %d of %d was read", at, len(good))
			}
		}
	}
}
