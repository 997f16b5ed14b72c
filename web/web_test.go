package web_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/web"
)

// get asks a handler; headers come in pairs.
func get(h http.Handler, method, path string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoutes(t *testing.T) {
	routes := web.Routes()
	for _, want := range []string{"/map/", "/map/index.html", "/map/status.html", "/map/basemap.pmtiles", "/map/js/app.js", "/map/vendor/maplibre-gl-6.17.0/maplibre-gl.mjs"} {
		if !slices.Contains(routes, want) {
			t.Errorf("Routes() lacks %s: %v", want, routes)
		}
	}
	h := web.Handler(web.Options{Basemap: pmtiles(t, rasterTile(t))})
	kinds := map[string]string{"": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".pmtiles": "application/vnd.pmtiles"}
	for _, route := range routes {
		res := get(h, "GET", route)
		if want := kinds[filepath.Ext(route)]; res.StatusCode != 200 || res.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s %s, want 200 %s", route, res.Status, res.Header.Get("Content-Type"), want)
		}
		if len(body(t, res)) == 0 || res.Header.Get("ETag") == "" {
			t.Errorf("%s: empty, or without a tag", route)
		}
		wantCache := "no-cache"
		if strings.Contains(route, "/vendor/") {
			wantCache = "public, max-age=31536000, immutable"
		}
		if got := res.Header.Get("Cache-Control"); got != wantCache {
			t.Errorf("%s: Cache-Control %q, want %q", route, got, wantCache)
		}
		again := get(h, "GET", route, "If-None-Match", res.Header.Get("ETag"))
		if again.StatusCode != http.StatusNotModified || len(body(t, again)) != 0 {
			t.Errorf("%s asked again with its tag: %s, want 304", route, again.Status)
		}
		if head := get(h, "HEAD", route); head.StatusCode != 200 || len(body(t, head)) != 0 {
			t.Errorf("HEAD %s: %s, want 200 without a body", route, head.Status)
		}
	}
}

func TestHeaders(t *testing.T) {
	h := web.Handler(web.Options{})
	for _, path := range []string{"/map/", "/map/js/app.js", "/map/nothing"} {
		head := get(h, "GET", path).Header
		csp := head.Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || !containsAll(csp, "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := head.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/map", 301}, {"GET", "/map/nothing", 404}, {"GET", "/map/js/", 404}, {"GET", "/map/../web.go", 404}, {"GET", "/map/vendor/SHA256SUMS", 404},
		{"GET", "/elsewhere", 404}, {"POST", "/map/", 405}, {"DELETE", "/map/js/app.js", 405}, {"GET", "/map/basemap.pmtiles", 404},
	} {
		res := get(h, c.method, c.path)
		if res.StatusCode != c.want {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, res.Status, c.want)
		}
		if c.want == 405 && res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s %s: Allow %q", c.method, c.path, res.Header.Get("Allow"))
		}
	}
}

