package serve

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/guard"
	"github.com/whereto/whereto/web"
)

// access says whose requests a route takes. Its zero value is none of them, so that a
// row which forgets to say is refused when the service is built.
type access uint8

const (
	public access = iota + 1
	read
	write
	admin
)

// role is what a key must have; public routes ask for none.
func (a access) role() guard.Role { return guard.Role(a - public) }

// lane is the queue in which a request waits for its turn.
type lane uint8

const (
	free      lane = iota // answered at once: probes, pages, lists
	questions             // runs the model
	bulk                  // takes many lines and the memory to hold them
)

// Limits of bodies, bytes.
const (
	noBody   = 0
	question = 1 << 20
	bulkBody = 32 << 20
)

// row declares one route. Nothing is served that has no row.
type row struct {
	method string
	path   string // as http.ServeMux reads it
	name   string // in metrics; several pages may share one
	need   access
	body   int64 // most bytes of a request's body
	lane   lane
	span   span
	page   bool // of files: sent as it comes, rather than held until it is whole
	// scoped says that the handler holds requests against the scope of their key. All
	// other routes refuse keys that have one.
	scoped bool
}

func (r *row) pattern() string { return r.method + " " + r.path }

// span is how long a route may take; Limits says how long that is.
type span uint8

const (
	brief span = iota // Limits.Timeout
	long              // Limits.BulkTimeout
	slow              // Limits.LoadTimeout
)

func (l *Limits) timeout(s span) time.Duration {
	return [...]time.Duration{brief: l.Timeout, long: l.BulkTimeout, slow: l.LoadTimeout}[s]
}

// table lists every route of the service.
func table() []row {
	rows := []row{
		{method: "POST", path: "/v1/recommend", name: "recommend", need: read, scoped: true, body: question, lane: questions},
		{method: "POST", path: "/v1/rank", name: "rank", need: read, scoped: true, body: question, lane: questions},
		{method: "POST", path: "/v1/embed", name: "embed", need: read, scoped: true, body: question, lane: questions},
		{method: "POST", path: "/v1/similar", name: "similar", need: read, scoped: true, body: question, lane: questions},
		{method: "POST", path: "/v1/explain", name: "explain", need: read, scoped: true, body: question, lane: questions},

		{method: "POST", path: "/v1/actions", name: "put_actions", need: write, scoped: true, body: bulkBody, lane: bulk, span: long},
		{method: "GET", path: "/v1/users", name: "users", need: read},
		{method: "GET", path: "/v1/users/{user}/actions", name: "actions", need: read},
		{method: "DELETE", path: "/v1/users/{user}", name: "delete_user", need: admin, span: long},
		{method: "PUT", path: "/v1/pois", name: "put_pois", need: write, scoped: true, body: bulkBody, lane: bulk, span: long},
		{method: "GET", path: "/v1/pois", name: "pois", need: read, scoped: true},
		{method: "GET", path: "/v1/pois/{id}", name: "poi", need: read, scoped: true},
		{method: "DELETE", path: "/v1/pois/{id}", name: "close_poi", need: write},

		{method: "GET", path: "/v1/models", name: "models", need: read},
		{method: "POST", path: "/v1/models", name: "load_model", need: admin, body: question, span: slow},
		{method: "POST", path: "/v1/models/{version}/activate", name: "activate_model", need: admin, span: slow},
		{method: "POST", path: "/v1/models/rollback", name: "roll_back", need: admin, span: slow},
		{method: "GET", path: "/v1/traffic", name: "traffic", need: read},
		{method: "PUT", path: "/v1/traffic", name: "set_traffic", need: admin, body: question, span: slow},
		{method: "GET", path: "/v1/status", name: "status", need: read},

		{method: "GET", path: "/livez", name: "livez", need: public},
		{method: "GET", path: "/readyz", name: "readyz", need: public},

		{method: "GET", path: "/v2", name: "v2_server", need: read},
		{method: "GET", path: "/v2/health/live", name: "v2_live", need: public},
		{method: "GET", path: "/v2/health/ready", name: "v2_ready", need: public},
		{method: "GET", path: "/v2/models/{name}", name: "v2_model", need: read},
		{method: "GET", path: "/v2/models/{name}/ready", name: "v2_model_ready", need: read},
		{method: "GET", path: "/v2/models/{name}/versions/{version}", name: "v2_version", need: read},
		{method: "GET", path: "/v2/models/{name}/versions/{version}/ready", name: "v2_version_ready", need: read},
		{method: "POST", path: "/v2/models/{name}/infer", name: "infer", need: read, scoped: true, body: question, lane: questions},
		{method: "POST", path: "/v2/models/{name}/versions/{version}/infer", name: "infer_version", need: read, scoped: true, body: question, lane: questions},

		{method: "GET", path: "/openapi.json", name: "openapi", need: public},
		{method: "GET", path: "/openapi.yaml", name: "openapi", need: public},
		{method: "GET", path: "/problems/{name}", name: "problem", need: public},
		{method: "GET", path: "/{$}", name: "home", need: public},
		{method: "GET", path: "/map", name: "home", need: public},
	}
	for _, path := range docsRoutes() {
		rows = append(rows, row{method: "GET", path: path, name: "docs", need: public, page: true})
	}
	for _, path := range mapRoutes() {
		rows = append(rows, row{method: "GET", path: path, name: "map", need: public, page: true})
	}
	return rows
}

