package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/guard"
)

func TestScopes(t *testing.T) {
	b := newBench(t, nil)
	here := `"lat":48.1,"lng":11.5`
	tests := []struct {
		key, method, path, body string
		status                  int
	}{
		{"scene", "POST", "/v1/recommend", `{"scene":"home"}`, 200},
		{"scene", "POST", "/v1/recommend", `{"scene":"work"}`, 403},
		{"scene", "POST", "/v1/recommend", `{}`, 403},
		{"scene", "POST", "/v1/rank", `{"scene":"home","candidates":["a"]}`, 200},
		{"scene", "POST", "/v1/rank", `{"candidates":["a"]}`, 403},
		{"scene", "POST", "/v1/embed", `{"scene":"work"}`, 403},
		{"scene", "POST", "/v1/explain", `{"scene":"work"}`, 403},
		{"scene", "POST", "/v1/similar", `{"poi":"cafe-1"}`, 403},
		{"scene", "POST", "/v1/actions", `[{"user":"ann","poi":"a",` + at + `}]`, 403},
		{"scene", "PUT", "/v1/pois", `[{"id":"a","lat":1,"lng":1}]`, 403},
		{"scene", "GET", "/v1/users", ``, 403},
		{"scene", "GET", "/v1/models", ``, 403},
		{"scene", "GET", "/v1/pois/cafe-1", ``, 403},
		{"scene", "POST", "/v1/models/rollback", ``, 403},
		{"box", "POST", "/v1/recommend", `{` + here + `}`, 200},
		{"box", "POST", "/v1/recommend", `{"lat":50,"lng":11.5}`, 403},
		{"box", "POST", "/v1/recommend", `{}`, 403},
		{"box", "POST", "/v1/recommend", `{"crs":"gcj02",` + here + `}`, 403},
		{"box", "POST", "/v1/explain", `{` + here + `,"what_if":[{"lat":48.2,"lng":11.1}]}`, 200},
		{"box", "POST", "/v1/explain", `{` + here + `,"what_if":[{"lat":40,"lng":11.1}]}`, 403},
		{"box", "POST", "/v1/similar", `{"poi":"cafe-1",` + here + `}`, 200},
		{"box", "POST", "/v1/similar", `{"poi":"cafe-1"}`, 403},
		{"box", "GET", "/v1/pois?bbox=11.1,48.1,11.9,48.9", ``, 200},
		{"box", "GET", "/v1/pois?bbox=11.1,48.1,12.1,48.9", ``, 403},
		{"box", "GET", "/v1/pois?bbox=11.9,48.1,11.1,48.9", ``, 403}, // around the earth
		{"box", "GET", "/v1/pois", ``, 403},
		{"box", "GET", "/v1/pois/cafe-1", ``, 200},
		{"box", "GET", "/v1/pois/none", ``, 403},
		{"box", "DELETE", "/v1/pois/cafe-1", ``, 403},
		{"box", "DELETE", "/v1/users/ann", ``, 403},
		{"box", "GET", "/v1/status", ``, 403},
	}
	for _, tt := range tests {
		got := b.ask(tt.method, tt.path, tt.key, tt.body)
		if got.status != tt.status {
			t.Errorf("%s %s %s with the key %s: status %d, want %d: %s", tt.method, tt.path, tt.body, tt.key, got.status, tt.status, got.body)
		}
		if tt.status == 403 {
			got.problem(t)
		}
	}
	lines := `{"user":"ann","poi":"a",` + at + `,` + here + `}` + "\n" + `{"user":"ann","poi":"a",` + at + `}`
	if got := into[api.BulkResponse](t, b.ask("POST", "/v1/actions", "box", lines, "Content-Type", lineType)); got.Accepted != 1 || got.Refused != 1 || got.Rejected[0].Line != 2 {
		t.Errorf("actions in and out of the area: %+v", got)
	}
}

