package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
)

// fake is a service in memory, without a network, so that tests can run it on the
// clock of a synctest bubble.
type fake struct {
	mu      sync.Mutex
	stored  map[string][]api.Action
	pois    []api.POI
	asked   []asked // questions and writes, in the order of their arrival
	metrics string

	// script decides what becomes of question or write n, from 0, before it is
	// answered. It may sleep. nil answers at once.
	script func(n int, r *http.Request) error
	// reads decides the same of everything else that is asked.
	reads func(r *http.Request) error
	// lose drops a write after it was acknowledged.
	lose func(a api.Action) bool
}

type asked struct {
	at   time.Time
	path string
	body string
}

// status makes the fake answer with an error.
type status int

func (s status) Error() string { return strconv.Itoa(int(s)) }

var (
	errRefused = fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	errHTML    = errors.New("answer with a page")
)

// newFake has three people, of whom a does six times as much as c, and 200 places.
func newFake() *fake {
	f := &fake{stored: map[string][]api.Action{}}
	for i := range 200 {
		f.pois = append(f.pois, api.POI{ID: fmt.Sprintf("p%d", i), Lat: 40 + float64(i/20)*0.01, Lng: -74 + float64(i%20)*0.01, Closed: i%50 == 49})
	}
	zone := time.FixedZone("", -5*3600)
	for u, n := range map[string]int{"a": 60, "b": 30, "c": 10} {
		for i := range n { // at 8, 12 and 19 o'clock
			at := time.Date(1999, 1, 1+i/3, []int{8, 12, 19}[i%3], 0, 0, 0, zone)
			f.stored[u] = append(f.stored[u], api.Action{ID: fmt.Sprintf("%s%d", u, i), POI: fmt.Sprintf("p%d", i%40), Time: at, Type: "checkin"})
		}
	}
	return f
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	r2 := r.Clone(r.Context())
	r2.Body = io.NopCloser(bytes.NewReader(body))
	f.mu.Lock()
	n := len(f.asked)
	question := r.Method == http.MethodPost
	if question {
		f.asked = append(f.asked, asked{at: time.Now(), path: r.URL.Path, body: string(body)})
	}
	f.mu.Unlock()
	type ending struct {
		res *http.Response
		err error
	}
	done := make(chan ending, 1)
	go func() {
		var err error
		if question && f.script != nil {
			err = f.script(n, r)
		} else if !question && f.reads != nil {
			err = f.reads(r)
		}
		rec := httptest.NewRecorder()
		var s status
		switch {
		case errors.As(err, &s):
			rec.WriteHeader(int(s))
		case err == errHTML:
			rec.WriteString("<html>")
		case err != nil:
			done <- ending{err: err}
			return
		default:
			f.ServeHTTP(rec, r2)
		}
		done <- ending{res: rec.Result()}
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case e := <-done:
		return e.res, e.err
	}
}

// page cuts a list into pages of 7.
func page[T any](r *http.Request, list []T) api.Page[T] {
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor")) // "" is 0
	to := min(len(list), from+7)
	p := api.Page[T]{Items: list[from:to]}
	if to < len(list) {
		p.Next = strconv.Itoa(to)
	}
	return p
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mux := http.NewServeMux()
	send := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			panic(err) // a value of this test that is not JSON
		}
	}
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, f.metrics) })
	mux.HandleFunc("GET /v1/users", func(w http.ResponseWriter, r *http.Request) {
		var users []api.UserSummary
		for u, list := range f.stored {
			users = append(users, api.UserSummary{User: u, Actions: len(list)})
		}
		slices.SortFunc(users, func(a, b api.UserSummary) int { return strings.Compare(a.User, b.User) })
		send(w, page(r, users))
	})
	mux.HandleFunc("GET /v1/users/{user}/actions", func(w http.ResponseWriter, r *http.Request) {
		list, ok := f.stored[r.PathValue("user")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		send(w, page(r, list))
	})
	mux.HandleFunc("GET /v1/pois", func(w http.ResponseWriter, r *http.Request) { send(w, page(r, f.pois)) })
	mux.HandleFunc("POST /v1/recommend", func(w http.ResponseWriter, _ *http.Request) {
		send(w, api.RecommendResponse{Version: api.Version{Model: "v1"}, Source: api.Source{Kind: "model"}})
	})
	mux.HandleFunc("POST /v1/rank", func(w http.ResponseWriter, r *http.Request) {
		var q api.RankRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		send(w, api.RankResponse{Version: api.Version{Model: "v1"}, Source: api.Source{Kind: "fallback"}, Places: make([]api.Place, len(q.Candidates))})
	})
	mux.HandleFunc("POST /v1/similar", func(w http.ResponseWriter, _ *http.Request) { send(w, api.SimilarResponse{}) })
	mux.HandleFunc("POST /v1/explain", func(w http.ResponseWriter, _ *http.Request) { send(w, api.ExplainResponse{}) })
	mux.HandleFunc("POST /v1/actions", func(w http.ResponseWriter, r *http.Request) {
		var got api.BulkResponse
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			var a api.Action
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil || a.POI == "" || a.ID == "" || a.User == "" {
				got.Refused++
				continue
			}
			got.Accepted++
			if f.lose == nil || !f.lose(a) {
				f.stored[a.User] = append(f.stored[a.User], a)
			}
		}
		send(w, got)
	})
	mux.ServeHTTP(w, r)
}

// config asks the fake, without a warm-up.
func (f *fake) config() Config {
	c := Default()
	c.URL, c.HTTP, c.Warmup, c.Mix = "http://whereto.test", &http.Client{Transport: f}, 0, Mix{Recommend: 1}
	return c
}

// due is when an open loop asks, from its beginning.
func due(cfg Config, until time.Duration) (out []time.Duration) {
	r := arrivals(cfg.Seed)
	for at := time.Duration(0); ; {
		at += time.Duration(r.ExpFloat64() / cfg.Rate * float64(time.Second))
		if at >= until {
			return out
		}
		out = append(out, at)
	}
}

func mustRun(t *testing.T, cfg Config, announce <-chan Window) *Result {
	t.Helper()
	r, err := Run(t.Context(), cfg, announce)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// nap sleeps as long as the request waits for it.
func nap(r *http.Request, d time.Duration) {
	select {
	case <-r.Context().Done():
	case <-time.After(d):
	}
}
