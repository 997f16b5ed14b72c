// Package open finds the home of a store by its address.
package open

import (
	"context"
	"fmt"
	"strings"

	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/store/postgres"
	"github.com/whereto/whereto/store/redis"
	"github.com/whereto/whereto/store/sqlite"
)

// Check reports an address that no home can have, without opening anything.
func Check(address string) error {
	kind, rest, _ := strings.Cut(address, ":")
	switch kind {
	case "sqlite", "postgres", "postgresql", "redis", "rediss":
		if rest == "" {
			return fmt.Errorf("open the store: %w: its address ends with %s:, where a path or a server follows", store.ErrForeign, kind)
		}
		return nil
	}
	return fmt.Errorf("open the store: %w: its address begins with none of sqlite:, postgres: and redis:", store.ErrForeign)
}

// Open opens the store at
//
//	sqlite:PATH                         one file, one machine
//	postgres://USER@HOST:PORT/DATABASE  (or postgresql:) several replicas
//	redis://HOST:PORT/NUMBER            (or rediss: for TLS) several replicas, in memory
//
// Settings of an address are told by the package of its home. An address that is none of
// these gives store.ErrForeign; errors do not repeat it, for it may hold a password.
func Open(ctx context.Context, address string) (store.Store, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	kind, rest, _ := strings.Cut(address, ":")
	// A home's nil must not become a Store that is not nil.
	switch kind {
	case "sqlite":
		s, err := sqlite.Open(ctx, rest)
		if err != nil {
			return nil, err
		}
		return s, nil
	case "postgres", "postgresql":
		s, err := postgres.Open(ctx, address)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := redis.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	return s, nil
}
