package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/region"
	"github.com/whereto/whereto/roster"
	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/vector"
)

// Kind says what an error means to whoever asked.
type Kind uint8

// Kinds of errors.
const (
	Internal    Kind = iota // a fault of ours
	Invalid                 // the request makes no sense; Fields says where
	NotFound                // what the path names is not there
	Conflict                // not now: a version is being loaded or is in use
	Busy                    // too many requests; ask again after Wait
	Unavailable             // a part we need is down; ask again after Wait
	Full                    // no room to store anything
	Late                    // the caller's deadline passed, or he went away
)

// FieldError is one thing wrong with a request.
type FieldError struct {
	Field  string // path in the body, such as history[3].poi
	Value  any    // what was given; nil where that says nothing
	Reason string
}

// Error returns the field and the reason.
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Unwrap returns poi.ErrBadInput.
func (e *FieldError) Unwrap() error { return poi.ErrBadInput }

func bad(field string, value any, reason string, args ...any) error {
	return &FieldError{Field: field, Value: value, Reason: fmt.Sprintf(reason, args...)}
}

// KindOf sorts an error of this package's methods.
func KindOf(err error) Kind {
	for _, of := range []struct {
		sentinel error
		kind     Kind
	}{
		{context.DeadlineExceeded, Late},
		{context.Canceled, Late},
		{recommend.ErrBusy, Busy},
		{recommend.ErrClosed, Unavailable},
		{roster.ErrNone, Unavailable},
		{store.ErrUnavailable, Unavailable},
		{vector.ErrUnavailable, Unavailable},
		{store.ErrFull, Full},
		{store.ErrNotFound, NotFound},
		{roster.ErrUnknown, NotFound},
		{roster.ErrLoading, Conflict},
		{roster.ErrInUse, Conflict},
		{store.ErrBadCursor, Invalid},
		{poi.ErrBadInput, Invalid},
		{poi.ErrUnknownPOI, Invalid},
		{poi.ErrUnknownUser, Invalid},
	} {
		if errors.Is(err, of.sentinel) {
			return of.kind
		}
	}
	return Internal
}

// Wait is how long to wait before asking again after an error, 0 where asking again
// will not help.
func Wait(err error) time.Duration {
	switch KindOf(err) {
	case Busy:
		return time.Second
	case Unavailable:
		return 2 * time.Second
	}
	return 0
}

// Fields returns what is wrong with a request, field by field; nil if the error does not
// say.
func Fields(err error) []FieldError {
	var one *FieldError
	if errors.As(err, &one) {
		return []FieldError{*one}
	}
	var area *region.FieldError
	if errors.As(err, &area) {
		return []FieldError{{Field: area.Field, Reason: area.Reason}}
	}
	if errors.Is(err, store.ErrBadCursor) {
		return []FieldError{{Field: "cursor", Reason: err.Error()}}
	}
	return nil
}
