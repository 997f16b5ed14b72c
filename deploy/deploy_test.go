// Package deploy_test checks the files of this folder against the program and against
// each other: metrics that exist, flags that exist, pinned images, nobody as root,
// probes, and shutdown times that add up.
package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// object is a YAML or JSON object.
type object = map[string]any

// at follows keys into nested objects; nothing where one is missing.
func at(v any, keys ...string) any {
	for _, k := range keys {
		o, _ := v.(object)
		v = o[k]
	}
	return v
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func words(v any) []string {
	var out []string
	for _, w := range list(v) {
		out = append(out, text(w))
	}
	return out
}

// documents parses every YAML file below this folder.
func documents(t *testing.T) map[string][]object {
	t.Helper()
	out := map[string][]object{}
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || e.IsDir() || (ext != ".yaml" && ext != ".yml") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
			var doc object
			if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			out[filepath.ToSlash(path)] = append(out[filepath.ToSlash(path)], doc)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("found %d YAML files; the walk is broken", len(out))
	}
	return out
}

func services(t *testing.T) object {
	t.Helper()
	s, _ := at(documents(t)["compose.yaml"][0], "services").(object)
	if len(s) < 5 {
		t.Fatalf("compose.yaml has %d services", len(s))
	}
	return s
}

func deployment(t *testing.T) (pod, container object) {
	t.Helper()
	pod, _ = at(documents(t)["kubernetes/base/deployment.yaml"][0], "spec", "template", "spec").(object)
	containers := list(pod["containers"])
	if len(containers) != 1 {
		t.Fatalf("the pod has %d containers, want 1", len(containers))
	}
	container, _ = containers[0].(object)
	return pod, container
}