func TestWithoutKeys(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:8080": true, "[::1]:8080": true, "localhost:0": true, ":8080": false, "0.0.0.0:8080": false, "10.0.0.1:80": false, "example.org:80": false, "": false} {
		metrics := newBench(t, nil).o.Metrics
		_, err := New(Options{Desk: newFakeDesk(), Address: address, Limits: DefaultLimits(), Metrics: metrics, Log: slog.New(slog.DiscardHandler)})
		if (err == nil) != want || err != nil && !errors.Is(err, ErrOptions) {
			t.Errorf("%q without keys: error %v, want to work: %v", address, err, want)
		}
	}
	b := newBench(t, func(o *Options) { o.Keys, o.Address = nil, "127.0.0.1:8080" })
	for _, tt := range []struct {
		host, header, value string
		status              int
	}{
		{"127.0.0.1:8080", "", "", 200},
		{"localhost:8080", "", "", 200},
		{"[::1]:8080", "", "", 200},
		{"evil.example:8080", "", "", 403}, // a name that leads here
		{"127.0.0.1.evil.example", "", "", 403},
		{"localhost:8080", "Sec-Fetch-Site", "cross-site", 403},
		{"localhost:8080", "Origin", "https://evil.example", 403},
		{"localhost:8080", "Origin", "http://localhost:8080", 200},
		{"localhost:8080", "Sec-Fetch-Site", "same-origin", 200},
	} {
		r := httptest.NewRequest("POST", "/v1/models/rollback", nil)
		r.Host = tt.host
		if tt.header != "" {
			r.Header.Set(tt.header, tt.value)
		}
		if got := roundTrip(b.Handler(), r); got.status != tt.status {
			t.Errorf("to %s with %s %s: status %d, want %d", tt.host, tt.header, tt.value, got.status, tt.status)
		}
	}
	none, err := guard.NewRing(t.Context(), guard.RingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b = newBench(t, func(o *Options) { o.Keys, o.Address = none, "127.0.0.1:8080" })
	if got := b.ask("GET", "/v1/status", "admin", ""); got.status != 401 {
		t.Errorf("a ring without keys lets somebody in: status %d", got.status)
	}
}

func TestBadOptions(t *testing.T) {
	good := newBench(t, nil).o
	for name, change := range map[string]func(*Options){
		"no desk":            func(o *Options) { o.Desk = nil },
		"no patience":        func(o *Options) { o.Limits.Patience = 0 },
		"nothing at once":    func(o *Options) { o.Limits.Running = 0 },
		"a negative rate":    func(o *Options) { o.Limits.Rate = -1 },
		"a rate, no burst":   func(o *Options) { o.Limits.Rate, o.Limits.Burst = 1, 0 },
		"all origins":        func(o *Options) { o.Origins = []string{"*"} },
		"an origin's path":   func(o *Options) { o.Origins = []string{"https://a.example/"} },
		"an origin's joker":  func(o *Options) { o.Origins = []string{"https://*.example"} },
		"a missing basemap":  func(o *Options) { o.Web.Basemap = "no-such.pmtiles" },
		"no delay of header": func(o *Options) { o.Limits.HeaderTimeout = 0 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRates(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.Rate, o.Limits.Burst = 0.001, 2 })
	for i, want := range []int{200, 200, 429} {
		got := b.ask("GET", "/v1/status", "read", "")
		if got.status != want {
			t.Fatalf("request %d: status %d, want %d", i, got.status, want)
		}
		if want == 429 {
			got.problem(t)
			if wait, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || wait < 900 {
				t.Errorf("Retry-After %q, want some 1000 s", got.header.Get("Retry-After"))
			}
		}
	}
	if got := b.ask("GET", "/v1/status", "admin", ""); got.status != 200 {
		t.Errorf("another key: status %d", got.status)
	}
	if got := b.ask("GET", "/readyz", "read", ""); got.status != 200 {
		t.Errorf("a probe: status %d", got.status)
	}
}

// A rate that changes under way holds for the next request, in its words too.
func TestSetRate(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.Rate, o.Limits.Burst = 0.001, 1 })
	ask := func() reply { return b.ask("GET", "/v1/status", "read", "") }
	if first, second := ask(), ask(); first.status != 200 || second.status != 429 {
		t.Fatalf("status %d, then %d; want 200, 429", first.status, second.status)
	}
	if err := b.SetRate(0.002, 2); err != nil {
		t.Fatal(err)
	}
	if first, second, third := ask(), ask(), ask(); first.status != 200 || second.status != 200 || third.status != 429 || !strings.Contains(third.body, "0.002") {
		t.Errorf("with two at once: %d, %d, %d %s", first.status, second.status, third.status, third.body)
	}
	if err := b.SetRate(1, 0); !errors.Is(err, ErrOptions) {
		t.Errorf("no burst: error %v", err)
	}
	if got := ask(); got.status != 429 {
		t.Errorf("what cannot be does not leave the old in force: status %d", got.status)
	}
	if err := b.SetRate(0, 0); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if got := ask(); got.status != 200 {
			t.Fatalf("without a limit: status %d", got.status)
		}
	}
}

