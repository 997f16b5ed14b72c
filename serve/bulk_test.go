package serve

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/store"
)

const lineType = "application/x-ndjson"

func TestBulk(t *testing.T) {
	good := `{"user":"ann","poi":"cafe-1",` + at + `}`
	tomorrow := func(d time.Duration) string {
		return fmt.Sprintf(`{"user":"ann","poi":"cafe-1","time":%q}`, time.Now().Add(d).Format(time.RFC3339))
	}
	tests := []struct {
		name, kind, body string
		accepted         int
		rejected         []api.Rejected // their reasons: parts of what is said
	}{
		{"one line", lineType, good, 1, nil},
		{"one line, ended", lineType, good + "\n", 1, nil},
		{"windows lines, and empty ones", lineType, good + "\r\n\r\n\n" + good + "\r\n", 2, nil},
		{"no kind", "", good, 1, nil},
		{"a bad line between good ones", lineType, good + "\n{\n" + good, 2, []api.Rejected{{Line: 2, Reason: "EOF"}}},
		{"empty lines count", lineType, "\n\n{}\n", 0, []api.Rejected{{Line: 3, Reason: "poi"}}},
		{"nothing but bad lines", lineType, "1\n[]\n\"x\"", 0, []api.Rejected{{Line: 1, Reason: "object"}, {Line: 2, Reason: "object"}, {Line: 3, Reason: "object"}}},
		{"an unknown name", lineType, `{"user":"ann","pio":"cafe-1","poi":"a",` + at + `}`, 0, []api.Rejected{{Line: 1, Field: "pio", Reason: "did you mean poi?"}}},
		{"no user", lineType, `{"poi":"cafe-1",` + at + `}`, 0, []api.Rejected{{Line: 1, Field: "user", Reason: "missing"}}},
		{"half a position", lineType, strings.Replace(good, "{", `{"lat":1,`, 1), 0, []api.Rejected{{Line: 1, Field: "lng", Reason: "missing"}}},
		{"before 1970", lineType, strings.Replace(good, "2026", "1926", 1), 0, []api.Rejected{{Line: 1, Field: "time", Reason: "1970"}}},
		{"a clock ahead", lineType, tomorrow(23*time.Hour) + "\n" + tomorrow(25*time.Hour), 1, []api.Rejected{{Line: 2, Field: "time", Reason: "ahead"}}},
		{"refused by the desk", lineType, "{\n\n" + strings.Replace(good, "cafe-1", "nowhere", 1) + "\n" + good, 1, []api.Rejected{{Line: 1, Reason: "EOF"}, {Line: 3, Field: "poi", Reason: "unknown"}}},
		{"longer than a line may be", lineType, good + "\n{\"user\":\"" + strings.Repeat("a", maxLine) + "\"}\n" + good, 2, []api.Rejected{{Line: 2, Reason: "65536 bytes"}}},
		{"as long as a line may be", lineType, good + strings.Repeat(" ", maxLine-len(good)) + "\n" + good, 2, nil},
		{"an array", "application/json", `[` + good + `,{"poi":"a"},` + good + `]`, 2, []api.Rejected{{Line: 2, Reason: "time"}}},
		{"an array of all kinds", "application/json; charset=utf-8", `[1,null,` + good + `]`, 1, []api.Rejected{{Line: 1, Reason: "object"}, {Line: 2}}},
		{"ids that stand twice", lineType, strings.Replace(good, "{", `{"id":"1",`, 1) + "\n" + good, 2, nil},
	}
	b := newBench(t, nil)
	for _, tt := range tests {
		b.desk.actions = map[string][]api.Action{}
		got := into[api.BulkResponse](t, b.ask("POST", "/v1/actions", "write", tt.body, "Content-Type", tt.kind))
		if got.Accepted != tt.accepted || got.Refused != len(tt.rejected) || len(got.Rejected) != len(tt.rejected) || len(b.desk.actions["ann"]) != tt.accepted {
			t.Errorf("%s: %+v, want %d accepted and %d rejected", tt.name, got, tt.accepted, len(tt.rejected))
			continue
		}
		for i, want := range tt.rejected {
			if r := got.Rejected[i]; r.Line != want.Line || r.Field != want.Field || !strings.Contains(r.Reason, want.Reason) {
				t.Errorf("%s: rejected %+v, want %+v", tt.name, r, want)
			}
		}
	}
}

func TestRefusedBulks(t *testing.T) {
	good := `{"user":"ann","poi":"cafe-1",` + at + `}`
	tests := []struct {
		name, kind, body string
		status           int
	}{
		{"empty", lineType, "", 422},
		{"only empty lines", lineType, "\n \n\n", 422},
		{"an empty array", "application/json", "[]", 422},
		{"no array", "application/json", good, 422},
		{"an array that breaks off", "application/json", "[" + good, 400},
		{"an array with a fault", "application/json", "[" + good + ",}]", 400},
		{"something after the array", "application/json", "[" + good + "] 1", 400},
		{"too many lines", lineType, strings.Repeat(good+"\n", api.MaxBulk+1), 413},
		{"too many bytes", lineType, strings.Repeat(good+"\n", 1) + strings.Repeat(" ", bulkBody), 413},
		{"a form", "application/x-www-form-urlencoded", good, 415},
	}
	b := newBench(t, nil)
	for _, tt := range tests {
		b.desk.actions = map[string][]api.Action{}
		got := b.ask("POST", "/v1/actions", "write", tt.body, "Content-Type", tt.kind)
		got.problem(t)
		if got.status != tt.status || len(b.desk.actions) != 0 {
			t.Errorf("%s: status %d with %d stored, want %d and nothing stored: %.200s", tt.name, got.status, len(b.desk.actions["ann"]), tt.status, got.body)
		}
	}
	b.desk.putErr = store.ErrFull
	if got := b.ask("POST", "/v1/actions", "write", good, "Content-Type", lineType); got.status != 507 {
		t.Errorf("a full store: status %d", got.status)
	}
	if got := into[api.BulkResponse](t, b.ask("PUT", "/v1/pois", "write", `{"id":"a","lat":91,"lng":0}`+"\n"+`{"id":"b","lat":1,"lng":2}`, "Content-Type", lineType)); got.Accepted != 1 || got.Refused != 1 || got.Rejected[0].Field != "lat" {
		t.Errorf("places: %+v", got)
	}
	many := strings.Repeat("x\n", 150)
	if got := into[api.BulkResponse](t, b.ask("POST", "/v1/actions", "write", many, "Content-Type", lineType)); got.Refused != 150 || len(got.Rejected) != maxRejected || got.Rejected[99].Line != 100 {
		t.Errorf("%d refused, %d listed", got.Refused, len(got.Rejected))
	}
}