func dockerfile(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pinned is an image with a version of at least two numbers. Ours are built here and
// named by target.
var (
	pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$`)
	ours   = regexp.MustCompile(`^whereto:(static|onnx|\$\{WHERETO_TARGET:-static\})$`)
)

func TestImagesArePinned(t *testing.T) {
	images := map[string]string{}
	for name, s := range services(t) {
		images["compose.yaml "+name] = text(at(s, "image"))
	}
	_, container := deployment(t)
	images["deployment"] = text(container["image"])
	args, stages := map[string]string{}, map[string]bool{"scratch": true}
	for line := range strings.Lines(dockerfile(t)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "ARG":
			name, value, _ := strings.Cut(f[1], "=")
			args[name] = value
		case len(f) == 4 && f[0] == "FROM":
			image := os.Expand(f[1], func(name string) string { return args[name] })
			if !stages[image] {
				images["Dockerfile stage "+f[3]] = image
			}
			stages[f[3]] = true
		case len(f) > 0 && f[0] == "FROM":
			t.Errorf("a stage without a name: %s", line)
		}
	}
	if len(images) < 9 {
		t.Fatalf("found only %v", images)
	}
	for where, image := range images {
		if !pinned.MatchString(image) && !ours.MatchString(image) {
			t.Errorf("%s: image %q has no full version", where, image)
		}
	}
}

func TestNothingRunsAsRoot(t *testing.T) {
	user := regexp.MustCompile(`^[1-9]\d*:\d+$`)
	for name, s := range services(t) {
		if !user.MatchString(text(at(s, "user"))) || !slices.Contains(words(at(s, "cap_drop")), "ALL") || at(s, "privileged") != nil ||
			!slices.Contains(words(at(s, "security_opt")), "no-new-privileges:true") {
			t.Errorf("compose.yaml: %s runs as %q; give a numeric user, drop all capabilities, no-new-privileges", name, text(at(s, "user")))
		}
	}
	pod, container := deployment(t)
	if at(pod, "securityContext", "runAsNonRoot") != true || text(at(pod, "securityContext", "runAsUser")) != "65532" || pod["automountServiceAccountToken"] != false {
		t.Errorf("the pod's security: %v", pod["securityContext"])
	}
	if s := container["securityContext"]; at(s, "allowPrivilegeEscalation") != false || at(s, "readOnlyRootFilesystem") != true ||
		!slices.Equal(words(at(s, "capabilities", "drop")), []string{"ALL"}) {
		t.Errorf("the container's security: %v", s)
	}
	for _, target := range []string{"onnx", "static"} {
		_, stage, found := strings.Cut(dockerfile(t), " AS "+target+"\n")
		stage, _, _ = strings.Cut(stage, "\nFROM ")
		if !found || !strings.Contains(stage, "\nUSER 65532:65532\n") || !strings.Contains(stage, "\nHEALTHCHECK ") {
			t.Errorf("Dockerfile: target %s has no numeric user or no health check", target)
		}
	}
}

func TestProbes(t *testing.T) {
	for name, s := range services(t) {
		if len(list(at(s, "healthcheck", "test"))) < 2 {
			t.Errorf("compose.yaml: %s has no health check", name)
		}
	}
	_, c := deployment(t)
	for probe, want := range map[string]string{"livenessProbe": "/livez", "readinessProbe": "/readyz", "startupProbe": "/readyz"} {
		if path, port := text(at(c[probe], "httpGet", "path")), text(at(c[probe], "httpGet", "port")); path != want || port != "http" {
			t.Errorf("%s asks %s on port %s, want %s on http", probe, path, port, want)
		}
	}
}

// The admin port is reached by nobody but monitoring.
func TestAdminPortStaysInside(t *testing.T) {
	docs := documents(t)
	ports := list(at(docs["kubernetes/base/service.yaml"][0], "spec", "ports"))
	if len(ports) != 1 || text(at(ports[0], "targetPort")) != "http" {
		t.Errorf("the Service opens %v", ports)
	}
	for name, s := range services(t) {
		for _, p := range words(at(s, "ports")) {
			if !strings.HasPrefix(p, "127.0.0.1:") || (name == "whereto" && strings.HasSuffix(p, ":9090")) {
				t.Errorf("compose.yaml: %s publishes %s", name, p)
			}
		}
	}
	policy := docs["kubernetes/base/network.yaml"][0]
	if got := words(at(policy, "spec", "policyTypes")); !slices.Equal(got, []string{"Ingress", "Egress"}) {
		t.Errorf("the network policy limits %v", got)
	}
	for _, rule := range list(at(policy, "spec", "ingress")) {
		if len(list(at(rule, "from"))) == 0 || len(list(at(rule, "ports"))) == 0 {
			t.Errorf("an open rule: %v", rule)
		}
		for _, p := range list(at(rule, "ports")) {
			if text(at(p, "port")) == "9090" && !strings.Contains(text(at(rule, "from")), "monitoring") {
				t.Errorf("the admin port is open to %v", at(rule, "from"))
			}
		}
	}
}

// argument returns the value of --name=value.
func argument(t *testing.T, args []string, name string) string {
	t.Helper()
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return v
		}
	}
	t.Fatalf("no --%s among %v", name, args)
	return ""
}

// A stop must give the service the time it takes, and balancers the time to notice.
func TestShutdownTimesAddUp(t *testing.T) {
	seconds := func(s string) time.Duration {
		t.Helper()
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	compose := services(t)["whereto"]
	pod, container := deployment(t)
	for where, c := range map[string]struct {
		args  []string
		grace time.Duration
	}{
		"compose.yaml": {words(at(compose, "command")), seconds(text(at(compose, "stop_grace_period")))},
		"deployment":   {words(container["args"]), seconds(text(pod["terminationGracePeriodSeconds"]) + "s")},
	} {
		drain, shutdown := seconds(argument(t, c.args, "drain-delay")), seconds(argument(t, c.args, "shutdown-timeout"))
		if c.grace < drain+shutdown+5*time.Second {
			t.Errorf("%s: %s of grace for a drain of %s and a shutdown of %s and 5s", where, c.grace, drain, shutdown)
		}
		if where != "deployment" {
			continue
		}
		r := container["readinessProbe"]
		period, ok1 := at(r, "periodSeconds").(int)
		failures, ok2 := at(r, "failureThreshold").(int)
		if notice := time.Duration(period*failures) * time.Second; !ok1 || !ok2 || drain <= notice {
			t.Errorf("readiness is noticed after %s, the drain lasts %s", notice, drain)
		}
	}
}

var flag = regexp.MustCompile(`^--([a-z][a-z-]*)`)

// used collects "command --flag" from a command line of whereto.
func used(into map[string]bool, line []string) {
	line = slices.DeleteFunc(slices.Clone(line), func(w string) bool { return w == "CMD" || w == "/whereto" })
	for _, w := range line {
		if f := flag.FindStringSubmatch(w); f != nil {
			into[line[0]+" --"+f[1]] = true
		}
	}
}

// flags.txt is what these files use, no more and no less.
func TestFlagsAreListed(t *testing.T) {
	got := map[string]bool{}
	whereto := services(t)["whereto"]
	_, container := deployment(t)
	used(got, words(at(whereto, "command")))
	used(got, words(at(whereto, "healthcheck", "test")))
	used(got, words(container["args"]))
	for _, m := range regexp.MustCompile(`HEALTHCHECK.* CMD \[(.*)\]`).FindAllStringSubmatch(dockerfile(t), -1) {
		used(got, strings.Split(strings.NewReplacer(`"`, "", " ", "").Replace(m[1]), ","))
	}
	environment := regexp.MustCompile(`(?m)^\s+(?:- name: )?(WHERETO_[A-Z_]+)(?::| |$)`)
	for _, path := range []string{"compose.yaml", "kubernetes/base/deployment.yaml", "kubernetes/sqlite/deployment.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range environment.FindAllStringSubmatch(string(data), -1) {
			got["serve "+m[1]] = true
		}
	}
	data, err := os.ReadFile("flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			want[line] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("used %q\nlisted %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// A password has no place among arguments, and none in these files.
func TestNoSecretsInFiles(t *testing.T) {
	secret := regexp.MustCompile(`(?i)wt_[a-z0-9]+_[a-z0-9]{8,}|://[^\s:/$]+:[^\s$@{]+@`)
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) == ".go" {
			return err
		}
		data, err := os.ReadFile(path)
		if found := secret.Find(data); found != nil {
			t.Errorf("%s holds %q", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, container := deployment(t)
	for _, a := range append(words(container["args"]), words(at(services(t)["whereto"], "command"))...) {
		if strings.HasPrefix(a, "--store") {
			t.Errorf("the store's DSN is an argument: %s", a)
		}
	}
}