func TestFullQueue(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Limits.Running, o.Limits.Queue, o.Limits.Patience = 1, 1, 50*time.Millisecond
	})
	inside, leave := make(chan struct{}, 4), make(chan struct{})
	b.desk.instead = func(context.Context, api.RecommendRequest) (*api.RecommendResponse, error) {
		inside <- struct{}{}
		<-leave
		return &api.RecommendResponse{}, nil
	}
	first := make(chan reply)
	go func() { first <- b.ask("POST", "/v1/recommend", "read", `{}`) }()
	<-inside
	got := b.ask("POST", "/v1/recommend", "read", `{}`)
	if got.problem(t); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("a second question: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/livez", "/readyz", "/v1/status", "/v1/pois"} {
		if got := b.ask("GET", path, "read", ""); got.status != 200 {
			t.Errorf("%s while questions wait: status %d", path, got.status)
		}
	}
	if got := b.ask("POST", "/v1/recommend", "", `{}`); got.status != 401 {
		t.Errorf("a stranger: status %d, want 401, whatever the queue", got.status)
	}
	close(leave)
	if got := <-first; got.status != 200 {
		t.Errorf("the first question: status %d", got.status)
	}
	if got := b.ask("POST", "/v1/recommend", "read", `{}`); got.status != 200 {
		t.Errorf("afterwards: status %d", got.status)
	}
}

func TestLateAndGone(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.Timeout = 20 * time.Millisecond })
	b.desk.instead = func(ctx context.Context, _ api.RecommendRequest) (*api.RecommendResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	got := b.ask("POST", "/v1/recommend", "read", `{}`)
	if p := got.problem(t); got.status != 504 || p.Type != "/problems/late" {
		t.Errorf("late: %d %s", got.status, got.body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest("POST", "/v1/recommend", strings.NewReader(`{}`)).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+b.tokens["read"])
	roundTrip(b.Handler(), r)
	s, err := b.o.Metrics.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range s.Routes {
		if route.Route == "recommend" && (route.ByStatus["499"] != 1 || route.ByStatus["504"] != 1) {
			t.Errorf("counted %v, want one late and one that went away", route.ByStatus)
		}
	}
}

func TestOrigins(t *testing.T) {
	const site = "https://maps.example"
	b := newBench(t, func(o *Options) { o.Origins = []string{site} })
	for _, tt := range []struct {
		method, path, origin, asks string
		status                     int
		allowed                    string
	}{
		{"OPTIONS", "/v1/recommend", site, "POST", 204, site},
		{"OPTIONS", "/v1/recommend", site, "DELETE", 405, site},
		{"OPTIONS", "/v1/nothing", site, "POST", 404, site},
		{"OPTIONS", "/v1/recommend", "https://evil.example", "POST", 405, ""},
		{"GET", "/v1/status", site, "", 200, site},
		{"GET", "/v1/status", "https://maps.example.evil.example", "", 200, ""},
	} {
		got := b.ask(tt.method, tt.path, "read", "", "Origin", tt.origin, "Access-Control-Request-Method", tt.asks)
		if got.status != tt.status || got.header.Get("Access-Control-Allow-Origin") != tt.allowed {
			t.Errorf("%+v: status %d, allowed %q", tt, got.status, got.header.Get("Access-Control-Allow-Origin"))
		}
	}
	if got := newBench(t, nil).ask("GET", "/v1/status", "read", "", "Origin", site); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("without the option a site is allowed")
	}
}

