package tune

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// goBackend opens the pure-Go engine as package engine does.
func goBackend() (compute.Backend, error) { return gobackend.New("ops_sequential") }
