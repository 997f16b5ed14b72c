package source

import (
	"errors"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

var nativeNames = []string{"a.parquet", "a.csv", "a.csv.gz", "a.tsv", "a.tsv.gz", "a.jsonl", "a.jsonl.gz"}

// drawAction draws any action that passes Check, ugly ones preferred.
func drawAction(t *rapid.T) poi.Action {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", " ", `"`, `,`, `a "b", 'c'`, "Café ☕", " > ", "#", `\N`, "null", "\u2028", "<&>", "-0", "=1"}),
		rapid.StringMatching(`[ -~é]{0,12}`))
	id := rapid.Custom(func(t *rapid.T) string { return text.Draw(t, "around") + "x" + text.Draw(t, "around") })
	lat, lng := rapid.Float64Range(-90, 90), rapid.Float64Range(-180, 180)
	a := poi.Action{User: id.Draw(t, "user"), POI: id.Draw(t, "poi"), Name: text.Draw(t, "name"), Category: text.Draw(t, "category"),
		Lat: lat.Draw(t, "lat"), Lng: lng.Draw(t, "lng"), OffsetMin: rapid.Int16Range(-840, 840).Draw(t, "offset"),
		TimeMS: rapid.Int64Range(defaultMinTime.UnixMilli(), defaultMaxTime.UnixMilli()-1).Draw(t, "time"),
		Type:   id.Draw(t, "type"), HasUser: rapid.Bool().Draw(t, "has user")}
	if a.HasUser {
		a.UserLat, a.UserLng = lat.Draw(t, "user lat"), lng.Draw(t, "user lng")
		if a.UserLat == 0 && a.UserLng == 0 {
			a.UserLat = 1
		}
	}
	if a.Lat == 0 && a.Lng == 0 {
		a.Lng = 1
	}
	return a
}

func TestRoundTripIsLossless(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(drawAction), 1, 20).Draw(rt, "actions")
		for i := range want {
			want[i].Seq = int64(i)
		}
		name := rapid.SampledFrom(nativeNames).Draw(rt, "file")
		path := filepath.Join(dir, name)
		if n, err := WriteActions(path, Each(want)); n != len(want) || err != nil {
			rt.Fatal(n, err)
		}
		got, _, err := ReadAll(t.Context(), []string{path}, Options{Format: Actions})
		if err != nil || !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s: error %v\n got %+v\nwant %+v", name, err, got, want)
		}
	})
}

// More rows than a batch and than a page, in every encoding, through Iterate.
func TestLongRoundTripThroughEveryEncoding(t *testing.T) {
	var want []poi.Action
	for i := range 3*parquetBatch + 7 {
		want = append(want, poi.Action{User: string(rune('a' + i%26)), POI: "p", Lat: float64(i%90) + 0.1, Lng: -float64(i % 180),
			TimeMS: 1333476009000 + int64(i*i), OffsetMin: int16(i % 600), Type: "click", Seq: int64(i),
			HasUser: i%3 == 0, UserLat: float64(i%3) * 0, UserLng: map[bool]float64{true: float64(i%170) + 1}[i%3 == 0]})
	}
	dir := t.TempDir()
	from := filepath.Join(dir, "0.csv")
	if _, err := WriteActions(from, Each(want)); err != nil {
		t.Fatal(err)
	}
	for _, name := range nativeNames {
		var rep Report
		to := filepath.Join(dir, "next-"+name)
		n, err := WriteActions(to, Iterate(t.Context(), []string{from}, Options{Format: Actions}, &rep))
		if err != nil || n != len(want) || rep.Good != n {
			t.Fatal(name, n, rep, err)
		}
		got, _, err := ReadAll(t.Context(), []string{to}, Options{Format: Actions})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: error %v, %d actions differ from %d", name, err, len(got), len(want))
		}
		from = to
	}
}

func TestWriteRefusesWhatReadWouldReject(t *testing.T) {
	good := poi.Action{User: "u", POI: "p", Lat: 1, Lng: 2, TimeMS: 1333476009000, Type: "click"}
	if err := Check(&good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*poi.Action){
		ReasonEmpty:       func(a *poi.Action) { a.User = "" },
		"every row":       func(a *poi.Action) { a.Type = "" },
		ReasonControl:     func(a *poi.Action) { a.Name = "a\nb" },
		ReasonUTF8:        func(a *poi.Action) { a.Category = "\xff" },
		ReasonNotFinite:   func(a *poi.Action) { a.Lat = math.NaN() },
		ReasonCoordinates: func(a *poi.Action) { a.Lng = 181 },
		ReasonZero:        func(a *poi.Action) { a.HasUser = true },
		ReasonTimeRange:   func(a *poi.Action) { a.TimeMS = 0 },
		ReasonOffset:      func(a *poi.Action) { a.OffsetMin = 900 },
	} {
		spoiled := good
		spoil(&spoiled)
		wantBadInput(t, Check(&spoiled), name)
		path := filepath.Join(t.TempDir(), "a.parquet")
		_, err := WriteActions(path, Each([]poi.Action{good, spoiled}))
		wantBadInput(t, err, path, name)
		wantOnly(t, filepath.Dir(path))
	}
}

// wantOnly checks that a folder holds these names and nothing else.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	errMine := errors.New("mine")
	failing := func(yield func(*poi.Action, error) bool) {
		a := poi.Action{User: "u", POI: "p", Lat: 1, Lng: 2, TimeMS: 1333476009000, Type: "click"}
		if yield(&a, nil) {
			yield(nil, errMine)
		}
	}
	for _, name := range nativeNames {
		path := writeFile(t, name, "what was there before")
		for seq, want := range map[*iter.Seq2[*poi.Action, error]]error{ptr(failing): errMine, ptr(Each(nil)): poi.ErrEmpty} {
			if _, err := WriteActions(path, *seq); !errors.Is(err, want) {
				t.Errorf("%s: error %v, want %v", name, err, want)
			}
		}
		wantOnly(t, filepath.Dir(path), name)
		if raw, err := os.ReadFile(path); string(raw) != "what was there before" {
			t.Errorf("%s: the old file changed: %q, %v", name, raw, err)
		}
	}
	_, err := WriteActions(filepath.Join(t.TempDir(), "none", "a.csv"), failing)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
	_, err = WriteActions("a.xlsx", failing)
	wantBadInput(t, err, "a.xlsx")
}

func ptr(s iter.Seq2[*poi.Action, error]) *iter.Seq2[*poi.Action, error] { return &s }

func writeParquet[T any](t *testing.T, rows []T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	return path
}

// Other tools write every column as optional, in another order, with more
// columns, and times with a logical type.
func TestParquetOfOtherTools(t *testing.T) {
	type theirs struct {
		Extra  *int64     `parquet:"extra,optional"`
		TimeMS *time.Time `parquet:"time_ms,optional,timestamp(millisecond)"`
		Lng    *float64   `parquet:"lng,optional"`
		Lat    *float64   `parquet:"lat,optional"`
		POI    *string    `parquet:"poi,optional"`
		User   *string    `parquet:"user,optional"`
	}
	at, lat, lng, id := time.UnixMilli(1333476009123), 48.8, 2.3, "x"
	path := writeParquet(t, []theirs{{TimeMS: &at, Lng: &lng, Lat: &lat, POI: &id, User: &id},
		{TimeMS: &at, Lng: &lng, POI: &id, User: &id}, {TimeMS: &at, Lng: &lng, Lat: &lat, User: &id}, {Lng: &lng, Lat: &lat, POI: &id, User: &id}})
	var rejects rejectLog
	all, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: Actions, MaxBadRows: 3, Reject: &rejects})
	want := poi.Action{User: "x", POI: "x", Lat: 48.8, Lng: 2.3, TimeMS: 1333476009123, Type: "checkin"}
	if err != nil || len(all) != 1 || all[0] != want {
		t.Fatal(all, rep, err)
	}
	for i, f := range []string{"lat", "poi", "time_ms"} {
		if r := rejects.all[i]; r.Line != i+2 || r.Field != f || r.Reason != ReasonEmpty {
			t.Errorf("reject %+v, want row %d, field %s", r, i+2, f)
		}
	}
	if len(rep.Warnings) != 1 || !strings.Contains(rep.Warnings[0], `"extra"`) {
		t.Errorf("warnings %q", rep.Warnings)
	}
}

func TestParquetThatIsNotOurs(t *testing.T) {
	type noPOI struct {
		User  string  `parquet:"user"`
		Venue string  `parquet:"pois"`
		Lat   float64 `parquet:"lat"`
	}
	type micros struct {
		Time time.Time `parquet:"time_ms,timestamp(microsecond)"`
	}
	type text struct {
		Lat string `parquet:"lat"`
	}
	for _, c := range []struct{ path, want string }{
		{writeParquet(t, []noPOI{{}}), `no column "poi"; is "pois" that column?`},
		{writeParquet(t, []micros{{}}), "expected milliseconds"},
		{writeParquet(t, []text{{}}), `column "lat" has type`},
		{writeFile(t, "a.parquet", "user,poi"), "not a whole Parquet file"},
		{writeFile(t, "a.parquet", ""), "not a whole Parquet file"},
		{writeFile(t, "a.parquet", "PAR1\xff\xff\xff\x7fPAR1"), "footer claims 2147483647 bytes of 12"},
		{writeFile(t, "a.parquet", "XAR1\x00\x00\x00\x00PAR1"), `starts with "XAR1"`},
	} {
		_, _, err := ReadAll(t.Context(), []string{c.path}, Options{Format: Actions})
		wantBadInput(t, err, c.path, c.want)
	}
}

// Every cut is an error, and no flipped byte may crash the process: the answer
// is an error, a reject or (where the byte is a value) an action.
func TestParquetDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.parquet")
	a := poi.Action{User: "u", POI: "p", Lat: 1, Lng: 2, TimeMS: 1333476009000, Type: "click"}
	if _, err := WriteActions(path, Each([]poi.Action{a, a, a})); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 13 {
		cut := writeFile(t, "a.parquet", string(whole[:n]))
		_, _, err := ReadAll(t.Context(), []string{cut}, Options{Format: Actions})
		wantBadInput(t, err, cut)
	}
	for i := range whole {
		if i%11 != 0 && i < len(whole)-12 {
			continue // a file takes milliseconds
		}
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 0x55
		_, rep, err := ReadAll(t.Context(), []string{writeFile(t, "a.parquet", string(damaged))}, Options{Format: Actions, MaxBadRows: Unlimited})
		if err == nil && rep.Good == 0 || rep.Rows != rep.Good+rep.Bad {
			t.Errorf("byte %d: report %+v, error %v", i, rep, err)
		}
	}
}

func TestPanicOfTheCallerIsNotCaught(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.parquet")
	a := poi.Action{User: "u", POI: "p", Lat: 1, Lng: 2, TimeMS: 1333476009000, Type: "click"}
	if _, err := WriteActions(path, Each([]poi.Action{a})); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("recovered %v, want the caller's panic", p)
		}
	}()
	_, err := Read(t.Context(), []string{path}, Options{Format: Actions}, func(*poi.Action) error { panic("mine") })
	t.Errorf("Read returned %v", err)
}

// fullDisk takes some bytes and fails then.
type fullDisk struct{ left int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

// Wherever the disk fills up, the writer says so: no encoding swallows the error
// of a flush or a close.
func TestFullDiskIsSeen(t *testing.T) {
	a := poi.Action{User: "u", POI: "p", Lat: 1, Lng: 2, TimeMS: 1333476009000, Type: "click"}
	for _, name := range nativeNames {
		enc, gz, err := encodingOf(name)
		if err != nil {
			t.Fatal(err)
		}
		all := &fullDisk{left: 1 << 20}
		if _, err := writeTo(all, enc, gz, Each([]poi.Action{a})); err != nil {
			t.Fatal(name, err)
		}
		for _, left := range []int{0, (1<<20 - all.left) / 2, 1<<20 - all.left - 1} {
			if _, err := writeTo(&fullDisk{left: left}, enc, gz, Each([]poi.Action{a})); err == nil || !strings.Contains(err.Error(), "no space left") {
				t.Errorf("%s with room for %d bytes: error %v", name, left, err)
			}
		}
	}
}
