package serve

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/web"
)

var errMissing = store.ErrNotFound

// concrete fills the names of a path.
func concrete(path string) string {
	return strings.NewReplacer("{user}", "ann-the-person", "{id}", "cafe-1", "{version}", "v1", "/v2/models/{name}", "/v2/models/toy", "{name}", "invalid", "{$}", "").Replace(path)
}

func TestRoles(t *testing.T) {
	b := newBench(t, nil)
	for _, r := range table() {
		if r.path == web.Prefix+"basemap.pmtiles" {
			continue // there is none
		}
		for key, want := range map[string]int{"": 401, "wrong": 401, "expired": 401, "read": 403, "write": 403, "admin": 0} {
			reached := map[string]access{"read": read, "write": write, "admin": admin}[key] >= r.need
			if r.need == public || reached {
				want = 0
			}
			got := b.ask(r.method, concrete(r.path), key, "")
			switch {
			case want == 0 && (got.status == 401 || got.status == 403 || got.status == 404 || got.status >= 500):
				t.Errorf("%s with key %q: status %d, want to get in: %.200s", r.pattern(), key, got.status, got.body)
			case want != 0 && got.status != want:
				t.Errorf("%s with key %q: status %d, want %d", r.pattern(), key, got.status, want)
			case want != 0:
				p := got.problem(t)
				if (p.Type == "/problems/unauthorized") != (want == 401) {
					t.Errorf("%s with key %q: %+v", r.pattern(), key, p)
				}
				if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != (want == 401) {
					t.Errorf("%s with key %q: WWW-Authenticate %q", r.pattern(), key, challenge)
				}
			}
		}
	}
	said := b.log.String()
	if strings.Count(said, "\n") < len(table()) {
		t.Fatalf("only %d lines were logged", strings.Count(said, "\n"))
	}
	for name, token := range b.tokens {
		if token == "" {
			continue
		}
		secret := token[strings.LastIndex(token, "_")+1:]
		if strings.Contains(said, secret[:16]) {
			t.Errorf("the log holds the key %q", name)
		}
	}
	if strings.Contains(said, "ann-the-person") {
		t.Error("the log holds the name of a user")
	}
}

func TestEveryRouteHasARow(t *testing.T) {
	b := newBench(t, nil)
	rows := map[string]bool{}
	for _, r := range table() {
		rows[r.pattern()] = true
	}
	for path, item := range b.api.OpenAPI().Paths {
		for method, op := range map[string]any{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if text, _ := json.Marshal(op); string(text) != "null" && !rows[method+" "+path] {
				t.Errorf("%s %s is described and has no row", method, path)
			}
		}
	}
	for _, path := range web.Routes() {
		if got := b.ask("GET", path, "", ""); got.status != 200 && path != web.Prefix+"basemap.pmtiles" {
			t.Errorf("GET %s: status %d", path, got.status)
		}
	}
	for pattern := range rows {
		if !b.board.used[pattern] {
			t.Errorf("%s has no handler", pattern)
		}
	}
	wrap := func(*row, step) http.Handler { return http.NotFoundHandler() }
	board, err := newBoard([]row{{method: "GET", path: "/a", name: "a", need: public}}, wrap)
	if err != nil {
		t.Fatal(err)
	}
	if err := board.check(); err == nil {
		t.Error("a row without a handler passed")
	}
	board.HandleFunc("GET /a", nil)
	if err := board.check(); err != nil {
		t.Errorf("a whole board: %v", err)
	}
	board.HandleFunc("GET /b", nil)
	if err := board.check(); err == nil || !strings.Contains(err.Error(), "/b") {
		t.Errorf("a handler without a row: error %v", err)
	}
	for _, bad := range [][]row{{{method: "GET", path: "/a", name: "a"}}, {{method: "GET", path: "/a", need: read}},
		{{method: "GET", path: "/a", name: "a", need: read}, {method: "GET", path: "/a", name: "b", need: public}}} {
		if _, err := newBoard(bad, wrap); err == nil {
			t.Errorf("the table %+v passed", bad)
		}
	}
}

func TestUnknownAddresses(t *testing.T) {
	b := newBench(t, nil)
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/v1/secret", 404, ""},
		{"GET", "/v1/recommend/", 404, ""},
		{"GET", "//v1/status", 404, ""},
		{"GET", "/v1/../v1/status", 404, ""},
		{"GET", "/map/../v1/status", 404, ""},
		{"GET", "/map/no-such-file", 404, ""},
		{"GET", "/metrics", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/docs/../../etc/passwd", 404, ""},
		{"GET", "/problems/none", 404, ""},
		{"DELETE", "/v1/recommend", 405, "POST"},
		{"PATCH", "/v1/pois", 405, "GET, HEAD, PUT"},
		{"BREW", "/livez", 405, "GET, HEAD"},
	}
	for _, tt := range tests {
		got := b.ask(tt.method, tt.path, "admin", "")
		got.problem(t)
		if got.status != tt.status || got.header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: status %d, Allow %q; want %d, %q", tt.method, tt.path, got.status, got.header.Get("Allow"), tt.status, tt.allow)
		}
	}
	for _, path := range []string{"/", "/map"} {
		if got := b.ask("GET", path, "", ""); got.status != 307 || got.header.Get("Location") != "map/" {
			t.Errorf("GET %s: status %d to %q", path, got.status, got.header.Get("Location"))
		}
	}
	if got := b.ask("HEAD", "/v1/status", "read", ""); got.status != 200 {
		t.Errorf("HEAD: status %d", got.status)
	}
}

