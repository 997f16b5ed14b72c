package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
)

// A busy service is asked again only if asking twice does no more than asking once.
func TestRetry(t *testing.T) {
	type ask func(context.Context, *Client) error
	status := func(ctx context.Context, c *Client) error { _, err := c.Status(ctx); return err }
	put := func(first, second string) ask {
		return func(ctx context.Context, c *Client) error {
			_, err := c.PutActions(ctx, Each([]api.Action{{ID: first, POI: "p"}, {ID: second, POI: "p"}}))
			return err
		}
	}
	for _, c := range []struct {
		name   string
		ask    ask
		status int
		after  string // Retry-After
		busy   int    // answers before one that works
		sent   int    // requests, all together
		ok     bool
	}{
		{"works at once", status, 503, "", 0, 1, true},
		{"works in the end", status, 503, "", 2, 3, true},
		{"gives up", status, 503, "", 9, 3, false},
		{"limited", status, 429, "0", 1, 2, true},
		{"a short wait", status, 429, "0.001", 1, 2, true},
		{"a wait beyond the longest", status, 429, "3600", 9, 1, false},
		{"a date far away", status, 503, "Fri, 31 Dec 2999 23:59:59 GMT", 9, 1, false},
		{"a date gone by", status, 503, "Fri, 31 Dec 1999 23:59:59 GMT", 1, 2, true},
		{"not understood", status, 503, "soon", 1, 2, true},
		{"broken", status, 500, "", 9, 1, false},
		{"wrong", status, 400, "", 9, 1, false},
		{"actions with ids", put("a", "b"), 503, "", 1, 2, true},
		{"an action without", put("a", ""), 503, "", 9, 1, false},
		{"probe", func(ctx context.Context, c *Client) error { return c.Ready(ctx) }, 503, "", 9, 1, false},
		{"load", func(ctx context.Context, c *Client) error { _, err := c.Load(ctx, "v"); return err }, 503, "", 9, 1, false},
		{"activate", func(ctx context.Context, c *Client) error { _, err := c.Activate(ctx, "v"); return err }, 503, "", 9, 1, false},
		{"roll back", func(ctx context.Context, c *Client) error { _, err := c.RollBack(ctx); return err }, 429, "", 9, 1, false},
		{"traffic", func(ctx context.Context, c *Client) error { return c.SetTraffic(ctx, api.Traffic{}) }, 503, "", 1, 2, true},
		{"delete", func(ctx context.Context, c *Client) error { _, err := c.DeleteUser(ctx, "u"); return err }, 503, "", 1, 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent atomic.Int64
			cl := newTest(t, func(w http.ResponseWriter, r *http.Request) {
				lines := 0
				for scan := bufio.NewScanner(r.Body); scan.Scan(); {
					lines++
				}
				if n := sent.Add(1); int(n) <= c.busy {
					w.Header().Set("Retry-After", c.after)
					w.WriteHeader(c.status)
					return
				}
				writeJSON(w, api.BulkResponse{Accepted: lines})
			})
			err := c.ask(t.Context(), cl)
			var p *Problem
			if (err == nil) != c.ok || int(sent.Load()) != c.sent || err != nil && (!errors.As(err, &p) || p.Status != c.status) {
				t.Errorf("%d requests, %v; want %d", sent.Load(), err, c.sent)
			}
		})
	}
}

// A wait that the context cannot afford is not begun; one that is cut short names the
// problem and the cause.
func TestRetryEndsWithContext(t *testing.T) {
	var sent atomic.Int64
	cl := newTest(t, func(w http.ResponseWriter, _ *http.Request) {
		sent.Add(1)
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(503)
	})
	cl.retry.MaxWait = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := cl.Status(ctx)
	var p *Problem
	if !errors.As(err, &p) || p.RetryAfter != 30*time.Second || errors.Is(err, context.DeadlineExceeded) || sent.Load() != 1 {
		t.Errorf("%v after %d requests", err, sent.Load())
	}
	cause := errors.New("the user went home")
	stop, end := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { _, err := cl.Status(stop); done <- err }()
	for sent.Load() < 2 { // the second call waits, or is about to
		time.Sleep(time.Millisecond)
	}
	end(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("%v, want the cause", err)
	}
}

