package source

import (
	"bytes"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// eachOf iterates over rows in memory.
func eachOf[T any](rows []T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for i := range rows {
			if !yield(&rows[i], nil) {
				return
			}
		}
	}
}

const pngMagic = "\x89PNG\r\n\x1a\n"

func readPlaces(t testing.TB, path string, opt Options) ([]Entry, Report, error) {
	t.Helper()
	var all []Entry
	rep, err := ReadPlaces(t.Context(), []string{path}, opt, func(e *Entry) error {
		all = append(all, *e)
		return nil
	})
	return all, rep, err
}

func readProfiles(t testing.TB, path string, opt Options) ([]UserProfile, Report, error) {
	t.Helper()
	var all []UserProfile
	rep, err := ReadProfiles(t.Context(), []string{path}, opt, func(p *UserProfile) error {
		all = append(all, *p)
		return nil
	})
	return all, rep, err
}

func drawList(t *rapid.T, label string) []string {
	list := rapid.SliceOfN(rapid.SampledFrom([]string{"", "quiet", "café ☕", `a "b", c`, "x y"}), 0, 4).Draw(t, label)
	if len(list) == 0 {
		return nil // an empty list reads back as none
	}
	return list
}

func drawEntry(t *rapid.T) Entry {
	a := drawAction(t)
	e := Entry{Place: poi.Place{ID: a.POI, Name: a.Name, Category: a.Category, Lat: a.Lat, Lng: a.Lng, Closed: rapid.Bool().Draw(t, "closed")},
		Details: poi.Details{Address: a.Type, Tags: drawList(t, "tags"), Reviews: drawList(t, "reviews")}}
	if rapid.Bool().Draw(t, "image") {
		e.Image = []byte(pngMagic + rapid.StringN(0, 30, -1).Draw(t, "pixels"))
	}
	return e
}

func TestCatalogRoundTripIsLossless(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		places := rapid.SliceOfN(rapid.Custom(drawEntry), 1, 40).Draw(rt, "places") // more than a batch of reading
		path := filepath.Join(dir, "places.parquet")
		if n, err := WritePlaces(path, eachOf(places)); n != len(places) || err != nil {
			rt.Fatal(n, err)
		}
		got, rep, err := readPlaces(t, path, Options{})
		if err != nil || !reflect.DeepEqual(got, places) || rep.Good != len(places) || len(rep.Warnings) > 0 {
			rt.Fatalf("error %v, report %+v\n got %+v\nwant %+v", err, rep, got, places)
		}
		var people []UserProfile
		for _, e := range places {
			people = append(people, UserProfile{User: e.ID, Profile: poi.Profile{Gender: e.Name, AgeBand: e.Category, Occupation: e.Address, Tags: e.Tags}})
		}
		path = filepath.Join(dir, "profiles.parquet")
		if n, err := WriteProfiles(path, eachOf(people)); n != len(people) || err != nil {
			rt.Fatal(n, err)
		}
		back, _, err := readProfiles(t, path, Options{})
		if err != nil || !reflect.DeepEqual(back, people) {
			rt.Fatalf("error %v\n got %+v\nwant %+v", err, back, people)
		}
	})
}