func TestNames(t *testing.T) {
	b := newBench(t, nil)
	for _, id := range []string{"a/b", "..", "ä ö", "a?b", "100%"} {
		path := "/v1/users/" + strings.NewReplacer("/", "%2F", "..", "%2E%2E", "ä ö", "%C3%A4%20%C3%B6", "?", "%3F", "100%", "100%25").Replace(id)
		if got := into[map[string]any](t, b.ask("DELETE", path, "admin", "")); got["user"] != id {
			t.Errorf("%s names %q, want %q", path, got["user"], id)
		}
	}
	if got := b.ask("DELETE", "/v1/users/%ff", "admin", ""); got.status != 400 {
		t.Errorf("a name that is no text: status %d", got.status)
	}
	if got := b.ask("GET", "/v1/users?prefix=%ff", "read", ""); got.status != 400 {
		t.Errorf("a prefix that is no text: status %d", got.status)
	}
}

func TestProblemPages(t *testing.T) {
	b := newBench(t, nil)
	var names []string
	for _, k := range kinds {
		got := b.ask("GET", "/problems/"+k.name, "", "")
		if got.status != 200 || !strings.Contains(got.body, k.title) || !strings.Contains(got.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: status %d, %s", k.name, got.status, got.body)
		}
		if slices.Contains(names, k.name) || k.help == "" || k.status < 400 {
			t.Errorf("%s stands twice, or says nothing", k.name)
		}
		names = append(names, k.name)
	}
}

func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	b := newBench(t, nil)
	for _, path := range docsRoutes() {
		got := b.ask("GET", path, "", "")
		if got.status != 200 || len(got.body) == 0 {
			t.Errorf("GET %s: status %d, %d bytes", path, got.status, len(got.body))
		}
		policy := got.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "http") {
			t.Errorf("GET %s: policy %q lets something in", path, policy)
		}
	}
	page := b.ask("GET", "/docs", "", "").body
	if strings.Contains(page, "//") || strings.Contains(page, "<script>") {
		t.Errorf("the page names another host, or holds a script that the policy refuses:\n%s", page)
	}
	for _, link := range []string{"docs/swagger-ui.css", "docs/favicon-32x32.png", "docs/swagger-ui-bundle.js", "docs/start.js"} {
		if !strings.Contains(page, `"`+link+`"`) {
			t.Errorf("the page does not load %s", link)
		}
	}
}

// example runs the example of a body.
func (b *bench) example(t *testing.T, r row, kind string, example any) {
	t.Helper()
	body, ok := example.(string)
	if !ok && example != nil {
		raw, err := json.Marshal(example)
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)
	}
	if body == "" {
		if kind == "application/json" && r.lane != bulk {
			t.Errorf("%s has no example", r.pattern())
		}
		return
	}
	if got := b.ask(r.method, concrete(r.path), "admin", body, "Content-Type", kind); got.status != 200 {
		t.Errorf("the example of %s: status %d: %s", r.pattern(), got.status, got.body)
	}
}

func TestOpenAPI(t *testing.T) {
	b := newBench(t, nil)
	text := b.ask("GET", "/openapi.json", "", "")
	type content map[string]struct{ Example any }
	type operation struct {
		OperationID string
		Parameters  []struct{ Name, In string }
		RequestBody struct{ Content content }
		Security    []map[string][]string
	}
	document := into[struct {
		OpenAPI    string
		Paths      map[string]map[string]operation
		Components struct{ Schemas map[string]any }
	}](t, text)
	if document.OpenAPI != "3.1.0" {
		t.Errorf("version %q", document.OpenAPI)
	}
	seen := map[string]bool{}
	for _, r := range table() {
		if !strings.HasPrefix(r.path, "/v1/") && !strings.HasPrefix(r.path, "/v2") && !strings.HasSuffix(r.path, "z") {
			continue
		}
		op, ok := document.Paths[r.path][strings.ToLower(r.method)]
		if !ok || op.OperationID == "" || seen[op.OperationID] {
			t.Errorf("%s is not described, or its name %q stands twice", r.pattern(), op.OperationID)
		}
		seen[op.OperationID] = true
		if (len(op.Security) > 0) != (r.need != public) {
			t.Errorf("%s: security %v", r.pattern(), op.Security)
		}
		for part := range strings.SplitSeq(r.path, "/") {
			name := strings.Trim(part, "{}")
			if part != name && !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name && p.In == "path" }) {
				t.Errorf("%s: nothing reads {%s}", r.pattern(), name)
			}
		}
		if r.body > 0 && len(op.RequestBody.Content) == 0 {
			t.Errorf("%s takes a body that is not described", r.pattern())
		}
		for kind, c := range op.RequestBody.Content {
			b.example(t, r, kind, c.Example)
		}
	}
	for _, name := range []string{"Problem", "RecommendRequest", "Action", "POI", "BulkResponse"} {
		if document.Components.Schemas[name] == nil {
			t.Errorf("the schema %s is missing", name)
		}
	}
	if document.Components.Schemas["ErrorModel"] != nil || strings.Contains(text.body, "schemas/ErrorModel") {
		t.Error("the document describes errors that nobody is sent")
	}
	if yaml := b.ask("GET", "/openapi.yaml", "", ""); yaml.status != 200 || !strings.Contains(yaml.body, "/v1/recommend:") {
		t.Errorf("as YAML: status %d, %.200s", yaml.status, yaml.body)
	}
}
