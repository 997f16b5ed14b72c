package guard

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// records is a Source in memory.
type records struct {
	list []Record
	err  error
}

func (r *records) Records(context.Context) ([]Record, error) { return r.list, r.err }

func mint(t testing.TB, id string, role Role) (string, Record) {
	t.Helper()
	token, rec, err := Mint(id, role)
	if err != nil {
		t.Fatal(err)
	}
	return token, rec
}

func ringOf(t testing.TB, list ...Record) *Ring {
	t.Helper()
	r, err := NewRing(t.Context(), RingOptions{Source: &records{list: list}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
func apiKey(token string) http.Header { return http.Header{"X-Api-Key": {token}} }

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	readToken, readRec := mint(t, "app", Read)
	adminToken, adminRec := mint(t, "ops.1", Admin)
	oldToken, oldRec := mint(t, "old", Write)
	oldRec.Expires = &past
	newToken, newRec := mint(t, "new", Write)
	newRec.Expires = &future
	other, _ := mint(t, "app", Read) // the same ID with another secret
	stranger, _ := mint(t, "nobody", Admin)
	r := ringOf(t, readRec, adminRec, oldRec, newRec)
	both := bearer(readToken)
	both["X-Api-Key"] = []string{readToken}
	differ := bearer(readToken)
	differ["X-Api-Key"] = []string{adminToken}
	tests := []struct {
		name   string
		header http.Header
		id     string
		want   error
	}{
		{"bearer", bearer(readToken), "app", nil},
		{"scheme in small letters", http.Header{"Authorization": {"bearer  " + adminToken + " "}}, "ops.1", nil},
		{"X-API-Key", apiKey(newToken), "new", nil},
		{"both the same", both, "app", nil},
		{"both and different", differ, "", ErrBadKey},
		{"two of one header", http.Header{"X-Api-Key": {readToken, adminToken}}, "", ErrBadKey},
		{"none", http.Header{}, "", ErrNoKey},
		{"empty", apiKey(""), "", ErrBadKey},
		{"another scheme", http.Header{"Authorization": {"Basic " + readToken}}, "", ErrBadKey},
		{"another scheme beside a good key", http.Header{"Authorization": {"Basic x"}, "X-Api-Key": {readToken}}, "", ErrBadKey},
		{"expired", bearer(oldToken), "", ErrExpired},
		{"another secret", bearer(other), "", ErrBadKey},
		{"unknown ID", bearer(stranger), "", ErrBadKey},
		{"a letter more", bearer(readToken + "a"), "", ErrBadKey},
		{"a letter less", bearer(readToken[:len(readToken)-1]), "", ErrBadKey},
		{"an expired ID with another secret", bearer(strings.Replace(readToken, "app", "old", 1)), "", ErrBadKey},
		{"the hash for the key", bearer("wt_app_" + readRec.Hash), "", ErrBadKey},
		{"too long", bearer(strings.Repeat("x", maxToken+1)), "", ErrBadKey},
		{"no ID", bearer("wt__" + readToken[len("wt_app_"):]), "", ErrBadKey},
	}
	for _, tt := range tests {
		key, err := r.Check(tt.header)
		if !errors.Is(err, tt.want) || key.ID != tt.id {
			t.Errorf("%s: key %v, error %v; want id %q, error %v", tt.name, key, err, tt.id, tt.want)
		}
	}
	_, wrong := r.Check(bearer(other))
	_, unknown := r.Check(bearer(stranger))
	if wrong.Error() != unknown.Error() {
		t.Errorf("a wrong secret gives %q, an unknown ID %q: they must not be told apart", wrong, unknown)
	}
	if (&Ring{}).Len() != 0 || r.Len() != 4 {
		t.Errorf("%d keys, want 4", r.Len())
	}
	if _, err := (&Ring{now: time.Now}).Check(bearer(readToken)); !errors.Is(err, ErrBadKey) {
		t.Errorf("a ring without keys: error %v", err)
	}
}

func TestExpiryIsExact(t *testing.T) {
	token, rec := mint(t, "app", Read)
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	rec.Expires = &end
	r := ringOf(t, rec)
	for _, tt := range []struct {
		now  time.Time
		want error
	}{{end.Add(-1), nil}, {end, ErrExpired}, {end.Add(time.Hour), ErrExpired}} {
		r.now = func() time.Time { return tt.now }
		if _, err := r.Check(bearer(token)); !errors.Is(err, tt.want) {
			t.Errorf("at %v: error %v, want %v", tt.now, err, tt.want)
		}
	}
}

func TestRoles(t *testing.T) {
	may := map[Role][]Role{0: {}, Read: {Read}, Write: {Read, Write}, Admin: {Read, Write, Admin}, 9: {}}
	for role, list := range may {
		allowed := map[Role]bool{}
		for _, r := range list {
			allowed[r] = true
		}
		for _, need := range []Role{0, Read, Write, Admin, 9} {
			err := Key{Role: role}.May(need)
			if (err == nil) != allowed[need] || err != nil && !errors.Is(err, ErrRole) {
				t.Errorf("role %v, needed %v: error %v", role, need, err)
			}
		}
	}
	for _, name := range []string{"read", "write", "admin"} {
		if r, err := ParseRole(name); err != nil || r.String() != name {
			t.Errorf("%s: %v, error %v", name, r, err)
		}
	}
	for _, name := range []string{"", "none", "Read", "root"} {
		if _, err := ParseRole(name); !errors.Is(err, ErrRecord) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

func TestCovers(t *testing.T) {
	at := func(x float64) *float64 { return &x }
	pacific := &Box{South: -20, West: 170, North: -10, East: -170}
	tests := []struct {
		name     string
		key      Key
		scene    string
		lat, lng *float64
		ok       bool
	}{
		{"no limits", Key{}, "", nil, nil, true},
		{"its scene", Key{Scenes: []string{"home", "map"}}, "map", nil, nil, true},
		{"another scene", Key{Scenes: []string{"home"}}, "map", nil, nil, false},
		{"no scene", Key{Scenes: []string{"home"}}, "", nil, nil, false},
		{"inside", Key{Box: &Box{40, -75, 41, -73}}, "", at(40.5), at(-74), true},
		{"on the edge", Key{Box: &Box{40, -75, 41, -73}}, "", at(41), at(-73), true},
		{"outside", Key{Box: &Box{40, -75, 41, -73}}, "", at(40.5), at(-72), false},
		{"no position", Key{Box: &Box{40, -75, 41, -73}}, "", nil, nil, false},
		{"half a position", Key{Box: &Box{40, -75, 41, -73}}, "", at(40.5), nil, false},
		{"not a number", Key{Box: &Box{40, -75, 41, -73}}, "", at(math.NaN()), at(-74), false},
		{"longitude not a number", Key{Box: pacific}, "", at(-15), at(math.NaN()), false},
		{"longitude without end", Key{Box: pacific}, "", at(-15), at(math.Inf(1)), false},
		{"over the antimeridian", Key{Box: pacific}, "", at(-15), at(180), true},
		{"over it on the other side", Key{Box: pacific}, "", at(-15), at(-175), true},
		{"beside it", Key{Box: pacific}, "", at(-15), at(0), false},
		{"both, one fails", Key{Scenes: []string{"home"}, Box: pacific}, "map", at(-15), at(180), false},
	}
	for _, tt := range tests {
		err := tt.key.Covers(tt.scene, tt.lat, tt.lng)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrScope) {
			t.Errorf("%s: error %v, want allowed: %v", tt.name, err, tt.ok)
		}
	}
}

func TestMint(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token, rec := mint(t, "app", Read)
		if seen[token] || !strings.HasPrefix(token, "wt_app_") || len(token) != len("wt_app_")+52 || rec.Hash != HashOf(token) {
			t.Fatalf("token of %d characters, twice: %v", len(token), seen[token])
		}
		seen[token] = true
	}
	for _, id := range []string{"", "A", "a_b", "a b", "ü", strings.Repeat("a", maxID+1)} {
		if _, _, err := Mint(id, Read); !errors.Is(err, ErrRecord) {
			t.Errorf("id %q: error %v", id, err)
		}
	}
	for _, role := range []Role{0, 9} {
		if _, _, err := Mint("a", role); !errors.Is(err, ErrRecord) {
			t.Errorf("role %d: error %v", role, err)
		}
	}
}

// wantHidden checks that a text shows no part of a token, its secret or its hash.
func wantHidden(t *testing.T, shown, token string, rec Record) {
	t.Helper()
	secret, h := token[len("wt_app_"):], rec.Hash
	raw, err := hex.DecodeString(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{secret, secret[:12], secret[20:32], h, h[:12], h[20:32], strings.ToUpper(h[:12]), fmt.Sprint(raw)[1:20], string(raw[:8])} {
		if strings.Contains(shown, part) {
			t.Errorf("shows %q:\n%s", part, shown)
		}
	}
}

// Nothing that prints a key, a record or a ring may show a secret.
func TestNothingPrintedShowsASecret(t *testing.T) {
	token, rec := mint(t, "app", Read)
	r := ringOf(t, rec)
	key, err := r.Check(bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, x := range []any{key, &key, []Key{key}, map[string]Key{"k": key}, r, rec, &rec, []Record{rec}, struct{ K Key }{key}, struct{ k Key }{key}, struct{ r *Ring }{r}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			fmt.Fprintf(&shown, verb+"\n", x)
		}
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("seen", "key", key, "record", rec, "ring", r)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("seen", "key", key, "record", rec, "ring", r)
	shown.Write(logged.Bytes())
	for _, text := range []any{key, []Key{key}} {
		out, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(out)
	}
	wantHidden(t, shown.String(), token, rec)
	if !strings.Contains(shown.String(), "key app (read)") || !strings.Contains(logged.String(), "key.id=app") {
		t.Errorf("does not name the key: %s", shown.String())
	}
}

// harmedRecords have the hash or the token where it ends up by mistake.
func harmedRecords(token, h string) []Record {
	return []Record{{ID: h + "_", Hash: h, Role: "read"}, {ID: token, Hash: h, Role: "read"}, {ID: "app", Hash: token, Role: "read"}, {ID: "app", Hash: h + "0", Role: "read"},
		{ID: "app", Hash: h[1:], Role: "read"}, {ID: "app", Hash: h, Role: h}, {ID: "app", Hash: h, Role: token}, {ID: "app", Hash: h, Role: "read", Scenes: []string{strings.Repeat(h, 2)}}}
}

// harmedSources are files and settings of the same kind, by the ending of the file.
func harmedSources(token, h string) map[string][]string {
	return map[string][]string{
		"": {"app:" + h, "app:read:" + h, h + ":app:read:" + h, "app:" + token + ":read", token},
		".yaml": {"keys:\n- id: app\n  hash: [" + h + "]\n", "keys:\n- " + h + "\n", "keys:\n- id: app\n  " + h + ": x\n", "keys: " + h, h,
			"keys:\n- id: app\n  hash: " + h + "\n  role: read\n  expires: " + h, "keys:\n- {id: app, hash: \"" + h, "keys: &a\n- *" + h + "\n"},
		".jsonl": {`{"id":"app","hash":["` + h + `"]}`, `{"` + h + `":1}`, h, `{"id":"app","hash":"` + h, `"` + h + `"`},
	}
}

// No error shows a secret, wherever it stands.
func TestNoErrorShowsASecret(t *testing.T) {
	token, rec := mint(t, "app", Read)
	r := ringOf(t, rec)
	var shown strings.Builder
	note := func(err error) {
		if err == nil {
			t.Error("something harmed was taken")
			return
		}
		shown.WriteString(err.Error() + "\n")
	}
	for _, harmed := range harmedRecords(token, rec.Hash) {
		_, err := harmed.Key()
		note(err)
		fmt.Fprintf(&shown, "%v %#v %v\n", harmed, harmed, harmed.LogValue())
	}
	_, err := NewRing(t.Context(), RingOptions{Source: &records{list: []Record{rec, rec}}})
	note(err)
	for ending, texts := range harmedSources(token, rec.Hash) {
		for _, text := range texts {
			from := RingOptions{Setting: text}
			if ending != "" {
				from = RingOptions{File: write(t, "keys"+ending, text)}
			}
			_, err := NewRing(t.Context(), from)
			note(err)
		}
	}
	for _, header := range []http.Header{bearer(token + "x"), {"Authorization": {token}}, {"Authorization": {"Basic " + token}}, {"X-Api-Key": {token, rec.Hash}}} {
		_, err := r.Check(header)
		note(err)
	}
	note(Key{ID: "app", Role: Read}.May(Admin))
	wantHidden(t, shown.String(), token, rec)
}
