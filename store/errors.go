package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/whereto/whereto/poi"
)

// Sentinel errors. Bad input wraps poi.ErrBadInput instead.
var (
	// ErrNotFound is returned when no POI or key has the ID.
	ErrNotFound = errors.New("not found")
	// ErrBadCursor is returned for a cursor that no page of the same list gave out.
	ErrBadCursor = errors.New("bad cursor")
	// ErrFull is returned when the home has no room left. Nothing was written.
	ErrFull = errors.New("store is full")
	// ErrForeign is returned on opening what is not a store of this program, or one that
	// a newer version of it wrote.
	ErrForeign = errors.New("not a store this program can use")
	// ErrUnavailable is returned when the home does not answer or refuses to work.
	ErrUnavailable = errors.New("store is unavailable")
)

// Invalid says which field of which element broke which rule. It wraps poi.ErrBadInput.
type Invalid struct {
	Index  int // position in the batch
	Field  string
	Reason string
}

func (e *Invalid) Error() string {
	return fmt.Sprintf("element %d: %s %s", e.Index, e.Field, e.Reason)
}

// Unwrap makes errors.Is(err, poi.ErrBadInput) true.
func (e *Invalid) Unwrap() error { return poi.ErrBadInput }

// Wrap is how homes report: it says which operation failed on what, and makes the error
// one of the sentinels. A context that ended comes first, because what a driver says of
// a broken-off call is accidental. Kind is the sentinel the home sees in the cause.
func Wrap(ctx context.Context, operation string, kind, cause error) error {
	if cause == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w: %w", operation, context.Cause(ctx), cause)
	}
	for _, known := range []error{poi.ErrBadInput, ErrNotFound, ErrBadCursor, ErrFull, ErrForeign, ErrUnavailable} {
		if errors.Is(cause, known) {
			return fmt.Errorf("%s: %w", operation, cause)
		}
	}
	return fmt.Errorf("%s: %w: %w", operation, kind, cause)
}