// Images bound a row group, or a catalog of large ones would have to fit memory.
func TestLargeRowsEndTheRowGroup(t *testing.T) {
	var file bytes.Buffer
	w := newParquetRows[parquetPlace](&file)
	for range 6 {
		if err := w.write(parquetPlace{POI: "p"}, rowGroupBytes/4); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	pf, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var rows []int64
	for _, g := range pf.RowGroups() {
		rows = append(rows, g.NumRows())
	}
	if !reflect.DeepEqual(rows, []int64{4, 2}) {
		t.Errorf("row groups of %d rows, want 4 and 2", rows)
	}
	if _, size := parquetPlaceOf(&Entry{Place: poi.Place{Name: "abc"}, Details: poi.Details{Address: "de", Reviews: []string{"fgh", "i"}, Image: make([]byte, 100)}}); size != 109 {
		t.Errorf("a place of 109 bytes counts as %d", size)
	}
}

// writeRows writes a Parquet file of any columns.
func writeRows[T any](t testing.TB, rows ...T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "foreign.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	return path
}

// Other tools write every column, list and element as optional, and leave out
// what they do not have.
func TestReadPlacesOfOtherTools(t *testing.T) {
	text := parquet.Optional(parquet.String())
	schema := parquet.NewSchema("t", parquet.Group{"poi": text, "lat": parquet.Optional(parquet.Leaf(parquet.DoubleType)), "lng": parquet.Optional(parquet.Leaf(parquet.DoubleType)),
		"tags": parquet.Optional(parquet.List(text)), "stars": parquet.Optional(parquet.Int(32))})
	path := filepath.Join(t.TempDir(), "places.parquet")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[map[string]any](file, schema)
	// Columns by name: lat, lng, poi, stars, tags.list.element.
	v := func(x any, repetition, definition, column int) parquet.Value {
		return parquet.ValueOf(x).Level(repetition, definition, column)
	}
	rows := []parquet.Row{
		{v(48.5, 0, 1, 0), v(2.5, 0, 1, 1), v("a", 0, 1, 2), v(int32(5), 0, 1, 3), v("quiet", 0, 3, 4), v("café", 1, 3, 4)},
		{v(48.5, 0, 1, 0), v(2.5, 0, 1, 1), v("b", 0, 1, 2), v(nil, 0, 0, 3), v(nil, 0, 0, 4)}, // no list
		{v(48.5, 0, 1, 0), v(2.5, 0, 1, 1), v("c", 0, 1, 2), v(nil, 0, 0, 3), v(nil, 0, 1, 4)}, // an empty list
		{v(48.5, 0, 1, 0), v(nil, 0, 0, 1), v("d", 0, 1, 2), v(nil, 0, 0, 3), v(nil, 0, 0, 4)}, // no longitude
		{v(48.5, 0, 1, 0), v(2.5, 0, 1, 1), v(nil, 0, 0, 2), v(nil, 0, 0, 3), v(nil, 0, 0, 4)}, // no id
	}
	if _, err := w.WriteRows(rows); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	var rejects rejectLog
	got, rep, err := readPlaces(t, path, Options{MaxBadRows: 2, Reject: &rejects})
	at := poi.Place{Lat: 48.5, Lng: 2.5}
	a, b, c := at, at, at
	a.ID, b.ID, c.ID = "a", "b", "c"
	want := []Entry{{Place: a, Details: poi.Details{Tags: []string{"quiet", "café"}}}, {Place: b}, {Place: c}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("error %v\n got %+v\nwant %+v", err, got, want)
	}
	if len(rep.Warnings) != 1 || !strings.Contains(rep.Warnings[0], `"stars"`) || rep.Rows != 5 || rep.Bad != 2 {
		t.Errorf("report %+v", rep)
	}
	wantRejects := []Reject{{File: path, Line: 4, Field: "lng", Reason: ReasonEmpty, Detail: "expected decimal degrees"},
		{File: path, Line: 5, Field: "poi", Reason: ReasonEmpty, Detail: "every row names its poi"}}
	if !reflect.DeepEqual(rejects.all, wantRejects) {
		t.Errorf("rejects %+v", rejects.all)
	}
}

func TestCatalogRules(t *testing.T) {
	good := Entry{Place: poi.Place{ID: "p", Lat: 1, Lng: 2}}
	for _, c := range []struct {
		field, reason string
		edit          func(*Entry)
	}{
		{"poi", ReasonEmpty, func(e *Entry) { e.ID = " " }},
		{"lat", ReasonSwapped, func(e *Entry) { e.Lat, e.Lng = 139, 35 }},
		{"name", ReasonControl, func(e *Entry) { e.Name = "a\tb" }},
		{"address", ReasonUTF8, func(e *Entry) { e.Address = "\xff" }},
		{"tags", ReasonLimit, func(e *Entry) { e.Tags = make([]string, maxListLength+1) }},
		{"reviews", ReasonLimit, func(e *Entry) { e.Reviews = []string{strings.Repeat("x", maxTextBytes+1)} }},
		{"reviews", ReasonControl, func(e *Entry) { e.Reviews = []string{"", "a\nb"} }},
		{"image", ReasonImage, func(e *Entry) { e.Image = []byte("GIF89a") }},
		{"image", ReasonLimit, func(e *Entry) { e.Image = append([]byte(pngMagic), make([]byte, maxImageBytes)...) }},
	} {
		e := good
		c.edit(&e)
		path := filepath.Join(t.TempDir(), "places.parquet")
		_, err := WritePlaces(path, eachOf([]Entry{good, e}))
		wantBadInput(t, err, path, "after 1 places", c.field, c.reason)
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
			t.Errorf("left behind %v, error %v", left, err)
		}
	}
	jpeg := good
	jpeg.Image = []byte("\xff\xd8\xff\xe0")
	if e := checkEntry(&jpeg); e != nil {
		t.Errorf("a JPEG image: %+v", e)
	}
	_, err := WriteProfiles(filepath.Join(t.TempDir(), "x.parquet"), eachOf([]UserProfile{{User: "u", Profile: poi.Profile{AgeBand: "\x00"}}}))
	wantBadInput(t, err, "age_band", ReasonControl)
	_, err = WritePlaces(filepath.Join(t.TempDir(), "places.csv"), eachOf([]Entry{good}))
	wantBadInput(t, err, ".parquet only")
	if _, err := WriteProfiles(filepath.Join(t.TempDir(), "x.parquet"), eachOf[UserProfile](nil)); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no profile: %v", err)
	}
}

