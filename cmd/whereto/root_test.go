package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/engine"
)

// call runs the whole program and returns its exit status and output.
func call(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = execute(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   string
		status int
		stdout string // a part
		stderr string // a part
	}{
		{"no arguments show help", "", 0, "Available Commands:", ""},
		{"version", "--version", 0, "whereto ", ""},
		{"completions", "completion bash", 0, "bash completion", ""},
		{"unknown command", "dotcor", 2, "", "unknown command \"dotcor\" for \"whereto\"; did you mean doctor?\ntry: whereto --help\n"},
		{"unknown command, none near", "zzzzzz", 2, "", "unknown command \"zzzzzz\" for \"whereto\"\ntry: whereto --help\n"},
		{"unknown flag", "doctor --fast", 2, "", "unknown flag: --fast\ntry: whereto doctor --help\n"},
		{"flag of few words", "doctor -o yaml", 2, "", "use one of table, json"},
		{"unknown engine", "doctor --backend tpu", 2, "", "use one of auto, xla:cuda, onnx, xla:cpu, go"},
		{"unknown progress", "doctor --progress loud", 2, "", "use one of auto, bar, plain, json, none"},
		{"argument too many", "setup now", 2, "", "try: whereto setup --help"},
		{"unknown shell", "completion tcsh", 2, "", "unknown command \"tcsh\" for \"whereto completion\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := call(t, strings.Fields(c.args)...)
			if status != c.status || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("status %d, stdout %q, stderr %q; want %d, %q, %q", status, stdout, stderr, c.status, c.stdout, c.stderr)
			}
			if c.status != 0 && stdout != "" {
				t.Errorf("a failing command wrote to standard output: %q", stdout)
			}
		})
	}
}

// Each kind of mistake inside a registered command gets its status.
func TestRegisteredCommand(t *testing.T) {
	old := commands
	defer func() { commands = old }()
	var ran []string
	register(func() *cobra.Command {
		group := &cobra.Command{Use: "group", Short: "g"}
		leaf := &cobra.Command{Use: "leaf WHAT", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			ran = args
			g := globalsOf(cmd)
			switch args[0] {
			case "fail":
				return errors.New("the disk is full")
			case "usage":
				return usageError(cmd, "%q is no place", args[0])
			case "globals":
				ran = []string{g.Backend, g.Progress}
			}
			return cmd.Context().Err()
		}}
		leaf.Flags().String("need", "", "")
		if err := leaf.MarkFlagRequired("need"); err != nil {
			t.Fatal(err)
		}
		group.AddCommand(leaf)
		return group
	})
	for _, c := range []struct {
		args   string
		status int
		stderr string
	}{
		{"group leaf fine --need x", 0, ""},
		{"group leaf fail --need x", 1, "whereto: the disk is full\n"},
		{"group leaf usage --need x", 2, "whereto: \"usage\" is no place\ntry: whereto group leaf --help\n"},
		{"group leaf fine", 2, "whereto: required flag(s) \"need\" not set\ntry: whereto group leaf --help\n"},
		{"group leaf --need x", 2, "whereto: accepts 1 arg(s), received 0\ntry: whereto group leaf --help\n"},
		{"group", 0, ""},
		{"group lef", 2, "whereto: unknown command \"lef\" for \"whereto group\"; did you mean leaf?\ntry: whereto group --help\n"},
	} {
		if status, _, stderr := call(t, strings.Fields(c.args)...); status != c.status || stderr != c.stderr {
			t.Errorf("%s: status %d, %q; want %d, %q", c.args, status, stderr, c.status, c.stderr)
		}
	}
	if call(t, "--backend", "go", "group", "leaf", "globals", "--need", "x", "--progress", "json"); !slices.Equal(ran, []string{"go", "json"}) {
		t.Errorf("globals %q, want go and json", ran)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs bytes.Buffer
	if status := execute(ctx, []string{"group", "leaf", "x", "--need", "y"}, &errs, &errs); status != 1 {
		t.Errorf("a cancelled command ended with %d, want 1", status)
	}
}

func TestGlobalsWithoutRoot(t *testing.T) {
	if got, want := globalsOf(&cobra.Command{}), (globals{Backend: "auto", Progress: "auto"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Scripts rely on these names.
func TestDoctorJSON(t *testing.T) {
	status, stdout, stderr := call(t, "doctor", "--quick", "--backend", "go", "-o", "json")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	var keys map[string]json.RawMessage
	var r doctorReport
	if err := errors.Join(json.Unmarshal([]byte(stdout), &keys), json.Unmarshal([]byte(stdout), &r)); err != nil {
		t.Fatal(err)
	}
	var names []string
	for k := range keys {
		names = append(names, k)
	}
	slices.Sort(names)
	if want := []string{"arch", "cgo", "chosen", "cores", "engines", "go", "onnx_library", "os", "version"}; !reflect.DeepEqual(names, want) {
		t.Errorf("keys %q, want %q", names, want)
	}
	if r.OS != runtime.GOOS || r.Go != runtime.Version() || r.Cores < 1 || r.CGO != engine.CGO {
		t.Errorf("machine told wrong: %+v", r)
	}
	if r.Chosen.Name != engine.Go || r.Chosen.Why != "asked for; built in" {
		t.Errorf("chosen %+v, want go, asked for", r.Chosen)
	}
	var engines []string
	for _, e := range r.Engines {
		engines = append(engines, e.Name)
	}
	if want := engine.Names()[1:]; !slices.Equal(engines, want) || !r.Engines[3].Available || r.Engines[3].Speed != nil {
		t.Errorf("engines %+v, want %q with go available and nothing measured", r.Engines, want)
	}
}

func TestDoctorTable(t *testing.T) {
	var b strings.Builder
	err := printDoctor(&b, doctorReport{Version: "v", OS: "linux", Arch: "amd64", Cores: 2, Go: "go1", CGO: true,
		Chosen: engine.Choice{Name: "go", Why: "built in", Skipped: []string{"onnx: no library"}},
		Engines: []engine.Found{{Name: "onnx", Why: "no library"},
			{Name: "go", Available: true, Why: "built in", Speed: &engine.Speed{GEMMSize: 512, GEMM: 5, Train: 4.25, TrainTokens: 1500}}}})
	want := `whereto v, go1, linux/amd64, 2 cores, built with cgo

engine  matrix product       training step                 found
onnx    -                    -              -              no library
go *    5.0 GFLOP/s (n=512)  4.2 GFLOP/s    1500 tokens/s  built in

* chosen: go (built in)
  passed over onnx: no library
`
	if err != nil || b.String() != want {
		t.Errorf("got\n%s\nwant\n%s(%v)", b.String(), want, err)
	}
}

// Without npm, setup says one line and succeeds: everything works without it.
func TestSetupCommandWithoutNPM(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	status, stdout, stderr := call(t, "setup")
	if status != 0 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "setup: ") || !strings.Contains(stderr, "pure-Go engine") {
		t.Errorf("status %d, stdout %q, stderr %q; want 0 and one line", status, stdout, stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
