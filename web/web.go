// Package web is the living map and the status page: what a person sees of the service
// in a browser. All files are carried inside the binary, so that the pages work without
// any other host; the pages talk to the HTTP interface of the service that serves them
// and to nothing else, and their content security policy says so to the browser.
//
// The pages need no key: they hold nothing of anybody. A person types a key into the
// page when the service asks for one, and it stays in that browser tab.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrBadOption is wrapped by what Check returns of an option that cannot be right.
var ErrBadOption = errors.New("bad option of the pages")

// Prefix is the path under which the pages live.
const Prefix = "/map/"

// basemapName is the name under Prefix of the basemap, whatever its file is called.
const basemapName = "basemap.pmtiles"

//go:embed static
var embedded embed.FS

// Options say what the pages show and whom they ask.
type Options struct {
	// Basemap is the path of a PMTiles file drawn below the places; empty for none.
	Basemap string
	// APIBase is the path before /v1 where a proxy puts the service below a path of its
	// own, such as /whereto; empty otherwise.
	APIBase string
}

var basePattern = regexp.MustCompile(`^(/[A-Za-z0-9_.~-]+)*$`)

// Check says what is wrong with the options; what it returns wraps ErrBadOption, or the
// reason why the basemap cannot be read.
func (o Options) Check() error {
	if !basePattern.MatchString(o.APIBase) {
		return fmt.Errorf("%w: APIBase %q: want a path such as /whereto, without a slash at its end, or nothing", ErrBadOption, o.APIBase)
	}
	if o.Basemap == "" {
		return nil
	}
	return checkBasemap(o.Basemap)
}

// types of what the pages are made of; a file of another kind is not served.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// policy lets a page load what this service serves and nothing else. MapLibre makes
// pictures from data and blob addresses; its worker is a file of ours.
const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; " +
	"img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Routes lists the paths that Handler serves, in order.
func Routes() []string {
	out := []string{Prefix, Prefix + basemapName}
	for name := range assets(nil) {
		out = append(out, Prefix+name)
	}
	slices.Sort(out)
	return out
}

// asset is one file of the pages, ready to be sent.
type asset struct {
	kind    string
	plain   []byte
	tag     string
	forever bool // its address changes with its content
	packed  func() []byte
}

// must is for what only a broken build can get wrong: the files are inside the binary.
func must(doing string, err error) {
	if err != nil {
		panic("web: " + doing + ": " + err.Error())
	}
}

// assets returns the files by name; change, if not nil, gives them their final form.
func assets(change func(name string, data []byte) []byte) map[string]*asset {
	out := map[string]*asset{}
	must("read the embedded pages", fs.WalkDir(embedded, "static", func(p string, d fs.DirEntry, err error) error {
		kind, known := types[path.Ext(p)]
		if err != nil || d.IsDir() || !known {
			return err
		}
		data, err := embedded.ReadFile(p)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, "static/")
		if change != nil {
			data = change(name, data)
		}
		sum := sha256.Sum256(data)
		out[name] = &asset{
			kind:    kind,
			plain:   data,
			tag:     hex.EncodeToString(sum[:12]),
			forever: strings.HasPrefix(name, "vendor/"),
			packed:  sync.OnceValue(func() []byte { return pack(data) }),
		}
		return nil
	}))
	return out
}

// pack compresses a file.
func pack(data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(data)
	must("compress a page", errors.Join(err, w.Close()))
	return buf.Bytes()
}

// Handler serves the pages under Prefix. It takes GET and HEAD. Options that Check
// refuses are not mended: a basemap that cannot be read is then answered with 404.
func Handler(o Options) http.Handler {
	files := assets(func(name string, data []byte) []byte {
		if path.Ext(name) != ".html" {
			return data
		}
		return fill(name, data, o)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, r.Method+" is not for pages; use GET", http.StatusMethodNotAllowed)
			return
		}
		name, below := strings.CutPrefix(r.URL.Path, Prefix)
		if !below && r.URL.Path+"/" == Prefix {
			http.Redirect(w, r, "map/", http.StatusMovedPermanently)
			return
		}
		if below && name == basemapName && o.Basemap != "" {
			serveBasemap(w, r, o.Basemap)
			return
		}
		if name == "" {
			name = "index.html"
		}
		a := files[name]
		if !below || a == nil {
			http.Error(w, "there is no such page; the map is at "+Prefix, http.StatusNotFound)
			return
		}
		a.serve(w, r)
	})
}

// fill puts the options into a page.
func fill(name string, data []byte, o Options) []byte {
	var buf bytes.Buffer
	t, err := template.New(name).Parse(string(data))
	must("parse "+name, err)
	must("fill "+name, t.Execute(&buf, struct {
		API     string
		Basemap bool
	}{o.APIBase, o.Basemap != ""}))
	return buf.Bytes()
}

// protect sets what every answer says to the browser.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// serve sends a file, compressed where the browser takes that: the map library is 1.7 MB
// plain and 0.45 MB packed.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache") // ask each time, by tag
	if a.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, tag := a.plain, a.tag
	if takesGzip(r) {
		body, tag = a.packed(), a.tag+"-gz"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(bytes.NewReader(body), 0, int64(len(body))))
}

// takesGzip reads the header Accept-Encoding; a quality of zero is a no. A request for a
// range gets the plain file, whose positions mean something to the asker.
func takesGzip(r *http.Request) bool {
	if r.Header.Get("Range") != "" {
		return false
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimLeft(strings.TrimPrefix(strings.ReplaceAll(quality, " ", ""), "q="), "0.")
			return quality == "" || q != ""
		}
	}
	return false
}
