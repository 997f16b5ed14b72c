package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

// settingsOf layers a file, an environment and a command line.
func settingsOf(t *testing.T, file string, environment map[string]string, given map[string]setting) (*serving, error) {
	t.Helper()
	s := newSettings()
	s.given = maps.Clone(given)
	if s.given == nil {
		s.given = map[string]setting{}
	}
	if file != "" {
		s.given["config"] = setting{text: fileOf(t, file)}
	}
	return s, s.layer(func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
}

// fileOf writes serve.yaml in a folder of its own.
func fileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func printed(t *testing.T, s *serving) string {
	t.Helper()
	var b strings.Builder
	if err := s.print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Every mistake is told with its place, the key, the reason and what to do, and no
// secret.
func TestSettingsFileRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"listen: 127.0.0.1:1\ndrain-dealy: 5s\n":     `serve.yaml:2:1: there is no setting "drain-dealy"; did you mean drain-delay?`,
		"WHERETO_DRAIN_DELAY: 5s":                    "did you mean drain-delay?",
		"# top\nlog:\n  level: debug\n":              `serve.yaml:2:1: there is no setting "log"; settings are not nested: write log-level: ...`,
		"listen: {host: x}":                          "serve.yaml:1:9: listen: want one value",
		"rate: 1\nburst: 2\nrate: 3\n":               "serve.yaml:3:1: rate stands in line 1 already",
		"drain-delay: 5":                             "serve.yaml:1:14: drain-delay: 5 has no unit; write 5ms, 5s or 5m",
		"drain-delay: 1.5":                           "1.5 has no unit",
		"drain-delay: 5 seconds":                     `drain-delay: "5 seconds", want a time with its unit`,
		"past-mb: 512MB":                             `past-mb: "512MB", want a whole number`,
		"batch: 8.0":                                 "want a whole number",
		"batch: \"8\"":                               "without unit and quotes",
		"batch: 99999999999999999999":                "want a whole number",
		"rate: .inf":                                 "want a number",
		"rate: fast":                                 `rate: "fast", want a number`,
		"no-import: yes":                             "want true or false",
		"no-import: \"true\"":                        "want true or false, without quotes",
		"origin: https://a.example":                  "origin: want a list, such as [https://a.example]",
		"origin: [https://a.example, [x]]":           "origin: item 2: want one value",
		"keys: 7":                                    `keys: 7 is no text; if it is meant so, write "7"`,
		"keys: \"a\\nb\"":                            "want text in one line",
		"models:\n":                                  "models: there is no value",
		"backend: gpu":                               "serve.yaml:1:10: backend: use one of auto",
		"admin-token: abc":                           "secrets have no place here; set WHERETO_ADMIN_TOKEN",
		"api_keys: [abc]":                            "secrets have no place here",
		"config: other.yaml":                         "a file of settings names no other",
		"runs: [a]":                                  "named on the command line",
		"<<: {rate: 1}":                              "merge keys",
		"[rate]: 1":                                  "a name is one word",
		"- rate":                                     "serve.yaml:1:1: want settings",
		"rate: 1\n---\nrate: 2":                      "more than one YAML document",
		"rate: [1":                                   "serve.yaml: yaml: line 1",
		"rate: *x":                                   "unknown anchor",
		"help: true":                                 `there is no setting "help"`,
		"log-level: loud":                            `serve.yaml:1:12: log-level: "loud", want one of debug, info, warn, error`,
		"timeout: 0s":                                "timeout: 0s, want 1ms to 24h0m0s",
		"rate: 1\nburst: 0":                          "serve.yaml:2:8: burst: 0, want 1 to",
		"running: 0":                                 "running: 0, want 1 to",
		"listen: localhost":                          "want host and port",
		"origin: [https://a.example/x]":              "want scheme, host and port of one site",
		"store: mysql://root:hunter2@x":              "begins with none of sqlite:",
		"store: [postgres://u:hunter2@h/d]":          "store: want one value",
		"postgres://u:hunter2@h/d: x":                "://[redacted]@h/d",
		"drain-delay: postgres://u:hunter2@h/d":      "want a time",
		"origin: postgres://u:hunter2@h/d":           "://[redacted]@h/d",
		"origin: [https://u:hunter2@h]":              "://[redacted]@h",
		"store: postgres://u:[redacted]@h/d":         "its secret was left out when it was printed; put it back, or set WHERETO_STORE",
		"store: sqlite:a.db\nstore-file: /run/store": "serve.yaml:1:8: store: store-file is set too",
		strings.Repeat("# long\n", maxSettings/7+1):  "is longer than 65536 bytes",
		strings.Repeat("a: 1\n", 1) + manyKeys(maxFaults): "and 1 more",
	} {
		_, err := settingsOf(t, text, nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.60q: %v\nwant %s", text, err, want)
		}
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "drain-delay: 0\n", "rate: 1e3\nburst: 0x10\n", "rate: 0\nburst: 0\n", "listen: &a 127.0.0.1:1\nadmin-listen: *a\n", "origin: []\nadmin-listen: \"\"\n"} {
		if _, err := settingsOf(t, text, nil, nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	return b.String()
}

// All mistakes of a file are told at once, and those of a variable by its name.
func TestSettingsTellAllFaults(t *testing.T) {
	_, err := settingsOf(t, "rate: fast\nbatch: many\n", map[string]string{"WHERETO_QUEUE": "long"}, nil)
	for _, want := range []string{"rate: ", "batch: ", `WHERETO_QUEUE: "long"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := settingsOf(t, "", map[string]string{"WHERETO_QUEUE": "-1"}, map[string]setting{"batch": {text: "0"}}); err == nil ||
		!strings.Contains(err.Error(), "WHERETO_QUEUE: -1, want") || !strings.Contains(err.Error(), "--batch: 0, want") {
		t.Errorf("%v", err)
	}
}

// flag > environment > file > default, for values and lists.
func TestSettingsPrecedence(t *testing.T) {
	file := "timeout: 1s\nqueue: 1\nrate: 1\norigin: [https://file.example]\ntrust: [\"a,b\"]\n"
	environment := map[string]string{"WHERETO_QUEUE": "2", "WHERETO_RATE": "2", "WHERETO_ORIGIN": "https://e1.example,https://e2.example", "WHERETO_HELP": "true"}
	s, err := settingsOf(t, file, environment, map[string]setting{"rate": {text: "3"}})
	if err != nil {
		t.Fatal(err)
	}
	out := printed(t, s)
	for _, want := range []string{"batch: 8 # default\n", "timeout: 1s # file, line 1\n", "queue: 2 # environment\n", "rate: 3 # flag\n",
		"origin: ['https://e1.example', 'https://e2.example'] # environment\n", "trust: [\"a,b\"] # file, line 5\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %s in\n%s", want, out)
		}
	}
	if s.limits.Rate != 3 || s.limits.Queue != 2 || s.limits.Timeout.Seconds() != 1 || len(s.origins) != 2 || len(s.trust) != 1 {
		t.Errorf("in force: %+v %q %q", s.limits, s.origins, s.trust)
	}
	if s, err = settingsOf(t, "", map[string]string{"WHERETO_CONFIG": fileOf(t, "queue: 7")}, nil); err != nil || s.limits.Queue != 7 {
		t.Errorf("a file named by the environment: %v, queue %d", err, s.limits.Queue)
	}
}

// What is printed can be read again and is the same, whatever stands in it.
func TestPrintedSettingsComeBack(t *testing.T) {
	word := rapid.OneOf(rapid.SampledFrom([]string{"true", "null", "5", "5s", "1e3", "a # b", "a: b", "- a", "'", `"`, "*a", "&a", "!a", "%a", "@a", " a ", "~", "a,b", "<<", "{", "0x1f", "2020-01-01", "é ж 店"}), rapid.StringMatching(`[a-zA-Z0-9 ./:,#'"-]{0,12}`))
	rapid.Check(t, func(t *rapid.T) {
		s := newSettings()
		s.given = map[string]setting{
			"keys": {text: word.Draw(t, "keys")}, "models": {text: word.Draw(t, "models")},
			"trust": {list: rapid.SliceOfN(word, 0, 3).Draw(t, "trust")}, "data": {list: rapid.SliceOfN(word, 0, 3).Draw(t, "data")},
			"rate": {text: fmt.Sprint(rapid.Float64Range(0, 1e6).Draw(t, "rate"))}, "batch": {text: fmt.Sprint(rapid.IntRange(1, 256).Draw(t, "batch"))},
			"no-import":   {text: fmt.Sprint(rapid.Bool().Draw(t, "no-import"))},
			"drain-delay": {text: time.Duration(rapid.Int64Range(0, int64(maxTime)).Draw(t, "drain-delay")).String()},
		}
		none := func(string) (string, bool) { return "", false }
		if err := s.layer(none); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := s.print(&b); err != nil {
			t.Fatal(err)
		}
		dir, err := os.MkdirTemp("", "settings")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "serve.yaml")
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		again := newSettings()
		again.given = map[string]setting{"config": {text: path}}
		if err := again.layer(none); err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		s.flags.VisitAll(func(f *pflag.Flag) {
			if got := settingOf(again.flags.Lookup(f.Name)); isSetting(f) && !got.equal(settingOf(f)) {
				t.Errorf("%s was %+v and came back as %+v", f.Name, settingOf(f), got)
			}
		})
	})
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	for address, want := range map[string]string{
		"sqlite:where.db":                            "sqlite:where.db",
		"postgres://whereto@db/whereto":              "postgres://whereto@db/whereto",
		"postgres://db:5432/w?sslmode=require":       "postgres://db:5432/w?sslmode=require",
		"postgres://u:hunter2@db/w?sslmode=require":  "postgres://u:[redacted]@db/w?sslmode=require",
		"postgres://u:@db/w":                         "postgres://u:[redacted]@db/w",
		"redis://:hunter2@db:6379/0":                 "redis://:[redacted]@db:6379/0",
		"postgres://db/w?user=u&password=hunter2":    "postgres://db/w?[redacted]",
		"postgres://db/w?user=u&pass%77ord=hunter2":  "postgres://db/w?[redacted]",
		"postgres://u:12/hunter2@db/w":               "postgres://[redacted]",
		"postgres://u:12@x/hunter2@db/w":             "postgres://[redacted]",
		"redis://:12#hunter2@db":                     "redis://[redacted]",
		"redis://:12?hunter2@db":                     "redis://[redacted]",
		"redis://:hunter2%zz@db":                     "redis://[redacted]",
		"postgres://u:p@db/w?x=%zz&password=hunter2": "postgres://u:[redacted]@db/w?[redacted]",
	} {
		s, err := settingsOf(t, "", map[string]string{"WHERETO_STORE": address}, nil)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		out := printed(t, s)
		if !strings.Contains(strings.ReplaceAll(out, `"`, ""), "store: "+want+" # environment") || strings.Contains(out, "hunter2") {
			t.Errorf("%s: want %s in\n%s", address, want, out)
		}
		// Given back, it is refused for its lack, or completed by the same environment.
		_, alone := settingsOf(t, out, nil, nil)
		again, err := settingsOf(t, out, map[string]string{"WHERETO_STORE": address}, nil)
		if (alone == nil) != (want == address) || err != nil || again.store != address {
			t.Errorf("%s: given back alone: %v; with the environment: %v", address, alone, err)
		}
	}
}

// An address may stand in a file of its own; the higher layer wins.
func TestStoreFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "store")
	write := func(text string) {
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("postgres://u:hunter2@db/w\n")
	s, err := settingsOf(t, "store-file: "+secret, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := printed(t, s)
	if err := s.readAddresses(); err != nil || s.store != "postgres://u:hunter2@db/w" {
		t.Errorf("store %q, error %v", s.store, err)
	}
	if strings.Contains(out, "hunter2") || strings.Contains(out, "\nstore: ") {
		t.Errorf("printed:\n%s", out)
	}
	if again, err := settingsOf(t, out, nil, nil); err != nil || again.readAddresses() != nil || again.store != s.store {
		t.Errorf("given back: %v", err)
	}
	for name, tc := range map[string]struct {
		file, variable, flag string // of the store
		want                 string
	}{
		"flag over variable": {flag: "sqlite:a.db", variable: secret, want: "sqlite:a.db"},
		"variable over file": {variable: secret, file: "sqlite:b.db", want: "postgres://u:hunter2@db/w"},
	} {
		given, file := map[string]setting{}, ""
		if tc.flag != "" {
			given["store"] = setting{text: tc.flag}
		}
		if tc.file != "" {
			file = "store: " + tc.file
		}
		s, err := settingsOf(t, file, map[string]string{"WHERETO_STORE_FILE": tc.variable}, given)
		if err != nil || s.readAddresses() != nil || s.store != tc.want {
			t.Errorf("%s: store %q, error %v", name, s.store, err)
		}
	}
	if _, err := settingsOf(t, "", map[string]string{"WHERETO_STORE_FILE": secret, "WHERETO_STORE": "sqlite:a.db"}, nil); err == nil || !strings.Contains(err.Error(), "WHERETO_STORE: store-file is set too") {
		t.Errorf("both in one layer: %v", err)
	}
	for text, want := range map[string]string{"": "holds no address", " \n": "holds no address", "hunter2\nhunter2": "holds no address", strings.Repeat("hunter2", maxAddress): "is longer than"} {
		write(text)
		s, err := settingsOf(t, "store-file: "+secret, nil, nil)
		if err == nil {
			err = s.readAddresses()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// Every flag is of a type that a file can say, so that none is refused for its type.
func TestEverySettingHasAKnownType(t *testing.T) {
	newSettings().flags.VisitAll(func(f *pflag.Flag) {
		if known := []string{"string", "bool", "int", "float64", "duration", "stringSlice"}; !slices.Contains(known, f.Value.Type()) {
			t.Errorf("--%s is of type %s: teach read and nodeOf about it", f.Name, f.Value.Type())
		}
	})
}

// TestReload: level and rate change, other settings wait for a restart and are named
// until it comes; what is wrong changes nothing.
func TestReload(t *testing.T) {
	path := fileOf(t, "log-level: warn\nqueue: 5\n")
	s := newSettings()
	s.given = map[string]setting{"config": {text: path}, "burst": {text: "9"}}
	if err := s.layer(os.LookupEnv); err != nil {
		t.Fatal(err)
	}
	s.log.Var.Set(slog.LevelWarn)
	r := newReloader(s)
	type rate struct {
		perSecond float64
		burst     int
	}
	var rates []rate
	var refuse error
	r.rate = func(perSecond float64, burst int) error { rates = append(rates, rate{perSecond, burst}); return refuse }
	step := func(text string, want []string, level slog.Level, last ...rate) error {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		rates = nil
		restart, err := r.reload(t.Context())
		if !slices.Equal(restart, want) || s.log.Var.Level() != level || !slices.Equal(rates, last) {
			t.Errorf("%q: restart %q, level %v, rates %v; want %q, %v, %v", text, restart, s.log.Var.Level(), rates, want, level, last)
		}
		return err
	}
	for _, tc := range []struct {
		text  string
		want  []string
		level slog.Level
		last  []rate
		bad   bool
	}{
		{text: "log-level: warn\nqueue: 5\n", level: slog.LevelWarn},
		{text: "log-level: debug\nqueue: 5\nrate: 50\nburst: 1\n", level: slog.LevelDebug, last: []rate{{50, 9}}},
		{text: "log-level: error\nqueue: many\nrate: 70\n", level: slog.LevelDebug, bad: true},
		{text: "log-level: loud\nqueue: 5\nrate: 50\n", level: slog.LevelDebug, bad: true},
		{text: "queue: 6\nrate: 50\norigin: [https://a.example]\nlog-level: debug\n", level: slog.LevelDebug, want: []string{"origin", "queue"}},
		{text: "queue: 6\nrate: 50\nlog-level: debug\n", level: slog.LevelDebug, want: []string{"queue"}},
		{text: "", level: slog.LevelInfo, want: []string{"queue"}, last: []rate{{200, 9}}},
	} {
		if err := step(tc.text, tc.want, tc.level, tc.last...); (err != nil) != tc.bad {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
	s.log.Var.Set(slog.LevelDebug) // by hand
	if err := step("queue: 5", nil, slog.LevelDebug); err != nil {
		t.Error(err)
	}
	refuse = errors.New("no such rate")
	if err := step("log-level: error\nqueue: 5\nrate: 3\n", nil, slog.LevelDebug, rate{3, 9}); err == nil {
		t.Error("a refused rate is no error")
	}
}

// SIGHUP reloads rather than ends, as often as it comes.
func TestHangup(t *testing.T) {
	heard := make(chan struct{})
	stop := onHangup(t.Context(), func(context.Context) { heard <- struct{}{} })
	defer stop()
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-heard
	}
}
