package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
	"github.com/whereto/whereto/internal/testkit"
)

// lines is a standard error that can be read while the program writes it.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// servant is a `whereto serve` under test.
type servant struct {
	url  string
	err  *lines
	stop func() int // ends it as SIGTERM does, and returns its status
}

var (
	mapLine = regexp.MustCompile(`map: +(http://[^/]+)/map/`)
	ready   = regexp.MustCompile(`ready: version (\S+) answers`)
)

// startService runs `whereto serve` with more arguments and waits until it answers.
func startService(t *testing.T, args ...string) *servant {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &servant{err: &lines{}}
	status := make(chan int, 1)
	go func() {
		status <- execute(ctx, append([]string{"serve", "--backend", "go", "--listen", "127.0.0.1:0", "--admin-listen", "", "--drain-delay", "0"}, args...), io.Discard, s.err)
	}()
	var once sync.Once
	code := -1
	s.stop = func() int {
		once.Do(func() { cancel(); code = <-status })
		return code
	}
	t.Cleanup(func() { s.stop() })
	for end := time.Now().Add(2 * time.Minute); ; {
		if m := mapLine.FindStringSubmatch(s.err.String()); m != nil && ready.MatchString(s.err.String()) {
			s.url = m[1]
			return s
		}
		select {
		case code := <-status:
			status <- code
			t.Fatalf("serve ended with status %d:\n%s", code, s.err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("serve is not ready:\n%s", s.err)
		}
	}
}

// TestServe goes the way of a new user: a run becomes a service, whose answers are
// those of eval in process; what was sent survives a restart; a bundle on a shelf does
// the same and can be switched.
func TestServe(t *testing.T) {
	dir := trainTiny(t)
	run, db := filepath.Join(dir, "run"), "sqlite:"+filepath.Join(dir, "state.db")
	s := startService(t, run, "--store", db)
	out, stderr, status := at(t, dir, "eval @/run --through "+s.url+" --through-rows 300 -o json")
	var a agreement
	if status != 0 || json.Unmarshal([]byte(out), &a) != nil || a.Rows < 20 || a.SameLists != a.Rows || a.MaxProb > 1e-5 {
		t.Fatalf("status %d: %s%s", status, out, stderr)
	}
	for k, x := range a.InProcess {
		if a.Service[k] != x {
			t.Errorf("%s is %v in process, %v through the service", k, x, a.Service[k])
		}
	}
	c, err := client.New(s.url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	now := time.Now().Truncate(time.Second)
	done, err := c.PutActions(ctx, client.Each([]api.Action{{ID: "1", User: "newcomer", POI: "anywhere", Time: now.Add(-time.Hour)}}))
	if err != nil || done.Accepted != 1 {
		t.Fatalf("%+v (%v)", done, err)
	}
	alike := likeThree(t, c)
	if status := s.stop(); status != 0 {
		t.Fatalf("told to stop, it ends with status %d:\n%s", status, s.err)
	}

	shelf := filepath.Join(dir, "models")
	version, stderr, status := at(t, dir, "models pack @/run --models @/models --activate")
	if version = strings.TrimSpace(version); status != 0 || version == "" {
		t.Fatalf("pack: status %d: %s", status, stderr)
	}
	vectors, look := "memory", func() int { return 0 }
	t.Run("vectors in PostgreSQL", func(t *testing.T) { vectors, look = databaseOfVectors(t) })
	s = startService(t, run, "--models", shelf, "--store", db, "--vectors", vectors)
	if c, err = client.New(s.url, client.Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: "newcomer", Time: now}, K: 3})
	if err != nil || len(got.Places) != 3 || got.Ignored != 1 || got.Version.Model != version {
		t.Fatalf("after the restart: %+v (%v), want version %s and one ignored action", got, err, version)
	}
	if now := likeThree(t, c); !reflect.DeepEqual(now, alike) {
		t.Errorf("places alike with vectors elsewhere:\n%+v\nwant\n%+v", now, alike)
	}
	models, err := c.Models(ctx)
	if err != nil || len(models) != 2 {
		t.Fatalf("%+v (%v)", models, err)
	}
	other := models[0].Version
	if other == version {
		other = models[1].Version
	}
	if m, err := c.Activate(ctx, other); err != nil || m.State != "active" {
		t.Fatalf("activate %s: %+v (%v)", other, m, err)
	}
	if m, err := c.RollBack(ctx); err != nil || m.Version != version {
		t.Fatalf("roll back: %+v (%v)", m, err)
	}
	if n := look(); vectors != "memory" && n != 1 {
		t.Errorf("%d tables of two versions with the same vectors, want 1", n)
	}
	if status := s.stop(); status != 0 || strings.Contains(s.err.String(), "hunter2") {
		t.Fatalf("status %d:\n%s", status, s.err)
	}
	if n := look(); n != 0 {
		t.Errorf("the service has left %d tables of vectors", n)
	}
}

