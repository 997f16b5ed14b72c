package main

import (
	"context"
	"fmt"

	"github.com/whereto/whereto/vector"
	"github.com/whereto/whereto/vector/pgvector"
)

// inMemory is the address of vectors that this process keeps.
const inMemory = "memory"

// keeper makes searchers of the vectors of models.
type keeper = func(context.Context, *vector.Set, vector.IndexOptions) (vector.Searcher, error)

// checkVectors reports an address that vectors cannot have, without opening anything.
func checkVectors(address string) error {
	if address == inMemory {
		return nil
	}
	if err := pgvector.Check(address); err != nil {
		return fmt.Errorf("%w, or "+inMemory, err)
	}
	return nil
}

// openVectors returns what keeps vectors at an address.
func openVectors(ctx context.Context, address string) (keeper, error) {
	if address == inMemory {
		return nil, nil
	}
	d, err := pgvector.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s *vector.Set, opt vector.IndexOptions) (vector.Searcher, error) {
		x, err := d.Index(ctx, s, opt)
		if err != nil { // its nil must not become a Searcher that is not nil
			return nil, err
		}
		return x, nil
	}, nil
}
