package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/load"
)

const benchKey = "wt_read_4d1e"

// service is as much of whereto's HTTP interface as a load needs: one person, one place.
type service struct {
	mu      sync.Mutex
	written []api.Action
	lossy   bool          // acknowledges actions and forgets them
	broken  bool          // answers no question
	asked   chan struct{} // closed at the first question
	once    sync.Once
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+benchKey {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	first := api.Action{ID: "1", User: "ann", POI: "inn", Time: time.Date(2013, 2, 1, 12, 0, 0, 0, time.UTC)}
	var answer any
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/users":
		answer = api.Page[api.UserSummary]{Items: []api.UserSummary{{User: "ann", Actions: 1}}}
	case "GET /v1/users/ann/actions":
		answer = api.Page[api.Action]{Items: append([]api.Action{first}, s.written...)}
	case "GET /v1/pois":
		answer = api.Page[api.POI]{Items: []api.POI{{ID: "inn", Lat: 40, Lng: -74}}}
	case "POST /v1/recommend":
		s.once.Do(func() { close(s.asked) })
		if s.broken {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		answer = api.RecommendResponse{Version: api.Version{Model: "v1"}}
	case "POST /v1/actions":
		var a api.Action
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if !s.lossy {
			s.written = append(s.written, a)
		}
		answer = api.BulkResponse{Accepted: 1}
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err) // a value of this test that is not JSON
	}
}

func newService(t *testing.T) (*service, string) {
	s := &service{asked: make(chan struct{})}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Setenv(keyVariable, benchKey)
	return s, server.URL
}

// serveBench runs the command on its own.
func serveBench(ctx context.Context, t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	old := commands
	defer func() { commands = old }()
	commands = nil
	register(func() *cobra.Command {
		c := newBenchServeCmd()
		c.Use = strings.Replace(c.Use, "serve", "measure", 1)
		return c
	})
	var out, errs bytes.Buffer
	status = execute(ctx, append([]string{"measure"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

func TestBenchServe(t *testing.T) {
	s, url := newService(t)
	status, stdout, stderr := serveBench(t.Context(), t, url, "--rate", "50", "--duration", "1s", "--warmup", "100ms",
		"--mix", "recommend=3,actions=1", "--verify-writes", "-o", "json")
	var r load.Result
	if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil {
		t.Fatalf("status %d, %v, %s\n%s", status, err, stderr, stdout)
	}
	if r.Total.Asked < 20 || r.Total.Answered != r.Total.Asked || len(r.Kinds) != 2 || r.Models["v1"] != r.Kinds[0].Asked || !r.Machine.Shared {
		t.Errorf("%+v", r)
	}
	if r.Writes == nil || r.Writes.Found != len(s.written) || r.Writes.Found == 0 || r.Writes.LostCount != 0 {
		t.Errorf("writes %+v, the service has %d", r.Writes, len(s.written))
	}
	if strings.Contains(stdout+stderr, benchKey) || !strings.Contains(stderr, "reading people and places") {
		t.Errorf("standard error %q", stderr)
	}
	status, stdout, stderr = serveBench(t.Context(), t, url, "--clients", "1", "--duration", "1s", "--warmup", "0s", "--mix", "recommend=1", "-o", "markdown")
	if status != 0 || !strings.Contains(stdout, "closed loop, 1 at a time") || !strings.Contains(stdout, "|---|---:|") || !strings.Contains(stdout, "| recommend |") {
		t.Errorf("status %d, %s\n%s", status, stderr, stdout)
	}
}

// A result that cannot be relied on is printed, and the status says so.
func TestBenchServeFails(t *testing.T) {
	s, url := newService(t)
	s.lossy = true
	fast := []string{url, "--rate", "50", "--duration", "1s", "--warmup", "0s", "--progress", "none"}
	status, stdout, stderr := serveBench(t.Context(), t, append(fast, "--mix", "recommend=1,actions=1", "--verify-writes")...)
	if status != 1 || !strings.Contains(stderr, "acknowledged actions are lost") || !strings.Contains(stdout, "of user ann") {
		t.Errorf("lost actions: status %d, %s\n%s", status, stderr, stdout)
	}
	s.broken = true
	status, stdout, stderr = serveBench(t.Context(), t, append(fast, "--mix", "recommend=1")...)
	if status != 1 || !strings.Contains(stderr, "none answered: map[500:") || !strings.Contains(stdout, "Failures") {
		t.Errorf("a broken service: status %d, %s\n%s", status, stderr, stdout)
	}
	t.Setenv(keyVariable, "")
	status, stdout, stderr = serveBench(t.Context(), t, fast...)
	if status != 1 || !strings.Contains(stderr, "status 401") || stdout != "" {
		t.Errorf("no key: status %d, %s\n%s", status, stderr, stdout)
	}
}

func TestBenchServeInterrupt(t *testing.T) {
	s, url := newService(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-s.asked
		cancel()
	}()
	status, stdout, stderr := serveBench(ctx, t, url, "--rate", "1000", "--duration", "1h", "--warmup", "0s", "--mix", "recommend=1")
	if status != 1 || !strings.Contains(stderr, "of 3600 seconds; the result is of that part") || !strings.Contains(stdout, "INTERRUPTED") {
		t.Errorf("status %d, %s\n%s", status, stderr, stdout)
	}
}

func TestBenchServeUsage(t *testing.T) {
	for _, c := range []struct{ args, stderr string }{
		{"", "accepts 1 arg(s)"},
		{"http://localhost:1", "at least one of the flags"},
		{"http://localhost:1 --rate 1 --clients 1", "none of the others can be"},
		{"http://localhost:1 --rate -1", "rate is -1"},
		{"http://localhost:1 --rate 1 --mix dance=1", `there is no kind "dance"`},
		{"http://localhost:1 --rate 1 --duration 1ms", "duration in seconds is 0.001"},
		{"http://localhost:1 --rate 1 --verify-writes", "add actions=10"},
		{"http://localhost:1 --rate 1 -o xml", "use one of table, json, markdown"},
	} {
		status, stdout, stderr := serveBench(t.Context(), t, strings.Fields(c.args)...)
		if status != 2 || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("%s: status %d, %q; want 2 and %q", c.args, status, stderr, c.stderr)
		}
	}
	t.Setenv(keyVariable, benchKey) // nor does the help show it
	if _, stdout, _ := serveBench(t.Context(), t, "--help"); strings.Contains(stdout, benchKey) || !strings.Contains(stdout, keyVariable) {
		t.Error(stdout)
	}
}