func TestBodiesOfSizes(t *testing.T) {
	b := newBench(t, nil)
	fits := `{"user":"ann"` + strings.Repeat(" ", question-len(`{"user":"ann"}`)) + `}`
	if got := b.ask("POST", "/v1/recommend", "read", fits); got.status != 200 {
		t.Errorf("a body of exactly the limit: status %d", got.status)
	}
	if got := b.ask("POST", "/v1/recommend", "read", fits+" "); got.status != 413 {
		t.Errorf("a byte more: status %d", got.status)
	}
	r := httptest.NewRequest("POST", "/v1/recommend", strings.NewReader(fits+" "))
	r.ContentLength = -1 // unknown, as of a body in chunks
	r.Header.Set("Authorization", "Bearer "+b.tokens["read"])
	if got := roundTrip(b.Handler(), r); got.status != 413 {
		t.Errorf("a byte more of unknown length: status %d", got.status)
	}
	if got := b.ask("POST", "/v1/recommend", "read", strings.Repeat("[", question-1)); got.status != 400 {
		t.Errorf("a deep body: status %d", got.status)
	}
	if got := b.ask("POST", "/v1/actions", "write", strings.Repeat("[", question), "Content-Type", "application/json"); got.status != 400 {
		t.Errorf("a deep array: status %d %.200s", got.status, got.body)
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 40<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/recommend", "/v1/actions"} {
		got := b.ask("POST", path, "admin", bomb.String(), "Content-Encoding", "gzip")
		if got.problem(t); got.status != 415 || got.header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s: a bomb: status %d", path, got.status)
		}
	}
	if b.desk.asked != 1 {
		t.Errorf("%d requests reached the desk, want the one that fits", b.desk.asked)
	}
}

// FuzzQuestion: whatever is sent, the answer is 200 or a problem document below 500.
func FuzzQuestion(f *testing.F) {
	for _, seed := range []string{`{}`, `{"user":"ann","k":5}`, `{"lat":1,"lng":2,` + at + `}`, `{"history":[{"poi":"a",` + at + `}]}`,
		`{"area":{"polygon":[[1,2],[3]]}}`, `{"k":1e99}`, `[[[[`, "\x00", `{"area":{"bbox":{}}}`, `null`, `{"time":0}`, `{"lat":-0}`} {
		f.Add(seed, uint8(0))
		f.Add(seed, uint8(3))
	}
	f.Add(`{"inputs":[{"name":"user","shape":[1],"datatype":"BYTES","data":["ann"]},{"name":"time","shape":[1],"datatype":"BYTES","data":["2026-05-04T12:10:00Z"]}]}`, uint8(5))
	b := newBench(f, nil)
	paths := []string{"/v1/recommend", "/v1/rank", "/v1/embed", "/v1/similar", "/v1/explain", "/v2/models/toy/infer", "/v1/traffic", "/v1/models"}
	f.Fuzz(func(t *testing.T, body string, route uint8) {
		path, method := paths[int(route)%len(paths)], "POST"
		if path == "/v1/traffic" {
			method = "PUT"
		}
		got := b.ask(method, path, "admin", body, "Content-Type", "application/json")
		if got.status == 200 {
			return
		}
		if got.problem(t); got.status >= 500 {
			t.Errorf("%s: status %d: %s", path, got.status, got.body)
		}
	})
}

// FuzzBulk: besides, every line is accounted for.
func FuzzBulk(f *testing.F) {
	good := `{"user":"ann","poi":"cafe-1",` + at + `}`
	for _, seed := range []string{good, good + "\n{}\n" + good, "\n\n", "[" + good + ",1]", "[", "\xff\n", "{}{}", good + good} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	b := newBench(f, nil)
	f.Fuzz(func(t *testing.T, body string, array bool) {
		kind := lineType
		if array {
			kind = "application/json"
		}
		got := b.ask("POST", "/v1/actions", "write", body, "Content-Type", kind)
		if got.status != 200 {
			if got.problem(t); got.status >= 500 {
				t.Errorf("status %d: %s", got.status, got.body)
			}
			return
		}
		sum := into[api.BulkResponse](t, got)
		if !slices.IsSortedFunc(sum.Rejected, func(a, b api.Rejected) int { return a.Line - b.Line }) || sum.Refused < len(sum.Rejected) {
			t.Errorf("%+v", sum)
		}
		if array {
			return
		}
		lines := 0
		for line := range strings.SplitSeq(body, "\n") {
			if len(bytes.TrimSpace([]byte(line))) > 0 {
				lines++
			}
		}
		if sum.Accepted+sum.Duplicate+sum.Refused != lines {
			t.Errorf("%d lines, of which %+v", lines, sum)
		}
	})
}
