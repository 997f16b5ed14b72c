package media

import (
	"context"
	"encoding/json"
	"errors"
	"image/color"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whereto/whereto/endpoint"
	"github.com/whereto/whereto/poi"
)

// embedder answers texts with (3, 0, 4) and images with (0, 5, 0), after failing
// first failing requests.
func embedder(t *testing.T, failing int64) (url string, calls *atomic.Int64, seen *atomic.Value) {
	t.Helper()
	calls, seen = new(atomic.Int64), new(atomic.Value)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= failing {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var body struct {
			Input []any `json:"input"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		data := make([]map[string]any, len(body.Input))
		for i, in := range body.Input {
			data[i] = map[string]any{"index": i, "embedding": []float32{0, 5, 0}}
			if text, ok := in.(string); ok {
				seen.Store(text)
				data[i]["embedding"] = []float32{3, 0, 4}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"data": data}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1", calls, seen
}

func remoteConfig(url string) Config {
	c := Default()
	c.Kind, c.Dim, c.Image = Endpoint, 3, ImageNone
	c.Server.URL, c.Server.Model, c.Server.PerMinute, c.Server.Backoff = url, "tiny", 0, time.Microsecond
	return c
}

// By hand: (3,0,4)/5 for a text, (0,1,0) for an image, the mean of both scaled to 1.
func TestRemote(t *testing.T) {
	url, _, seen := embedder(t, 2)
	c := remoteConfig(url)
	c.Prefix, c.MaxText = "passage: ", 5
	red := picture(t, 4, 4, plain(color.RGBA{R: 255, A: 255}))
	items := []Item{{Text: "Sea View"}, {Image: red}, {Text: "Sea View", Image: red}, {}, {Text: " \n"}}
	for image, want := range map[string][][]float64{
		ImageNone:    {{.6, 0, .8}, {0, 0, 0}, {.6, 0, .8}, {0, 0, 0}, {0, 0, 0}},
		ImageDataURL: {{.6, 0, .8}, {0, 1, 0}, {.6 / math.Sqrt2, 1 / math.Sqrt2, .8 / math.Sqrt2}, {0, 0, 0}, {0, 0, 0}},
	} {
		c.Image = image
		e, err := New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range mustEncode(t, e, items...) {
			wantNear(t, image, v, want[i], 1e-6)
		}
		if got := seen.Load(); got != "passage: Sea V" {
			t.Errorf("the server saw %q", got)
		}
		if s := e.(*remote).Stats(); s.Calls == 0 {
			t.Errorf("stats %+v", s)
		}
		if !strings.Contains(e.Name(), "tiny") || !strings.Contains(e.Name(), image) || e.Dim() != 3 {
			t.Errorf("name %q, dim %d", e.Name(), e.Dim())
		}
		_, err = e.Encode(context.Background(), []Item{{Image: []byte("GIF89a")}})
		if (image == ImageDataURL) != errors.Is(err, poi.ErrBadInput) {
			t.Errorf("image %s, a GIF: %v", image, err)
		}
	}
	c.Dim = 4
	e, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Encode(context.Background(), items[:1]); !errors.Is(err, endpoint.ErrAnswer) {
		t.Errorf("a server of another dimension: %v", err)
	}
}

// A catalog through a server: a second run makes no call, with either cache alone.
func TestRemoteVectorsAreKept(t *testing.T) {
	url, calls, _ := embedder(t, 0)
	places, details := catalog(30)
	for i := range details {
		details[i].Image = nil
	}
	c := remoteConfig(url)
	c.Server.Cache = t.TempDir()
	dir := t.TempDir()
	var first *Matrix
	for i, cacheDir := range []string{dir, dir, ""} {
		e, err := New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Vectors(context.Background(), e, places, details, cacheDir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = m
			calls.Store(0)
		} else if !slices.Equal(m.Data, first.Data) || calls.Load() != 0 {
			t.Errorf("run %d made %d calls", i, calls.Load())
		}
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Kind: None}, nil); !errors.Is(err, poi.ErrBadInput) || (Config{Kind: None}).Validate() != nil {
		t.Errorf("kind none is valid but has no encoder: %v", err)
	}
	for what, edit := range map[string]func(*Config){
		"kind":             func(c *Config) { c.Kind = "magic" },
		"image of builtin": func(c *Config) { c.Image = ImageDataURL },
		"image of local":   func(c *Config) { c.Kind, c.Dim, c.Folder = Local, 0, "x" },
		"small":            func(c *Config) { c.Dim = minBuiltin - 1 },
		"large":            func(c *Config) { c.Dim = maxDim + 1 },
		"max_text":         func(c *Config) { c.MaxText = 0 },
		"prefix":           func(c *Config) { c.Prefix = strings.Repeat("x", 1001) },
		"no folder":        func(c *Config) { *c = localConfig("") },
		"no dim":           func(c *Config) { *c = remoteConfig("http://localhost/v1"); c.Dim = 0 },
	} {
		c := Default()
		edit(&c)
		if _, err := New(c, nil); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := New(remoteConfig(""), nil); !errors.Is(err, endpoint.ErrInput) {
		t.Errorf("no url: %v", err)
	}
}

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"äöü", 2, "äö"}, {"äöü", 9, "äöü"}, {"", 1, ""}, {"a\xffb", 2, "a\ufffd"}} {
		if got := cut(tc.s, tc.n); got != tc.want {
			t.Errorf("%q to %d: %q, want %q", tc.s, tc.n, got, tc.want)
		}
	}
}