func TestReadCatalogFails(t *testing.T) {
	type flat struct {
		POI  string  `parquet:"poi"`
		Lat  float64 `parquet:"lat"`
		Lng  float64 `parquet:"lng"`
		Tags string  `parquet:"tags"`
	}
	_, _, err := readPlaces(t, writeRows(t, flat{POI: "p", Lat: 1, Tags: "a,b"}), Options{})
	wantBadInput(t, err, "tags", "tags.list.element")
	type misspelt struct {
		Place string  `parquet:"place_id"`
		Lat   float64 `parquet:"lat"`
		Lng   float64 `parquet:"lng"`
	}
	_, _, err = readPlaces(t, writeRows(t, misspelt{}), Options{})
	wantBadInput(t, err, `no column "poi"`, `is "place_id" that column?`, "docs/format/places.md")
	_, _, err = readPlaces(t, writeFile(t, "places.parquet", "PAR1 is only the start of it"), Options{})
	wantBadInput(t, err, "not a whole Parquet file")
	stop := errors.New("enough")
	path := filepath.Join(t.TempDir(), "places.parquet")
	if _, err := WritePlaces(path, eachOf([]Entry{{Place: poi.Place{ID: "p", Lat: 1}}})); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPlaces(t.Context(), []string{path}, Options{}, func(*Entry) error { return stop }); err != stop {
		t.Errorf("the caller's error came back as %v", err)
	}
}

// FuzzPlaces checks that bytes which are no catalog end in an error or in rows
// that pass the rules, never in a panic.
func FuzzPlaces(f *testing.F) {
	path := filepath.Join(f.TempDir(), "places.parquet")
	if _, err := WritePlaces(path, eachOf([]Entry{{Place: poi.Place{ID: "p", Lat: 1}, Details: poi.Details{Tags: []string{"a"}, Image: []byte(pngMagic)}}})); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	for at := 4; at < len(whole); at += 37 {
		damaged := append([]byte(nil), whole...)
		damaged[at] ^= 0x55
		f.Add(damaged)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		got, rep, err := readPlaces(t, writeFile(t, "p.parquet", string(content)), Options{MaxBadRows: Unlimited})
		if rep.Rows != rep.Good+rep.Bad || len(got) != rep.Good || err == nil && rep.Good == 0 {
			t.Errorf("%d rows, report %+v, error %v", len(got), rep, err)
		}
		for i := range got {
			if e := checkEntry(&got[i]); e != nil {
				t.Errorf("%+v breaks a rule: %+v", got[i], e)
			}
		}
	})
}
