//go:build !cgo

package engine

import (
	"fmt"

	"github.com/gomlx/compute"
)

// CGO says whether this program was built with cgo, which every engine but
// "go" needs.
const CGO = false

// cgoCandidates keeps the three names known, so that asking for one says why it
// is missing rather than that it does not exist.
func cgoCandidates() []candidate {
	missing := func() (string, error) {
		return "", fmt.Errorf("%w: this program was built without cgo; build it with CGO_ENABLED=1 and a C compiler", ErrUnavailable)
	}
	never := func(string) (compute.Backend, error) { return nil, ErrUnavailable }
	return []candidate{
		{name: XLACUDA, find: missing, open: never},
		{name: ONNX, find: missing, open: never},
		{name: XLACPU, find: missing, open: never},
	}
}