// mapRoutes lists the paths of the pages of package web as patterns.
func mapRoutes() []string {
	out := web.Routes()
	for i, path := range out {
		if strings.HasSuffix(path, "/") {
			out[i] += "{$}" // this path, not all below it
		}
	}
	return out
}

// RouteNames lists the names that telemetry.NewMetrics must know.
func RouteNames() []string {
	var names []string
	for _, r := range table() {
		if !slices.Contains(names, r.name) {
			names = append(names, r.name)
		}
	}
	return names
}

// board is a mux that serves what the table declares and nothing else.
type board struct {
	mux  *http.ServeMux
	rows map[string]*row // by pattern
	used map[string]bool
	wrap func(*row, step) http.Handler
	err  error // the first handler without a row
}

func newBoard(rows []row, wrap func(*row, step) http.Handler) (*board, error) {
	b := &board{mux: http.NewServeMux(), rows: map[string]*row{}, used: map[string]bool{}, wrap: wrap}
	for i := range rows {
		r := &rows[i]
		switch {
		case r.need < public || r.need > admin:
			return nil, fmt.Errorf("route %s: it does not say who may ask; give its row an access", r.pattern())
		case r.name == "":
			return nil, fmt.Errorf("route %s: it has no name for metrics", r.pattern())
		case b.rows[r.pattern()] != nil:
			return nil, fmt.Errorf("route %s: it stands twice in the table", r.pattern())
		}
		b.rows[r.pattern()] = r
	}
	return b, nil
}

// HandleFunc implements the mux of humago.
func (b *board) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	b.handle(pattern, plain(h))
}

// plain makes a step of a handler that writes its own refusals.
func plain(h http.HandlerFunc) step {
	return func(w http.ResponseWriter, r *http.Request) error {
		h(w, r)
		return nil
	}
}

// handle serves a pattern that has a row.
func (b *board) handle(pattern string, h step) {
	r := b.rows[pattern]
	if r == nil || b.used[pattern] {
		if b.err == nil {
			b.err = fmt.Errorf("route %s: it has no row in the table, or two handlers", pattern)
		}
		return
	}
	b.used[pattern] = true
	b.mux.Handle(pattern, b.wrap(r, h))
}

// check reports handlers without a row and rows without a handler.
func (b *board) check() error {
	if b.err != nil {
		return b.err
	}
	for pattern := range b.rows {
		if !b.used[pattern] {
			return fmt.Errorf("route %s: nothing handles it", pattern)
		}
	}
	return nil
}

// ServeHTTP implements the mux of humago.
func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.mux.ServeHTTP(w, r) }
