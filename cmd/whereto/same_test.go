package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/serve"
	"github.com/whereto/whereto/store"
	storeopen "github.com/whereto/whereto/store/open"
	"github.com/whereto/whereto/telemetry"
	"github.com/whereto/whereto/tune"
)

// sameOnEachStore asks services on every store the same, one request at a time, and
// wants the same bytes: nothing that a store keeps, orders or rounds may reach an answer.
func sameOnEachStore(t *testing.T, c *chain) {
	asks := requests(c.base.Dataset, 7, 420)
	// Nobody's past stays in memory, so that each answer is of what the store has.
	want := newHouse(t, c, "sqlite:"+filepath.Join(t.TempDir(), "state.db"), 1).answers(t, asks)
	enough(t, asks, want)
	for _, s := range []struct {
		name    string
		address func(testing.TB) string
		hot     int
	}{
		{"sqlite and memory", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "state.db") }, desk.DefaultHotActions},
		{"postgres", testkit.Postgres, 1},
		{"redis", testkit.Redis, 1},
	} {
		t.Run(s.name, func(t *testing.T) {
			got := newHouse(t, c, s.address(t), s.hot).answers(t, asks)
			wrong := 0
			for i, a := range asks {
				if got[i] == want[i] {
					continue
				}
				if wrong++; wrong <= 3 {
					t.Errorf("request %d, %s:\n%s\nhere   %s\nSQLite %s", i, a, a.body, got[i], want[i])
				}
			}
			if wrong > 3 {
				t.Errorf("%d of %d answers differ", wrong, len(asks))
			}
		})
	}
}

// house is a whole service but for its listener: a model with its stages, a store, HTTP.
type house struct {
	h    http.Handler
	next string // cursor of the last page
}

// newHouse opens a service on a store that it fills with the data of the chain.
func newHouse(t *testing.T, c *chain, address string, hotActions int) *house {
	t.Helper()
	ctx := t.Context()
	home, err := storeopen.Open(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := home.Close(); err != nil {
			t.Error(err)
		}
	})
	live := recommend.DefaultLive()
	live.Batch = 1
	lib := &library{backend: c.backend, folders: map[string]string{}, stages: [2]string{c.at("rank"), c.at("embed")}, tune: tune.Options{Backend: c.backend}, live: live}
	if err := lib.add(ctx, c.at("run")); err != nil {
		t.Fatal(err)
	}
	lib.opened = func(_ string, d *poi.Dataset) {
		if err := desk.Import(ctx, home, d, func(int, int) {}); err != nil {
			t.Error(err)
		}
	}
	now := lastMoment(c.base.Dataset).Add(2 * time.Hour)
	d, err := desk.New(desk.Options{Store: home, Load: lib.load, HotActions: hotActions, Follow: time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	if _, err := d.ActivateModel(ctx, lib.order[0]); err != nil {
		t.Fatal(err)
	}
	metrics, err := telemetry.NewMetrics("test", serve.RouteNames())
	if err != nil {
		t.Fatal(err)
	}
	limits := serve.DefaultLimits()
	limits.Rate, limits.Timeout = 0, 2*time.Minute
	s, err := serve.New(serve.Options{Desk: d, Address: "127.0.0.1:0", Limits: limits, Metrics: metrics, Log: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return &house{h: s.Handler()}
}

// lastMoment is the time of the last visit of a data set.
func lastMoment(d *poi.Dataset) (last time.Time) {
	for u := range d.Users {
		for _, v := range d.Users[u].Visits {
			if at := moment(v.TimeMS, v.OffsetMin); at.After(last) {
				last = at
			}
		}
	}
	return last
}

// Parts of answers that are of the service's making: names of requests, and cursors, of
// which the order in which a store numbers its rows is a part.
var (
	requestID = regexp.MustCompile(`"request_id":"[^"]*"`)
	cursor    = regexp.MustCompile(`"next":"([^"]+)"`)
)

// answers asks one request after another.
func (h *house) answers(t *testing.T, asks []ask) []string {
	t.Helper()
	out := make([]string, len(asks))
	for i, a := range asks {
		out[i] = h.answer(t, a)
	}
	return out
}

// answer is the status, the kind and the whole body of an answer, but for what differs
// each time.
func (h *house) answer(t *testing.T, a ask) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), a.method, strings.ReplaceAll(a.path, "{next}", h.next), strings.NewReader(a.body))
	r.Host, r.RemoteAddr = "localhost", "127.0.0.1:9"
	if a.body != "" {
		r.Header.Set("Content-Type", a.kind)
	}
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	body := w.Body.String()
	if m := cursor.FindStringSubmatch(body); m != nil {
		h.next = m[1]
	} else if strings.Contains(a.path, "limit=") {
		h.next = ""
	}
	body = cursor.ReplaceAllString(requestID.ReplaceAllString(body, `"request_id":"-"`), `"next":"-"`)
	if a.what == "status" { // the rest of it is of the machine and the hour
		var s api.Status
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return counted(t, w.Code, store.Counts{Actions: s.Actions, Users: s.Users, POIs: s.POIs})
	}
	return counted(t, w.Code, nil) + w.Header().Get("Content-Type") + " " + body
}

// counted is a status with what was counted.
func counted(t *testing.T, status int, what any) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode([]any{status, what}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// enough fails a list that leaves something out: each kind of request must have been
// answered, and answers must come from everywhere.
func enough(t *testing.T, asks []ask, answers []string) {
	t.Helper()
	good, all := map[string]int{}, strings.Join(answers, "\n")
	for i, a := range asks {
		if strings.HasPrefix(answers[i], "[20") {
			good[a.what]++
		}
	}
	for what := range kinds {
		if good[what] < 5 && what != "nonsense" || good[what] > 0 && what == "nonsense" {
			t.Errorf("%d requests of the kind %q were answered", good[what], what)
		}
	}
	for _, part := range []string{`"source":"copy"`, `"source":"generate"`, `"source":"cold"`, `"source":"rank"`, `"next":"-"`, `"duplicate":1`, "new user", "no action before",
		"no known place", "does not know were left out", `"closed":true`, `"known":true`, `"type":"Feature"`, `"places":[]`, `"lat":0,"lng":0`, `"lat":0,"lng":-180`, "[404,", "[422,", "[400,"} {
		if !strings.Contains(all, part) {
			t.Errorf("no answer has %s", part)
		}
	}
}