func TestCompressed(t *testing.T) {
	h := web.Handler(web.Options{})
	const path = "/map/vendor/maplibre-gl-6.17.0/maplibre-gl.mjs"
	plain := get(h, "GET", path)
	for _, c := range []struct {
		accept string
		want   bool
	}{{"gzip, deflate, br", true}, {"br;q=1, GZIP;q=0.5", true}, {"gzip;q=0", false}, {"gzip; q=0.0", false}, {"br", false}, {"", false}} {
		res := get(h, "GET", path, "Accept-Encoding", c.accept)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != c.want {
			t.Errorf("Accept-Encoding %q: compressed %v, want %v", c.accept, got, c.want)
		}
		if same := res.Header.Get("ETag") == plain.Header.Get("ETag"); same == c.want {
			t.Errorf("Accept-Encoding %q: the tags of two forms must differ, of one be the same", c.accept)
		}
		if res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Vary is %q", res.Header.Get("Vary"))
		}
	}
	r, err := gzip.NewReader(get(h, "GET", path, "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(r)
	if want := body(t, plain); err != nil || !bytes.Equal(unpacked, want) {
		t.Errorf("unpacked %d bytes (%v), want the %d of the plain file", len(unpacked), err, len(want))
	}
	part := get(h, "GET", path, "Accept-Encoding", "gzip", "Range", "bytes=0-9")
	if part.StatusCode != 206 || part.Header.Get("Content-Encoding") != "" || len(body(t, part)) != 10 {
		t.Errorf("a range is %s, encoding %q; want ten plain bytes", part.Status, part.Header.Get("Content-Encoding"))
	}
}

// TestVendored compares the files of others with their hashes, so that a change is
// made on purpose, with a new version.
func TestVendored(t *testing.T) {
	sums, err := os.ReadFile("static/vendor/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("line %q of SHA256SUMS", line)
		}
		want[name] = sum
	}
	vendor := os.DirFS("static/vendor")
	licences := map[string]bool{}
	err = fs.WalkDir(vendor, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || p == "SHA256SUMS" {
			return err
		}
		data, err := fs.ReadFile(vendor, p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != want[p] {
			t.Errorf("%s has hash %s, want %s", p, got, want[p])
		}
		licences[filepath.Dir(p)] = licences[filepath.Dir(p)] || filepath.Base(p) == "LICENSE.txt"
		delete(want, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(want) > 0 {
		t.Errorf("files of SHA256SUMS are missing: %v", want)
	}
	for dir, has := range licences {
		if !has {
			t.Errorf("vendor/%s has no LICENSE.txt", dir)
		}
	}
}

var inline = regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:`)
var address = regexp.MustCompile(`https?://[^\s"'` + "`" + `)]+`)

// TestOwnFiles reads our part of the pages: nothing inline, no other host, no long file.
func TestOwnFiles(t *testing.T) {
	spaces := map[string]bool{"http://www.w3.org/2000/svg": true}
	err := fs.WalkDir(os.DirFS("static"), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(p, "vendor/") {
			return err
		}
		data, err := os.ReadFile(filepath.Join("static", p))
		if err != nil {
			return err
		}
		text := string(data)
		if n := strings.Count(text, "\n"); n >= 400 {
			t.Errorf("%s has %d lines, want less than 400", p, n)
		}
		for _, url := range address.FindAllString(text, -1) {
			if !spaces[url] {
				t.Errorf("%s names %s", p, url)
			}
		}
		if found := inline.FindString(text); strings.HasSuffix(p, ".html") && found != "" {
			t.Errorf("%s has %q, which the policy forbids", p, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOptions(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pmtiles")
	if err := os.WriteFile(empty, []byte("PMTiles\x02 and more"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    web.Options
		want error
	}{
		{"nothing", web.Options{}, nil},
		{"a basemap", web.Options{Basemap: pmtiles(t, rasterTile(t))}, nil},
		{"a prefix", web.Options{APIBase: "/where/to"}, nil},
		{"a slash at the end", web.Options{APIBase: "/where/"}, web.ErrBadOption},
		{"another host", web.Options{APIBase: "//example.org"}, web.ErrBadOption},
		{"markup", web.Options{APIBase: `/"><script>`}, web.ErrBadOption},
		{"no such basemap", web.Options{Basemap: empty + "x"}, fs.ErrNotExist},
		{"not a basemap", web.Options{Basemap: empty}, web.ErrBadOption},
	} {
		if err := c.o.Check(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: Check() = %v, want %v", c.name, err, c.want)
		}
	}
	page := string(body(t, get(web.Handler(web.Options{APIBase: "/where/to"}), "GET", "/map/")))
	if !strings.Contains(page, `data-api="/where/to" data-basemap=""`) {
		t.Errorf("the page does not say where the service is: %.200s", page)
	}
	// Options that Check refuses cannot break out of their attribute either.
	if page := string(body(t, get(web.Handler(web.Options{APIBase: `"><script>`}), "GET", "/map/"))); strings.Contains(page, `"><script>`) {
		t.Errorf("APIBase became markup: %.200s", page)
	}
}