// databaseOfVectors returns the address of a database, with a password in it, and a
// function that counts the sets in it.
func databaseOfVectors(t *testing.T) (address string, look func() int) {
	address = strings.Replace(testkit.Pgvector(t), "whereto@", "whereto:hunter2@", 1)
	return address, func() (n int) {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// likeThree lists the places that are like three of them, without scores, whose last
// digits depend on where the vectors are.
func likeThree(t *testing.T, c *client.Client) (out []api.SimilarPlace) {
	t.Helper()
	n := 0
	for p, err := range c.POIs(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Similar(t.Context(), api.SimilarRequest{POI: p.ID, K: 10, Area: &api.Area{RadiusM: 1e6}})
		if err != nil || len(got.Places) != 10 {
			t.Fatalf("%+v (%v)", got, err)
		}
		for i := range got.Places {
			got.Places[i].Score = 0
		}
		if out = append(out, got.Places...); n == 2 {
			return out
		}
		n++
	}
	t.Fatal("there are fewer than three places")
	return nil
}

func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]string{
		"serve":                                "give a run",
		"serve @/nothing":                      "nothing",
		"serve --models @/empty":               "has no current version",
		"serve --models @/empty --store what:": "none of sqlite",
		"serve @/x --vectors redis://h":        "postgres://db/whereto, or memory",
		"serve @/x --log-level loud":           "loud",
		"models list":                          "accepts 1 arg",
		"models pack @/nothing --out @/b":      "nothing",
		"keys new app":                         "role",
		"keys new a_b --role read":             "id",
		"keys new app --role king":             "role",
		"healthcheck --url http://127.0.0.1:1": "refused",
	} {
		if _, stderr, status := at(t, dir, line); status == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, want %q in: %s", line, status, want, stderr)
		}
	}
}

