package serve

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/whereto/whereto/api"
)

// curl is a command of the documentation.
type curl struct {
	method, target, body string
	headers              []string
}

// words splits a command as a shell does: blanks separate, quotes hold together, and a
// backslash at the end of a line goes on.
func words(t *testing.T, command string) (out []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?s)'[^']*'|"[^"]*"|\S+`).FindAllString(strings.ReplaceAll(command, "\\\n", " "), -1) {
		out = append(out, strings.Trim(m, `'"`))
	}
	return out
}

func parseCurl(t *testing.T, command string) curl {
	t.Helper()
	c := curl{}
	w := words(t, command)
	for i := 1; i < len(w); i++ {
		switch w[i] {
		case "-s":
		case "-X":
			i++
			c.method = w[i]
		case "-H":
			i++
			name, value, ok := strings.Cut(w[i], ": ")
			if !ok {
				t.Fatalf("%s: header %q", command, w[i])
			}
			c.headers = append(c.headers, name, value)
		case "-d", "--data-binary":
			i++
			c.body = w[i]
		default:
			u, err := url.Parse(w[i])
			if err != nil || u.Host != "localhost:8080" {
				t.Fatalf("%s: what is %q?", command, w[i])
			}
			c.target = u.RequestURI()
		}
	}
	if c.method == "" {
		c.method = map[bool]string{true: "GET", false: "POST"}[c.body == ""]
	}
	return c
}

// TestDocs runs every command of docs/API.md, in order.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	b := newBench(t, nil)
	ran := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for _, command := range regexp.MustCompile(`(?m)^curl `).Split(block[1], -1)[1:] {
			c := parseCurl(t, "curl "+command)
			for i := range c.headers {
				c.headers[i] = strings.ReplaceAll(c.headers[i], "$KEY", b.tokens["admin"])
			}
			got := b.ask(c.method, c.target, "", c.body, c.headers...)
			if got.status != 200 && got.status != 204 {
				t.Errorf("curl %s\nstatus %d: %s", command, got.status, got.body)
			}
			path, _, _ := strings.Cut(c.target, "?")
			_, pattern := b.board.mux.Handler(request(t, c.method, path))
			ran[pattern] = true
		}
	}
	for _, r := range table() {
		if strings.HasPrefix(r.path, "/v1/") && !ran[r.pattern()] {
			t.Errorf("%s has no example", r.pattern())
		}
	}
	for _, k := range kinds {
		if !strings.Contains(page, fmt.Sprintf("| `%s` | %d | ", k.name, k.status)) {
			t.Errorf("the problem %s with status %d has no row", k.name, k.status)
		}
	}
	for name, limit := range map[string]int{"`k`": api.MaxK, "actions of a history": api.MaxHistory, "candidates, places to embed": api.MaxCandidates,
		"places to exclude": api.MaxExclude, "vertices of a polygon": api.MaxVertices, "a page of a list": api.MaxPage, "rows of an inference": maxRows} {
		if !strings.Contains(page, fmt.Sprintf("| %s | %d", name, limit)) {
			t.Errorf("the limit %d of %s is not in the table", limit, name)
		}
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(ran) == 0 || len(blocks) != 2 {
		t.Fatalf("%d commands, %d answers", len(ran), len(blocks))
	}
	bulk := b.ask("POST", "/v1/actions", "write", `{"user":"eve","poi":"cafe-1",`+at+`}`+"\n"+`{"user":"eve","poi":"a","time":"1926-05-04T12:10:00+02:00"}`, "Content-Type", lineType)
	wrong := b.ask("POST", "/v1/recommend", "read", `{"usr":"ann"}`)
	for i, got := range []reply{bulk, wrong} {
		var want, have map[string]any
		if err := json.Unmarshal([]byte(blocks[i][1]), &want); err != nil {
			t.Fatalf("%v: %s", err, blocks[i][1])
		}
		if err := json.Unmarshal([]byte(got.body), &have); err != nil {
			t.Fatal(err)
		}
		delete(want, "request_id")
		delete(have, "request_id")
		if fmt.Sprint(want) != fmt.Sprint(have) {
			t.Errorf("the page says %v, the service %v", want, have)
		}
	}
}
