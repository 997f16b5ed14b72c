package load

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
)

func mustClient(t *testing.T, cfg Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg.URL, client.Options{HTTP: cfg.HTTP, Retry: client.Retry{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Acknowledged writes are looked up; the lost ones are named. Writes that were not
// acknowledged may be missing.
func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Rate, cfg.Duration, cfg.Warmup, cfg.VerifyWrites = 10, 30*time.Second, 5*time.Second, true
		cfg.Mix = Mix{Recommend: 1, Actions: 1}
		var lost []string
		f.lose = func(a api.Action) bool {
			lose := strings.HasSuffix(a.ID, "7")
			if lose {
				lost = append(lost, a.User+" "+a.ID)
			}
			return lose
		}
		refused := 0
		f.script = func(n int, r *http.Request) error {
			if r.URL.Path == "/v1/actions" && n%4 == 0 {
				refused++
				return errRefused
			}
			return nil
		}
		w := mustRun(t, cfg, nil).Writes
		sent := len(slices.DeleteFunc(f.asked, func(a asked) bool { return a.path != "/v1/actions" }))
		var got []string
		for _, l := range w.Lost {
			got = append(got, l.User+" "+l.ID)
		}
		slices.Sort(got)
		slices.Sort(lost)
		if w.Acknowledged != sent-refused || w.LostCount != len(lost) || w.Found != w.Acknowledged-len(lost) || w.Unchecked != 0 || !slices.Equal(got, lost) || len(lost) == 0 || refused == 0 {
			t.Errorf("%+v\nwant %d acknowledged, lost %q", w, sent-refused, lost)
		}
	})
}

// The end of the run does not always find a service at its best.
func TestVerifyOfAWeakService(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *fake) // after the load
		want   Writes
		reason string
	}{
		{"all is well", func(*fake) {}, Writes{Acknowledged: 3, Found: 3}, ""},
		{"away for half a minute", func(f *fake) {
			until := time.Now().Add(30 * time.Second)
			f.reads = func(*http.Request) error {
				if time.Now().Before(until) {
					return errRefused
				}
				return nil
			}
		}, Writes{Acknowledged: 3, Found: 3}, ""},
		{"starting", func(f *fake) {
			until := time.Now().Add(20 * time.Second)
			f.reads = func(*http.Request) error {
				if time.Now().Before(until) {
					return status(503)
				}
				return nil
			}
		}, Writes{Acknowledged: 3, Found: 3}, ""},
		{"gone for good", func(f *fake) {
			f.reads = func(*http.Request) error { return errRefused }
		}, Writes{Acknowledged: 3, Unchecked: 3}, "connection refused"},
		{"forbidden", func(f *fake) {
			f.reads = func(*http.Request) error { return status(403) }
		}, Writes{Acknowledged: 3, Unchecked: 3}, "status 403"},
		{"a person is gone", func(f *fake) { delete(f.stored, "a") }, Writes{Acknowledged: 3, Found: 1, LostCount: 2}, ""},
		{"never ends", func(f *fake) {
			f.reads = func(r *http.Request) error { nap(r, time.Hour); return nil }
		}, Writes{Acknowledged: 3, Unchecked: 3}, "stopped"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			l := ledger{}
			for _, a := range []api.Action{{User: "a", ID: "x1"}, {User: "a", ID: "x2"}, {User: "b", ID: "x3"}} {
				f.stored[a.User] = append(f.stored[a.User], a)
				l.add(a.User, a.ID)
			}
			c.change(f)
			var lines []string
			got := l.verify(t.Context(), mustClient(t, f.config()), func(line string) { lines = append(lines, line) })
			if got.Acknowledged != c.want.Acknowledged || got.Found != c.want.Found || got.LostCount != c.want.LostCount || got.Unchecked != c.want.Unchecked || !strings.Contains(got.Reason, c.reason) || (got.Reason == "") != (c.reason == "") {
				t.Errorf("%s: %+v, want %+v because of %q", c.name, *got, c.want, c.reason)
			}
			if len(lines) != 1 || !strings.Contains(lines[0], "3 acknowledged actions of 2 people") {
				t.Errorf("%s: progress %q", c.name, lines)
			}
		})
	}
}

// Only actions that the service refuses count as rejected, and they are not looked up.
func TestRejectedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.stored = map[string][]api.Action{"a": {{ID: "1", Time: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}}} // no POI, and none in the catalog
		f.pois = nil
		cfg := f.config()
		cfg.Rate, cfg.Duration, cfg.VerifyWrites, cfg.Mix = 10, 5*time.Second, true, Mix{Actions: 1}
		r := mustRun(t, cfg, nil)
		if r.Total.Errors["rejected"] != r.Total.Asked || r.Total.Asked == 0 || r.Writes.Acknowledged != 0 {
			t.Errorf("%+v, %+v", r.Total, r.Writes)
		}
	})
}

// Written actions come in the order of time, after all the person did, never in the
// future, and before any question of the same load.
func TestWritesComeBeforeQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		last := map[string]time.Time{}
		f.stored["b"][29].Time = time.Now().Add(-3 * time.Hour) // is still active
		f.stored["c"][9].Time = time.Now().Add(time.Hour)       // has a fast clock
		for u, list := range f.stored {
			last[u] = list[len(list)-1].Time
		}
		cfg := f.config()
		cfg.Rate, cfg.Duration, cfg.Mix = 50, 20*time.Second, Mix{Recommend: 1, Actions: 1}
		mustRun(t, cfg, nil)
		written, earliest := map[string]time.Time{}, map[string]time.Time{}
		for _, a := range f.asked {
			var x api.Action
			if err := json.Unmarshal([]byte(a.body), &x); err != nil {
				t.Fatal(err)
			}
			at, u := x.Time, x.User
			if a.path != "/v1/actions" {
				if earliest[u].IsZero() || at.Before(earliest[u]) {
					earliest[u] = at
				}
				continue
			}
			inOrder := !at.Before(written[u])
			written[u] = at
			if !inOrder || u != "c" && (!at.After(last[u]) || at.After(a.at)) || u == "c" && !at.Equal(last[u]) {
				t.Errorf("%s wrote at %s, last was %s, now is %s", u, at, last[u], a.at)
			}
		}
		for u := range last {
			if written[u].IsZero() || earliest[u].Before(written[u]) {
				t.Errorf("%s: written until %s, asked from %s", u, written[u], earliest[u])
			}
		}
	})
}
