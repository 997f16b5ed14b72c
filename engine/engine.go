// Package engine chooses the compute backend that runs the networks, sets up
// the one library it may need, and measures how fast each backend is.
//
// An engine is one of four names: "xla:cuda", "onnx", "xla:cpu" and "go", in the
// order in which "auto" tries them. "go" is pure Go and always there. The other
// three need cgo and a shared library that is loaded at run time; a program
// built with CGO_ENABLED=0 is static and has "go" alone.
//
// What is promised: Open never downloads anything and never logs; it either
// returns a backend and the reason for it, or an error that says what was
// looked for, where, and what to do. Only Setup fetches something, and only
// when called.
//
// Libraries are found as follows.
//   - onnx: the file named by ONNXRUNTIME_SHARED_LIBRARY_PATH, else the one that
//     Setup put in the user's cache folder (CachedLibrary). It starts one
//     thread for each physical core of the machine and binds all but the first to
//     a core of their own, whatever taskset says; the backend has no setting for
//     it. Two such processes at once compete for the same cores.
//   - xla:cuda, xla:cpu: the plugin named by WHERETO_XLA_CUDA_PLUGIN or
//     WHERETO_XLA_CPU_PLUGIN (an absolute path, any file name, for instance the
//     xla_cuda_plugin.so of a JAX installation), else a file
//     pjrt_c_api_<name>_plugin.so in a folder of PJRT_PLUGIN_LIBRARY_PATH, or,
//     with that unset, in ~/.local/lib/go-xla, /usr/local/lib/go-xla and the
//     system's library folders. For cuda only, an active Python virtual
//     environment (VIRTUAL_ENV) with JAX's CUDA plugin is looked at last.
//
// A tensor belongs to the backend that first used it: make a new one to move a
// value to another backend. Backends may share process-wide state, so a program
// should open one, keep it, and finalize it at the end.
package engine

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"k8s.io/klog/v2"
)

// Names of engines, as given to Open and to the flag --backend.
const (
	Auto    = "auto"
	XLACUDA = "xla:cuda"
	ONNX    = "onnx"
	XLACPU  = "xla:cpu"
	Go      = "go"
)

// Names lists what Open accepts, "auto" first, then the order auto tries.
func Names() []string { return []string{Auto, XLACUDA, ONNX, XLACPU, Go} }

// ErrUnavailable is wrapped by Open when the named engine cannot be used here,
// and by a finder to say what is missing.
var ErrUnavailable = errors.New("engine not available")

// ErrUnknown is wrapped by Open for a name that is not in Names.
var ErrUnknown = errors.New("unknown engine")

// Choice says which engine was opened and why.
type Choice struct {
	Name    string   `json:"name"`    // one of Names, never "auto"
	Why     string   `json:"why"`     // one clause, for people
	Skipped []string `json:"skipped"` // "name: reason" of each engine that auto passed over, in order
}

// String is the one line shown to a person.
func (c Choice) String() string { return c.Name + " (" + c.Why + ")" }

// candidate is one engine as the choice logic sees it; tests put in fakes.
type candidate struct {
	name string
	good string // why auto takes it when it is there
	// find says cheaply whether the engine can be had: a detail such as the
	// library's path, or an error that names what is missing and what to do.
	find func() (detail string, err error)
	open func(detail string) (compute.Backend, error)
}

// goOptions runs the operations of a graph one after the other; each still uses
// all cores. By default the backend also runs operations beside each other, in
// the pool of workers from which a matrix product then draws its helpers: as
// many products at once as the pool has workers (twice the cores) wait for one
// another for ever. A training step on two cores does that within seconds.
const goOptions = "ops_sequential"

// candidates are the engines of this build, in the order auto tries them.
func candidates() []candidate {
	return append(cgoCandidates(), candidate{
		name: Go,
		good: "pure Go, always available",
		find: func() (string, error) { return "built in", nil },
		open: func(string) (compute.Backend, error) { return gobackend.New(goOptions) },
	})
}

// Open opens the engine of that name; "" means "auto". The caller finalizes the
// backend. Errors: ErrUnknown for a name outside Names; ErrUnavailable if a
// library or device is missing or does not load.
func Open(name string) (compute.Backend, Choice, error) {
	return choose(name, candidates())
}

// choose is Open on given candidates.
func choose(name string, from []candidate) (compute.Backend, Choice, error) {
	if name == "" {
		name = Auto
	}
	skipped := []string{}
	for _, c := range from {
		if name != Auto && name != c.name {
			continue
		}
		backend, detail, err := c.try()
		if err == nil {
			why := "asked for"
			if name == Auto {
				why = c.good
			}
			if detail != "" {
				why += "; " + detail
			}
			return backend, Choice{Name: c.name, Why: why, Skipped: skipped}, nil
		}
		if name != Auto {
			return nil, Choice{}, fmt.Errorf("open engine %q: %w", name, err)
		}
		skipped = append(skipped, c.name+": "+oneLine(err))
	}
	if name == Auto {
		return nil, Choice{}, fmt.Errorf("open engine %q: %w: %s", name, ErrUnavailable, strings.Join(skipped, "; "))
	}
	return nil, Choice{}, fmt.Errorf("open engine %q: %w: known engines are %s", name, ErrUnknown, strings.Join(Names(), ", "))
}

// try finds and opens a candidate. Loading a broken library may panic inside
// the bindings; at this border that is one more reason not to use it.
func (c candidate) try() (backend compute.Backend, detail string, err error) {
	defer func() {
		if r := recover(); r != nil {
			backend, err = nil, fmt.Errorf("%w: loading it failed: %v", ErrUnavailable, r)
		}
	}()
	silenceLogs()
	if detail, err = c.find(); err != nil {
		return nil, "", err
	}
	if backend, err = c.open(detail); err != nil {
		return nil, "", fmt.Errorf("%w: %s: %w", ErrUnavailable, detail, err)
	}
	return backend, detail, nil
}

// silenceLogs sends the bindings' own log (klog) nowhere, for good: whatever
// matters comes back as an error, also later while graphs compile and run.
var silenceLogs = sync.OnceFunc(func() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
})

// oneLine is an error's message as a reason beside an engine's name: without
// line breaks, stack or the words of ErrUnavailable, at most 300 bytes.
func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	s = strings.TrimPrefix(s, ErrUnavailable.Error()+": ")
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return s
}