func TestBackoff(t *testing.T) {
	r := Retry{Backoff: time.Second, MaxWait: 5 * time.Second}
	for n, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 90: 5 * time.Second} {
		for range 50 {
			if got := r.backoff(n); got < most/2 || got > most {
				t.Fatalf("backoff(%d) = %s, want %s to %s", n, got, most/2, most)
			}
		}
	}
}

// bulks answers as a service that keeps what it gets and rejects the POI "bad".
type bulks struct {
	lines []int
	ids   []string
	lie   int // added to the number accepted
}

func (b *bulks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var got api.BulkResponse
	n := 0
	for scan := bufio.NewScanner(r.Body); scan.Scan(); {
		n++
		var a api.Action
		if err := json.Unmarshal(scan.Bytes(), &a); err != nil || a.POI == "bad" {
			got.Refused++
			if len(got.Rejected) < 100 {
				got.Rejected = append(got.Rejected, api.Rejected{Line: n, Field: "poi", Reason: "unknown"})
			}
			continue
		}
		got.Accepted++
		b.ids = append(b.ids, a.ID)
	}
	b.lines = append(b.lines, n)
	got.Accepted += b.lie
	writeJSON(w, got)
}

func TestPutActions(t *testing.T) {
	numbered := func(n int, bad ...int) iter.Seq2[api.Action, error] {
		return func(yield func(api.Action, error) bool) {
			for i := range n {
				a := api.Action{ID: fmt.Sprint(i), User: "u", POI: "p"}
				if slices.Contains(bad, i) {
					a.POI = "bad"
				}
				if !yield(a, nil) {
					return
				}
			}
		}
	}
	long := func(n, size int) iter.Seq2[api.Action, error] {
		a := api.Action{ID: "a", POI: strings.Repeat("x", size)}
		return Each(slices.Repeat([]api.Action{a}, n))
	}
	for _, c := range []struct {
		name     string
		actions  iter.Seq2[api.Action, error]
		bulks    []int
		accepted int
		rejected []int // line numbers
	}{
		{"none", numbered(0), nil, 0, nil},
		{"one", numbered(1), []int{1}, 1, nil},
		{"just a bulk", numbered(api.MaxBulk), []int{api.MaxBulk}, api.MaxBulk, nil},
		{"two and a bit", numbered(2*api.MaxBulk+3, 5, api.MaxBulk, 2*api.MaxBulk+2), []int{api.MaxBulk, api.MaxBulk, 3}, 2 * api.MaxBulk, []int{6, api.MaxBulk + 1, 2*api.MaxBulk + 3}},
		{"long lines", long(100, 60_000), []int{69, 31}, 100, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bulks{}
			got, err := newTest(t, b.ServeHTTP).PutActions(t.Context(), c.actions)
			var rejected []int
			for _, r := range got.Rejected {
				rejected = append(rejected, r.Line)
			}
			if err != nil || !slices.Equal(b.lines, c.bulks) || got.Accepted != c.accepted || got.Refused != len(c.rejected) || !slices.Equal(rejected, c.rejected) {
				t.Errorf("bulks %v, accepted %d, refused %d, lines %v (%v); want %v, %d, %v", b.lines, got.Accepted, got.Refused, rejected, err, c.bulks, c.accepted, c.rejected)
			}
		})
	}
}

func TestPutActionsFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	b := &bulks{}
	c := newTest(t, b.ServeHTTP)
	got, err := c.PutActions(t.Context(), func(yield func(api.Action, error) bool) {
		for range api.MaxBulk + 1 {
			if !yield(api.Action{ID: "a", POI: "p"}, nil) {
				return
			}
		}
		yield(api.Action{}, broken)
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 10002") || !strings.Contains(err.Error(), "from 10001 on were not sent") || got.Accepted != api.MaxBulk {
		t.Errorf("a sequence that breaks: %d accepted, %v", got.Accepted, err)
	}
	if _, err := c.PutActions(t.Context(), Each([]api.Action{{POI: strings.Repeat("x", maxLine)}})); !errors.Is(err, ErrInput) {
		t.Errorf("a long line: %v", err)
	}
	b.lie = 1
	if _, err := c.PutActions(t.Context(), Each([]api.Action{{POI: "p"}})); !errors.Is(err, ErrAnswer) {
		t.Errorf("a service that counts wrongly: %v", err)
	}
}

// A page at a time is asked for, and none after the caller stops.
func TestPages(t *testing.T) {
	var asked []string
	c := newTest(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+"?"+r.URL.RawQuery)
		page := api.Page[api.POI]{Items: []api.POI{{ID: "a" + r.URL.Query().Get("cursor")}, {ID: "b"}}}
		switch r.URL.Query().Get("cursor") {
		case "":
			page.Next = "1&"
		case "1&":
			page.Next = "2"
		}
		writeJSON(w, page)
	})
	box := &api.Box{South: -33.5, West: 151, North: -33, East: 151.25}
	list := c.POIs(t.Context(), box)
	const first = "/v1/pois?bbox=151%2C-33.5%2C151.25%2C-33&"
	for range 2 { // a sequence begins anew each time
		var ids []string
		asked = nil
		for p, err := range list {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, p.ID)
		}
		if want := []string{"a", "b", "a1&", "b", "a2", "b"}; !slices.Equal(ids, want) {
			t.Errorf("got %q, want %q", ids, want)
		}
		if want := []string{first + "limit=1000", first + "cursor=1%26&limit=1000", first + "cursor=2&limit=1000"}; !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
	}
	asked = nil
	for range list {
		break
	}
	if len(asked) != 1 {
		t.Errorf("after a stop in the first page %d were asked for", len(asked))
	}
}

// A list that runs in a circle, of whatever length, ends with an error; so does one
// that breaks.
func TestPagesLie(t *testing.T) {
	for round := 1; round <= 7; round++ {
		n := 0
		c := newTest(t, func(w http.ResponseWriter, _ *http.Request) {
			n++
			writeJSON(w, api.Page[api.Action]{Items: []api.Action{{ID: "a"}}, Next: fmt.Sprint(n % round)})
		})
		var last error
		for _, err := range c.Actions(t.Context(), "u") {
			last = err
		}
		if !errors.Is(last, ErrAnswer) || n > 3*8 {
			t.Errorf("a circle of %d: %v after %d pages", round, last, n)
		}
	}
	n := 0
	c := newTest(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 2 {
			problem(w, 404, `{"detail":"the cursor is stale"}`)
			return
		}
		writeJSON(w, api.Page[api.UserSummary]{Items: []api.UserSummary{{User: r.URL.Query().Get("prefix") + "1"}}, Next: "x"})
	})
	var users []string
	var last error
	for u, err := range c.Users(t.Context(), "ann") {
		if last = err; err == nil {
			users = append(users, u.User)
		}
	}
	var p *Problem
	if !errors.As(last, &p) || p.Detail != "the cursor is stale" || !slices.Equal(users, []string{"ann1"}) {
		t.Errorf("%q, then %v", users, last)
	}
}

// The places of one service can be put into another as they come.
func TestCopyPOIs(t *testing.T) {
	from := newTest(t, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, api.Page[api.POI]{Items: []api.POI{{ID: "a"}, {ID: "b"}}})
	})
	b := &bulks{}
	to := newTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s with %q", r.Method, r.Header.Get("Content-Type"))
		}
		b.ServeHTTP(w, r)
	})
	if got, err := to.PutPOIs(t.Context(), from.POIs(t.Context(), nil)); err != nil || got.Accepted != 2 || !slices.Equal(b.ids, []string{"a", "b"}) {
		t.Errorf("%+v %q %v", got, b.ids, err)
	}
}
