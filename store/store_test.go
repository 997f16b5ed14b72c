package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/store"
)

func TestIdentity(t *testing.T) {
	base := store.Action{User: "u", POI: "p", TimeMS: 5, Type: "t"}
	with := func(change func(*store.Action)) store.Action {
		a := base
		change(&a)
		return a
	}
	named := with(func(a *store.Action) { a.ID = "1" })
	tests := []struct {
		name string
		a, b store.Action
		same bool
	}{
		{"itself", base, base, true},
		{"another user", base, with(func(a *store.Action) { a.User = "v" }), false},
		{"another time", base, with(func(a *store.Action) { a.TimeMS = 6 }), false},
		{"another POI", base, with(func(a *store.Action) { a.POI = "q" }), false},
		{"another type", base, with(func(a *store.Action) { a.Type = "" }), false},
		{"letters moved from POI to type", base, with(func(a *store.Action) { a.POI, a.Type = "pt", "" }), false},
		{"another position and offset", base, with(func(a *store.Action) { a.HasUser, a.UserLat, a.OffsetMin = true, 1, 60 }), true},
		{"with an ID", base, named, false},
		{"the same ID, all else other", named, store.Action{User: "u", ID: "1", POI: "z"}, true},
		{"the same ID of another user", named, store.Action{User: "v", ID: "1"}, false},
		{"letters moved from user to ID", store.Action{User: "ab", ID: "c"}, store.Action{User: "a", ID: "bc"}, false},
	}
	for _, tc := range tests {
		if got := tc.a.Identity() == tc.b.Identity(); got != tc.same {
			t.Errorf("%s: same %v, want %v", tc.name, got, tc.same)
		}
	}
}

func TestCheckAction(t *testing.T) {
	good := store.Action{User: strings.Repeat("長", store.MaxUser), ID: strings.Repeat("i", store.MaxActionID), POI: "p\x01", OffsetMin: -720,
		UserLat: math.NaN()} // not looked at without HasUser
	if err := store.CheckAction(good); err != nil {
		t.Fatalf("a good action: %v", err)
	}
	tests := []struct {
		field  string
		change func(*store.Action)
	}{
		{"user", func(a *store.Action) { a.User = "" }},
		{"user", func(a *store.Action) { a.User += "x" }},
		{"user", func(a *store.Action) { a.User = "a\x00b" }},
		{"id", func(a *store.Action) { a.ID += "x" }},
		{"poi", func(a *store.Action) { a.POI = "" }},
		{"poi", func(a *store.Action) { a.POI = "\xff" }},
		{"poi", func(a *store.Action) { a.POI = strings.Repeat("p", store.MaxPOI+1) }},
		{"type", func(a *store.Action) { a.Type = strings.Repeat("t", store.MaxType+1) }},
		{"time", func(a *store.Action) { a.TimeMS = math.MaxInt64 }},
		{"time", func(a *store.Action) { a.TimeMS = math.MinInt64 }},
		{"time", func(a *store.Action) { a.OffsetMin = 1081 }},
		{"lat", func(a *store.Action) { a.HasUser = true }},
		{"lat", func(a *store.Action) { a.HasUser, a.UserLat = true, 90.1 }},
		{"lng", func(a *store.Action) { a.HasUser, a.UserLat, a.UserLng = true, 0, math.Inf(1) }},
	}
	for i, tc := range tests {
		bad := good
		tc.change(&bad)
		err := store.CheckActions([]store.Action{good, bad, good})
		var said *store.Invalid
		if !errors.As(err, &said) || said.Index != 1 || said.Field != tc.field || said.Reason == "" || !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("case %d: error %v, want element 1, field %s", i, err, tc.field)
		}
	}
}

func TestCheckKey(t *testing.T) {
	good := func() store.Key {
		return store.Key{ID: "k", Hash: make([]byte, store.MinHash), Role: "r", Scenes: []string{"s"}, Box: &store.Box{West: 170, East: -170}}
	}
	if err := store.CheckKey(good()); err != nil {
		t.Fatalf("a good key: %v", err)
	}
	tests := map[string]func(*store.Key){
		"id":         func(k *store.Key) { k.ID = strings.Repeat("k", store.MaxKeyID+1) },
		"role":       func(k *store.Key) { k.Role = strings.Repeat("r", store.MaxRole+1) },
		"hash":       func(k *store.Key) { k.Hash = k.Hash[1:] },
		"scenes":     func(k *store.Key) { k.Scenes = []string{""} },
		"bbox.south": func(k *store.Key) { k.Box.South = 1 },
		"bbox.east":  func(k *store.Key) { k.Box.East = 181 },
		"created":    func(k *store.Key) { k.CreatedMS = math.MaxInt64 },
		"expires":    func(k *store.Key) { k.ExpiresMS = math.MinInt64 },
	}
	for field, change := range tests {
		bad := good()
		change(&bad)
		var said *store.Invalid
		if err := store.CheckKey(bad); !errors.As(err, &said) || said.Field != field {
			t.Errorf("bad %s: error %v", field, err)
		}
	}
}