// operate sends a request to the admin listener.
func operate(h http.Handler, method, path, body, token string) reply {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost"
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return roundTrip(h, r)
}

const token = "a-long-token-of-the-operator"

func TestAdminRoutes(t *testing.T) {
	var level slog.LevelVar
	b := newBench(t, func(o *Options) { o.AdminToken, o.Level = token, &level })
	for _, r := range adminRows() {
		path := strings.TrimSuffix(r.path, "{$}")
		if path == "/reload" || strings.HasSuffix(path, "/profile") || strings.HasSuffix(path, "/trace") {
			path += "?seconds=0.01"
		}
		for _, wrong := range []string{"", "x", token + "x", b.tokens["admin"]} {
			want := 401
			if r.need == public {
				want = 200
			}
			if got := operate(b.AdminHandler(), r.method, path, strings.Repeat("x", int(min(r.body, 4))), wrong); got.status != want {
				t.Errorf("%s with the token %q: status %d, want %d", r.pattern(), wrong, got.status, want)
			}
		}
		body := ""
		if r.body > 0 {
			body = "debug"
		}
		if strings.HasSuffix(r.path, "/profile") {
			continue // takes a second at least
		}
		if got := operate(b.AdminHandler(), r.method, path, body, token); got.status != 200 {
			t.Errorf("%s with the token: status %d: %.200s", r.pattern(), got.status, got.body)
		}
	}
	if strings.Contains(b.log.String(), token) {
		t.Error("the log holds the token")
	}
}

func TestAdmin(t *testing.T) {
	reloads := 0
	var level slog.LevelVar
	b := newBench(t, func(o *Options) {
		o.AdminToken, o.Level = token, &level
		o.Reload = func(context.Context) ([]string, error) {
			reloads++
			if reloads > 1 {
				return nil, errors.New("the folder of models is gone")
			}
			return []string{"listen"}, nil
		}
	})
	if got := operate(b.AdminHandler(), "POST", "/reload", "", token); got.body != `{"reloaded":true,"restart":["listen"]}`+"\n" {
		t.Errorf("reload: %d %s", got.status, got.body)
	}
	operate(b.AdminHandler(), "PUT", "/loglevel", "debug", token)
	if level.Level() != slog.LevelDebug || reloads != 1 {
		t.Errorf("level %v, %d reloads; want debug and 1", level.Level(), reloads)
	}
	if got := operate(b.AdminHandler(), "PUT", "/loglevel", "loud", token); got.status != 422 || level.Level() != slog.LevelDebug {
		t.Errorf("an unknown level: status %d", got.status)
	}
	if got := operate(b.AdminHandler(), "POST", "/reload", "", token); got.status != 409 || !strings.Contains(got.body, "gone") {
		t.Errorf("a failed reload: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/debug/pprof/cmdline", "/v1/status", "/"} {
		if got := operate(b.AdminHandler(), "GET", path, "", token); got.status != 404 {
			t.Errorf("%s: status %d", path, got.status)
		}
	}
	if got := operate(b.AdminHandler(), "GET", "/metrics", "", token); !strings.Contains(got.body, "whereto_build_info") {
		t.Errorf("metrics: %.200s", got.body)
	}
	open := newBench(t, nil)
	if got := operate(open.AdminHandler(), "GET", "/metrics", "", ""); got.status != 200 {
		t.Errorf("without a token: status %d", got.status)
	}
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Host = "evil.example"
	if got := roundTrip(open.AdminHandler(), r); got.status != 403 {
		t.Errorf("under a foreign name: status %d", got.status)
	}
}
