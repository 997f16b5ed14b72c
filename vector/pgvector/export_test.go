package pgvector

import (
	"context"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whereto/whereto/vector"
)

// PruneAtOnce lets sets that nobody uses go even if the server has just begun.
func PruneAtOnce(t testing.TB) {
	before := settle
	settle = 0
	t.Cleanup(func() { settle = before })
}

// Abandon ends an Index as a killed process does: its connections go, its table stays.
func (x *Index) Abandon() { x.pool.Close() }

// Table is the name of an Index's table.
func (x *Index) Table() string { return x.table }

// Broken builds a set from rows that break off with the error of the reader.
func (d *Database) Broken(ctx context.Context, s *vector.Set, rest io.Reader) error {
	x := &Index{d: d, table: prefix + fingerprint(s, vector.IndexOptions{BlockKM: 5}), n: len(s.IDs), dim: s.Dim, spatial: true}
	config := d.config.Copy()
	config.AfterConnect = x.hold
	var err error
	if x.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	defer x.pool.Close()
	rows := newRows(s, vector.IndexOptions{BlockKM: 5})
	return x.build(ctx, io.MultiReader(io.LimitReader(rows, 100_000), rest))
}

// Copied is the set as the server reads it.
func Copied(s *vector.Set, opt vector.IndexOptions) ([]byte, error) {
	return io.ReadAll(newRows(s, opt))
}
