//go:build cgo

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindPlugin(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "any_name.so")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, env string
		others    []string
		want, say string
	}{
		{"named", file, nil, file, ""},
		{"named but missing", filepath.Join(dir, "gone.so"), []string{"/venv/other.so"}, "", "no such file"},
		{"relative", "any_name.so", nil, "", "not an absolute path"},
		{"last of others", "", []string{"/venv/xla_cuda12.so", "/venv/xla_cuda13.so"}, "/venv/xla_cuda13.so", ""},
		{"none", "", nil, "", "set " + cudaPluginEnv},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(cudaPluginEnv, c.env)
			got, err := findPlugin("no such platform", cudaPluginEnv, c.others)
			if c.say != "" {
				if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), c.say) {
					t.Errorf("error %v, want one that says %q", err, c.say)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestJAXPlugin(t *testing.T) {
	venv := t.TempDir()
	site := filepath.Join(venv, "lib", "python3.12", "site-packages")
	plugin := filepath.Join(site, "jax_plugins", "xla_cuda13", "xla_cuda_plugin.so")
	tools := filepath.Join(site, "nvidia", "cu13")
	if err := errors.Join(os.MkdirAll(filepath.Dir(plugin), 0o755), os.MkdirAll(tools, 0o755), os.WriteFile(plugin, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if got := jaxPlugins(venv); len(got) != 1 || got[0] != plugin {
		t.Errorf("jaxPlugins = %q, want %q", got, plugin)
	}
	if got := jaxPlugins(""); got != nil {
		t.Errorf("without a virtual environment: %q", got)
	}
	for _, c := range []struct{ plugin, before, after string }{
		{plugin, "", "--xla_gpu_cuda_data_dir=" + tools},
		{plugin, "--mine", "--mine"},
		{"/usr/local/lib/go-xla/pjrt_c_api_cuda_plugin.so", "", ""},
	} {
		t.Setenv("XLA_FLAGS", c.before)
		if err := setCUDAData(c.plugin); err != nil || os.Getenv("XLA_FLAGS") != c.after {
			t.Errorf("XLA_FLAGS %q became %q, %v; want %q", c.before, os.Getenv("XLA_FLAGS"), err, c.after)
		}
	}
}

// A file that is no library is an error with its path, not a crash.
func TestBrokenPlugin(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.so")
	if err := os.WriteFile(bad, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(cpuPluginEnv, bad)
	if _, _, err := Open(XLACPU); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), bad) {
		t.Errorf("got %v, want ErrUnavailable with the path", err)
	}
	t.Setenv(cpuPluginEnv, filepath.Join(t.TempDir(), "a,b.so"))
	if _, err := openXLA(os.Getenv(cpuPluginEnv)); err == nil || !strings.Contains(err.Error(), "comma") {
		t.Errorf("a path with a comma: %v", err)
	}
}
