package deploy_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/serve"
	"github.com/whereto/whereto/telemetry"
)

// scraped is what Prometheus may ask for: label names and values by series.
type scraped map[string]map[string][]string

var (
	sampleLine = regexp.MustCompile(`(?m)^([a-z_0-9]+)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
)

// scrapeAll fills every metric and reads what is served.
func scrapeAll(t *testing.T) scraped {
	t.Helper()
	m, err := telemetry.NewMetrics("v1", serve.RouteNames())
	if err != nil {
		t.Fatal(err)
	}
	for s := telemetry.ModelLoading; s <= telemetry.ModelFailed; s++ {
		m.ModelIs("m", fmt.Sprint("v", s), s)
	}
	m.ModelAnswered("v1", "a")
	at := time.Now()
	m.Recommended(telemetry.Answer{User: "u", Asked: at, POIs: []string{"p"}})
	m.Acted("u", "p", at)
	for _, status := range []int{200, 500} {
		for _, route := range serve.RouteNames() {
			m.Answered(route, "POST", status, time.Millisecond)
		}
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	out := scraped{"up": {"job": nil, "instance": nil}}
	for _, line := range sampleLine.FindAllStringSubmatch(w.Body.String(), -1) {
		if out[line[1]] == nil {
			out[line[1]] = map[string][]string{"job": nil, "instance": nil} // Prometheus adds them
		}
		for _, l := range labelPair.FindAllStringSubmatch(line[2], -1) {
			out[line[1]][l[1]] = append(out[line[1]][l[1]], l[2])
		}
	}
	defined := 0
	for _, d := range m.Definitions() {
		for _, s := range d.Series() {
			if out[s] == nil {
				t.Errorf("%s is defined and not scraped", s)
			}
			defined++
		}
	}
	if defined < 30 {
		t.Fatalf("%d series are defined; the scrape is broken", defined)
	}
	return out
}

var (
	selector  = regexp.MustCompile(`([a-z_:][a-z_0-9:]*)(\{[^}]*\})`)
	bareName  = regexp.MustCompile(`\b(?:whereto|go|process)_[a-z_0-9]+\b|\bup\b`)
	matcher   = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	groupings = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
)

// checkExpr says what in an expression no scrape can answer.
func (all scraped) checkExpr(expr string) (bad []string) {
	names := bareName.FindAllString(selector.ReplaceAllString(expr, "$1"), -1)
	if len(names) == 0 {
		bad = append(bad, "names no metric")
	}
	labels := map[string]bool{"le": true}
	for _, n := range names {
		if all[n] == nil {
			bad = append(bad, "there is no series "+n)
		}
		for l := range all[n] {
			labels[l] = true
		}
	}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			values, there := all[s[1]][m[1]]
			if !there {
				bad = append(bad, s[1]+" has no label "+m[1])
			} else if values != nil && !anyMatches(values, m[2], m[3]) {
				bad = append(bad, s[1]+" never has "+m[0])
			}
		}
	}
	for _, g := range groupings.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); l != "" && !labels[l] {
				bad = append(bad, "groups by "+l+", which no metric here has")
			}
		}
	}
	return bad
}

// anyMatches reports whether one of the values that can occur fits, and for a list of
// words whether each of them can occur.
func anyMatches(values []string, op, want string) bool {
	switch op {
	case "=", "!=":
		return slices.Contains(values, want)
	}
	for word := range strings.SplitSeq(want, "|") {
		whole, err := regexp.Compile("^(?:" + word + ")$")
		if err != nil || (op == "=~" && !slices.ContainsFunc(values, whole.MatchString)) {
			return false
		}
	}
	return true
}

// The check is tested itself, so that it cannot pass by finding nothing.
func TestCheckExpr(t *testing.T) {
	all := scrapeAll(t)
	for expr, want := range map[string]int{
		`sum by (route) (rate(whereto_requests_total{job="$job"}[5m]))`: 0,
		`rate(whereto_request_seconds_bucket{route="recommend"}[5m])`:   0,
		`whereto_model_loaded{state=~"failed|active"}`:                  0,
		`up == 0`:                 0,
		`vector(1)`:               1,
		`whereto_request_total`:   1,
		`whereto_request_seconds`: 1,
		`whereto_requests_total{path="/v1/recommend"}`:                             1,
		`whereto_refused_total{reason="tired"}`:                                    1,
		`whereto_model_loaded{state=~"failed|sleeping"}`:                           1,
		`sum by (path) (whereto_requests_total)`:                                   1,
		`sum by (path) (whereto_nothing{job="$job"}) / go_nothing + process_no_ne`: 5,
	} {
		if bad := all.checkExpr(expr); len(bad) != want {
			t.Errorf("%s: %q, want %d complaints", expr, bad, want)
		}
	}
}

// panels are the panels of a dashboard, those of rows included.
type panel struct {
	ID      int     `json:"id"`
	Title   string  `json:"title"`
	Type    string  `json:"type"`
	Panels  []panel `json:"panels"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
	GridPos struct{ X, Y, W, H int } `json:"gridPos"`
}

func TestDashboardAsksForWhatIsThere(t *testing.T) {
	all := scrapeAll(t)
	data, err := os.ReadFile("grafana/dashboards/whereto.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		UID    string  `json:"uid"`
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	ids, asked := map[int]bool{}, 0
	for i, p := range board.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d (%q): its id is taken or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, q := range board.Panels[:i] {
			if a, b := p.GridPos, q.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, q.Title)
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			asked++
			for _, bad := range all.checkExpr(target.Expr) {
				t.Errorf("panel %q: %s: %s", p.Title, bad, target.Expr)
			}
		}
	}
	if board.UID == "" || asked < 30 {
		t.Errorf("dashboard %q asks %d questions", board.UID, asked)
	}
}

// rules is a file of Prometheus alerts.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

func TestAlertsAskForWhatIsThere(t *testing.T) {
	all := scrapeAll(t)
	var file rules
	readYAML(t, "prometheus/alerts.yml", &file)
	operations, err := os.ReadFile("../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			alerts[r.Alert] = true
			for _, bad := range all.checkExpr(r.Expr) {
				t.Errorf("%s: %s", r.Alert, bad)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q, want page or ticket", r.Alert, s)
			}
			if want := "docs/OPERATIONS.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want || r.Annotations["summary"] == "" {
				t.Errorf("%s: runbook %q, want %q, and a summary", r.Alert, r.Annotations["runbook"], want)
			}
			if !strings.Contains(string(operations), "\n### "+r.Alert+"\n") {
				t.Errorf("docs/OPERATIONS.md has no section %s", r.Alert)
			}
		}
	}
	if len(alerts) < 10 {
		t.Errorf("%d alerts; the file was not read", len(alerts))
	}
	for _, section := range regexp.MustCompile(`(?m)^### (Whereto\w+)$`).FindAllStringSubmatch(string(operations), -1) {
		if !alerts[section[1]] {
			t.Errorf("docs/OPERATIONS.md explains %s, which is no alert", section[1])
		}
	}
}

// readYAML reads one file with one document.
func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