// TestEnvironmentSetsFlags: a flag of the command line wins over its variable.
func TestEnvironmentSetsFlags(t *testing.T) {
	t.Setenv("WHERETO_LOG_LEVEL", "loud")
	if _, stderr, status := at(t, t.TempDir(), "serve @/x"); status != 2 || !strings.Contains(stderr, "loud") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if _, stderr, _ := at(t, t.TempDir(), "serve @/x --log-level info"); strings.Contains(stderr, "loud") {
		t.Errorf("the command line does not win: %s", stderr)
	}
	t.Setenv("WHERETO_RUNNING", "many")
	if _, stderr, status := at(t, t.TempDir(), "serve @/x --log-level info"); status != 2 || !strings.Contains(stderr, "WHERETO_RUNNING") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestKeysNew: the token goes to its owner, the record has no more than its hash.
func TestKeysNew(t *testing.T) {
	out, stderr, status := at(t, t.TempDir(), "keys new app --role read --scene lunch --days 3")
	token := regexp.MustCompile(`wt_\S+`).FindString(stderr)
	if status != 0 || token == "" || strings.Contains(out, token) || !strings.Contains(out, `"scenes":["lunch"]`) || !strings.Contains(out, `"expires"`) {
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
}

// TestKeysOfTheStore: a key that was put into the store opens the service, and nobody
// gets in without one.
func TestKeysOfTheStore(t *testing.T) {
	dir := trainTiny(t)
	_, stderr, status := at(t, dir, "keys new app --role read --days 2 --store sqlite:@/state.db")
	token := regexp.MustCompile(`wt_\S+`).FindString(stderr)
	if status != 0 || token == "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	file := fileOf(t, "no-import: true\nrate: 0\nstore: mysql:x\n")
	if _, stderr, status := at(t, dir, "serve @/run --config "+file); status != 2 || !strings.Contains(stderr, "serve.yaml:3:8: store") {
		t.Fatalf("status %d: %s", status, stderr)
	}
	s := startService(t, filepath.Join(dir, "run"), "--config", file, "--store", "sqlite:"+filepath.Join(dir, "state.db"))
	for key, want := range map[string]int{"": 401, token[:len(token)-1] + "x": 401, token: 200} {
		c, err := client.New(s.url, client.Options{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Models(t.Context())
		var p *client.Problem
		switch {
		case want == 200 && err != nil, want != 200 && (!errors.As(err, &p) || p.Status != want):
			t.Errorf("key %.6s: %v, want %d", key, err, want)
		}
	}
	if strings.Contains(s.err.String(), token[8:]) {
		t.Error("the token stands in the log")
	}
	reloadByHangup(t, s, file, token)
	list, stderr, status := at(t, dir, "keys list --store sqlite:@/state.db")
	if status != 0 || !strings.Contains(list, "app") || !strings.Contains(list, "read") || strings.Contains(list, token) {
		t.Errorf("status %d: %s%s", status, list, stderr)
	}
	for _, want := range []int{0, 1} { // the second time there is none
		if _, stderr, status := at(t, dir, "keys rm app --store sqlite:@/state.db"); status != want {
			t.Errorf("status %d: %s, want %d", status, stderr, want)
		}
	}
	if list, _, _ := at(t, dir, "keys list --store sqlite:@/state.db"); strings.Contains(list, "app") {
		t.Errorf("still there: %s", list)
	}
}

// reloadByHangup changes the file of a running service and lets it read it again: the
// rate holds at once.
func reloadByHangup(t *testing.T, s *servant, file, token string) {
	t.Helper()
	status := func() int {
		req, err := http.NewRequest(http.MethodGet, s.url+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	for _, step := range []struct {
		text, logged string
		status       []int // of the next requests
	}{
		{"rate: many\n", "serve.yaml:1:7: rate", []int{200, 200}},
		{"no-import: true\nrate: 0.001\nburst: 1\nqueue: 3\n", `"restart":"queue"`, []int{200, 429}},
	} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); !strings.Contains(s.err.String(), step.logged); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%q is not in the log:\n%s", step.logged, s.err)
			}
		}
		for i, want := range step.status {
			if got := status(); got != want {
				t.Errorf("%q, request %d: status %d, want %d", step.text, i, got, want)
			}
		}
	}
}

// TestDeployedFlagsExist: every flag and variable that deploy/ uses is one of the
// program's.
func TestDeployedFlagsExist(t *testing.T) {
	text, err := os.ReadFile("../../deploy/flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	root := newRootCmd(io.Discard, io.Discard)
	n := 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) != 2 || words[0] == "#" {
			continue
		}
		n++
		cmd, _, err := root.Find(words[:1])
		if err != nil {
			t.Errorf("%s: %v", words[0], err)
			continue
		}
		name := strings.TrimPrefix(words[1], "--")
		if variable, ok := strings.CutPrefix(name, envPrefix); ok {
			name = strings.ToLower(strings.ReplaceAll(variable, "_", "-"))
			if name == "admin-token" || name == "api-keys" { // secrets have no flag
				continue
			}
		}
		if cmd.Flags().Lookup(name) == nil {
			t.Errorf("`whereto %s` has no %s", words[0], words[1])
		}
	}
	if n < 5 {
		t.Errorf("only %d flags are listed", n)
	}
}
