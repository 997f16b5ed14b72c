package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestConfigCommands(t *testing.T) {
	dir := t.TempDir()
	good, bad := fileOf(t, "rate: 7\ntimeout: 1s\n"), fileOf(t, "rate: x\n")
	t.Setenv("WHERETO_RATE", "8")
	t.Setenv("WHERETO_DRAIN_DELEY", "8s")
	t.Setenv("WHERETO_SERVICE_HOST", "10.0.0.1") // as a cluster makes them up
	t.Setenv("WHERETO_PORT_8080_TCP", "tcp://10.0.0.1:8080")
	for _, tc := range []struct {
		line           string
		status         int
		stdout, stderr string
	}{
		{"config check " + good, 0, "2 settings, nothing wrong", ""},
		{"config check " + bad, 2, "", "serve.yaml:1:7: rate"},
		{"config check @/none.yaml", 2, "", "no such file"},
		{"config print " + good + " --queue 3", 0, "queue: 3 # flag\n", "WHERETO_DRAIN_DELEY in the environment is no setting\n"},
		{"config print " + good, 0, "rate: 8 # environment\n", ""},
		{"config print --config " + good, 0, "timeout: 1s # file, line 2\n", ""},
		{"config print " + good + " --config " + bad, 2, "", "two files"},
		{"config print " + bad, 2, "", "serve.yaml:1:7: rate"},
		{"serve @/x --config " + bad, 2, "", "serve.yaml:1:7: rate"},
	} {
		stdout, stderr, status := at(t, dir, tc.line)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) || strings.Contains(stderr, "10.0.0.1") || strings.Contains(stderr, "_PORT") {
			t.Errorf("%s: status %d\n%s%s", tc.line, status, stdout, stderr)
		}
	}
}

// TestExampleSettings: the example of deploy/ is right, as it stands and with all that
// is commented out, and it names every setting of the service.
func TestExampleSettings(t *testing.T) {
	text, err := os.ReadFile("../../deploy/serve.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settingsOf(t, string(text), nil, nil); err != nil {
		t.Error(err)
	}
	all := regexp.MustCompile(`(?m)^#([a-z-]+: )`).ReplaceAllString(string(text), "$1")
	s, err := settingsOf(t, all, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	others := []string{"store-file", "vectors-file", "progress", "verbose"} // the first two would stand beside what they replace
	s.flags.VisitAll(func(f *pflag.Flag) {
		if isSetting(f) && s.from[f.Name].layer != byFile && !slices.Contains(others, f.Name) {
			t.Errorf("deploy/serve.yaml does not name %s", f.Name)
		}
	})
}