func TestKeyExpired(t *testing.T) {
	now := time.UnixMilli(1000)
	for expires, want := range map[int64]bool{0: false, 999: true, 1000: true, 1001: false} {
		if got := (store.Key{ExpiresMS: expires}).Expired(now); got != want {
			t.Errorf("a key until %d at 1000: expired %v, want %v", expires, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	live := context.Background()
	ended, cancel := context.WithCancel(live)
	cancel()
	cause := errors.New("driver says")
	tests := []struct {
		name  string
		ctx   context.Context
		cause error
		want  []error
		not   []error
	}{
		{"kind of the home", live, cause, []error{store.ErrFull, cause}, []error{store.ErrUnavailable}},
		{"a sentinel stays", live, fmt.Errorf("x: %w", store.ErrNotFound), []error{store.ErrNotFound}, []error{store.ErrFull}},
		{"bad input stays", live, &store.Invalid{}, []error{poi.ErrBadInput}, []error{store.ErrFull}},
		{"an ended context comes first", ended, cause, []error{context.Canceled, cause}, []error{store.ErrFull}},
	}
	for _, tc := range tests {
		err := store.Wrap(tc.ctx, "do it", store.ErrFull, tc.cause)
		for _, want := range tc.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is not %v", tc.name, err, want)
			}
		}
		for _, not := range tc.not {
			if errors.Is(err, not) {
				t.Errorf("%s: %v is %v", tc.name, err, not)
			}
		}
		if !strings.HasPrefix(err.Error(), "do it: ") {
			t.Errorf("%s: %v does not say what was tried", tc.name, err)
		}
	}
	if err := store.Wrap(ended, "do it", store.ErrFull, nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

func TestCursor(t *testing.T) {
	for _, want := range []store.Position{{}, {Name: "ü\n", TimeMS: -5, Seq: math.MaxInt64}, {Name: strings.Repeat("長", store.MaxUser), TimeMS: math.MinInt64}} {
		cursor := want.Encode(store.ListActions, "filter")
		got, begin, err := store.DecodeCursor(store.ListActions, "filter", cursor)
		if got != want || begin || err != nil {
			t.Errorf("%+v came back as %+v, begin %v, %v", want, got, begin, err)
		}
	}
	if _, begin, err := store.DecodeCursor(store.ListPOIs, "any", ""); !begin || err != nil {
		t.Errorf("no cursor: begin %v, %v; want the beginning", begin, err)
	}
	// Golden: a cursor handed out today must be understood, or refused as old, tomorrow.
	const golden = "AXAAAAAABgRjYWZlU3I9Ig"
	if got := (store.Position{Name: "cafe", TimeMS: 3, Seq: 2}).Encode(store.ListPOIs, ""); got != golden {
		t.Errorf("cursor %s, want %s; raise the version if the layout changes", got, golden)
	}
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add("")
	f.Add("x")
	f.Add(store.Position{Name: "a", TimeMS: 1, Seq: 2}.Encode(store.ListUsers, "f"))
	f.Add(store.Position{Name: "a\x00"}.Encode(store.ListUsers, "f"))
	f.Fuzz(func(t *testing.T, cursor string) {
		p, begin, err := store.DecodeCursor(store.ListUsers, "f", cursor)
		switch {
		case err != nil:
			if !errors.Is(err, store.ErrBadCursor) {
				t.Fatalf("error %v, want store.ErrBadCursor", err)
			}
		case begin:
			if cursor != "" {
				t.Fatalf("%q is taken for the beginning", cursor)
			}
		default:
			if again, _, err := store.DecodeCursor(store.ListUsers, "f", p.Encode(store.ListUsers, "f")); again != p || err != nil {
				t.Fatalf("%+v does not come back: %+v, %v", p, again, err)
			}
			if strings.ContainsRune(p.Name, 0) {
				t.Fatalf("%q holds what no home can be asked for", p.Name)
			}
		}
	})
}

func TestLastOfEach(t *testing.T) {
	got := store.LastOfEach([]store.POI{{ID: "a", Name: "1"}, {ID: "b"}, {ID: "a", Name: "2"}, {ID: "c"}, {ID: "b", Lat: 1}})
	want := []store.POI{{ID: "a", Name: "2"}, {ID: "c"}, {ID: "b", Lat: 1}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPrefixEnd(t *testing.T) {
	for _, tc := range []struct {
		prefix, text string
		below        bool
	}{{"ab", "ab", true}, {"ab", "ab" + strings.Repeat("\U0010FFFF", store.MaxUser-2), true}, {"ab", "ac", false}, {"", "\U0010FFFF", true}, {"a\U0010FFFF", "b", false}} {
		if got := tc.text <= store.PrefixEnd(tc.prefix); got != tc.below {
			t.Errorf("%q up to the end of %q: %v, want %v", tc.text, tc.prefix, got, tc.below)
		}
	}
}
