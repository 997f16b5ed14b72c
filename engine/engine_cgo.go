//go:build cgo

package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	onnxbackend "github.com/gomlx/compute-onnx"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
)

// CGO says whether this program was built with cgo, which every engine but
// "go" needs.
const CGO = true

// Environment variables with the absolute path of a PJRT plugin.
const (
	cudaPluginEnv = "WHERETO_XLA_CUDA_PLUGIN"
	cpuPluginEnv  = "WHERETO_XLA_CPU_PLUGIN"
)

func cgoCandidates() []candidate {
	return []candidate{
		{name: XLACUDA, good: "an NVIDIA GPU and its XLA plugin were found", find: findCUDA, open: openXLA},
		{name: ONNX, good: "the fastest engine on a CPU", find: findONNX, open: openONNX},
		{name: XLACPU, good: "an XLA plugin for the CPU was found", find: findXLACPU, open: openXLA},
	}
}

func findONNX() (string, error) {
	if !onnxbackend.IsSupportedPlatform() {
		return "", fmt.Errorf("%w: ONNX Runtime has no library for this platform", ErrUnavailable)
	}
	lib, err := Library()
	return lib.Path, err
}

// openONNX opens the library that findONNX found. The backend reads the
// environment variable itself; another path goes through its option string,
// which splits at "," and "=".
func openONNX(path string) (compute.Backend, error) {
	onnxbackend.EnableAutoInstall(false)
	if os.Getenv(libraryEnv) != "" {
		return onnxbackend.New("cpu")
	}
	if strings.ContainsAny(path, ",=") {
		return nil, fmt.Errorf("the path contains a comma or an equals sign; set %s to it instead", libraryEnv)
	}
	return onnxbackend.New("cpu," + path)
}

func findCUDA() (string, error) {
	if !hasNVIDIA() {
		return "", fmt.Errorf("%w: no NVIDIA GPU on this machine (no /dev/nvidia*)", ErrUnavailable)
	}
	return findPlugin("cuda", cudaPluginEnv, jaxPlugins(os.Getenv("VIRTUAL_ENV")))
}

func findXLACPU() (string, error) { return findPlugin("cpu", cpuPluginEnv, nil) }

func hasNVIDIA() bool {
	m, err := filepath.Glob("/dev/nvidia*")
	return err == nil && len(m) > 0
}

// jaxPlugins lists the CUDA plugins of JAX in a Python virtual environment.
func jaxPlugins(venv string) []string {
	if venv == "" {
		return nil
	}
	m, err := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages", "jax_plugins", "xla_cuda*", "xla_cuda_plugin.so"))
	if err != nil {
		return nil // only a malformed pattern fails, that is a VIRTUAL_ENV with a bracket in it
	}
	return m
}

// findPlugin returns the path of the PJRT plugin called name ("cuda", "cpu"):
// the file of the environment variable, else one on the search path, else the
// last of others.
func findPlugin(name, env string, others []string) (string, error) {
	if path := os.Getenv(env); path != "" {
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("%w: %s=%q is not an absolute path", ErrUnavailable, env, path)
		}
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrUnavailable, env, err)
		}
		return path, nil
	}
	found, err := availablePlugins()
	if err != nil {
		return "", fmt.Errorf("%w; remove that file, or set %s to a good one", err, env)
	}
	if path := found[name]; path != "" {
		return path, nil
	}
	versioned := ""
	for n, path := range found { // "cpu_v0.83.1": the highest name, so that map order does not matter
		if strings.HasPrefix(n, name+"_v") && path > versioned {
			versioned = path
		}
	}
	if versioned != "" {
		return versioned, nil
	}
	if len(others) > 0 {
		return others[len(others)-1], nil
	}
	return "", fmt.Errorf("%w: no XLA plugin for %s; set %s to its .so file, or PJRT_PLUGIN_LIBRARY_PATH to the folder of pjrt_c_api_%s_plugin.so",
		ErrUnavailable, name, env, name)
}

// availablePlugins are the plugins on the search path by name. The bindings load
// each to see whether it is one, and crash on a file that does not load.
func availablePlugins() (found map[string]string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: a plugin file pjrt_*.so on the search path does not load (%v)", ErrUnavailable, r)
		}
	}()
	return pjrt.AvailablePlugins(), nil
}

// openXLA opens the plugin at an absolute path. A comma would end the path in
// the backend's option string.
func openXLA(path string) (compute.Backend, error) {
	if strings.Contains(path, ",") {
		return nil, fmt.Errorf("the plugin's path %q contains a comma; move or link it elsewhere", path)
	}
	xla.EnableAutoInstall(false)
	if err := setCUDAData(path); err != nil {
		return nil, err
	}
	return xla.New(path)
}

// setCUDAData points XLA to the CUDA tools that a JAX installation keeps two
// folders above its plugin, unless the user set XLA_FLAGS.
func setCUDAData(plugin string) error {
	if os.Getenv("XLA_FLAGS") != "" || !strings.Contains(plugin, "jax_plugins") {
		return nil
	}
	site := filepath.Dir(filepath.Dir(filepath.Dir(plugin)))
	for _, rel := range []string{"nvidia/cu13", "nvidia/cuda_nvcc"} {
		dir := filepath.Join(site, rel)
		switch _, err := os.Stat(dir); {
		case err == nil:
			return os.Setenv("XLA_FLAGS", "--xla_gpu_cuda_data_dir="+dir)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("look for CUDA tools: %w", err)
		}
	}
	return nil
}
