package pgvector

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/vector"
)

// Index is a vector.Searcher whose vectors are in a table.
type Index struct {
	d       *Database
	pool    *pgxpool.Pool
	table   string
	n, dim  int
	measure vector.Measure
	grid    geo.Grid
	spatial bool
}

var _ vector.Searcher = (*Index)(nil)

const (
	// prefix of the tables' names; a fingerprint of 32 hexadecimal digits follows.
	prefix = "whereto_vectors_"
	// layout is part of the fingerprint: change it with the table.
	layout = "whereto vectors 1"
	// inline is how many numbers a row of 8 kB holds beside its other columns. Longer
	// vectors lie apart, where a scan reads them one by one.
	inline = 1536
)

// settle is how long after its start a server is left to those who held a set before:
// they have lost their connections, and take up to a minute to come back.
var settle = 5 * time.Minute

// closing is how long Close may take.
const closing = 10 * time.Second

// Index puts the set into a table, unless it is there, and returns a Searcher of it. The
// set may be dropped afterwards.
func (d *Database) Index(ctx context.Context, s *vector.Set, opt vector.IndexOptions) (*Index, error) {
	opt, err := opt.For(s)
	if err != nil {
		return nil, err
	}
	x := &Index{d: d, table: prefix + fingerprint(s, opt), n: len(s.IDs), dim: s.Dim, measure: opt.Measure,
		grid: geo.Grid{SizeKM: opt.BlockKM}, spatial: s.HasPositions()}
	operation := fmt.Sprintf("keep %d vectors of %d in %s", x.n, x.dim, d.name)
	config := d.config.Copy()
	config.AfterConnect = x.hold
	if x.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, wrap(ctx, operation, err)
	}
	err = x.build(ctx, newRows(s, opt))
	if err == nil {
		err = d.prune(ctx, x.table)
	}
	if err != nil {
		_ = x.Close() // the first error says more
		return nil, wrap(ctx, operation, err)
	}
	return x, nil
}

// hold marks a new connection as one that uses the set. Plans are made anew for each
// search, because areas differ by far.
func (x *Index) hold(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, fmt.Sprintf("SET plan_cache_mode = force_custom_plan; SELECT pg_advisory_lock_shared(%d)", x.d.lock(x.table)),
		pgx.QueryExecModeSimpleProtocol)
	return err
}

// lock is the number of a table's advisory lock.
func (d *Database) lock(table string) int64 {
	sum := sha256.Sum256([]byte(d.schema + "." + table))
	return int64(binary.LittleEndian.Uint64(sum[:]))
}

// full is the name of a table with its schema.
func (d *Database) full(table string) string { return pgx.Identifier{d.schema, table}.Sanitize() }

// build makes the table, all of it or nothing.
func (x *Index) build(ctx context.Context, rows io.Reader) error {
	conn, err := x.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	table := x.d.full(x.table)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// One replica fills the table while the others wait for it.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", x.d.lock(x.table+" is made")); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&there); err != nil || there {
			return err
		}
		storage := ""
		if x.dim <= inline {
			storage = fmt.Sprintf("; ALTER TABLE %s ALTER COLUMN v SET STORAGE PLAIN", table)
		}
		if err := execute(ctx, tx, fmt.Sprintf(`CREATE TABLE %s (n integer NOT NULL, id text NOT NULL, lat double precision,
			lng double precision, block bigint, v %s(%d) NOT NULL)%s`, table, x.d.vectorType(), x.dim, storage)); err != nil {
			return err
		}
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, rows, "COPY "+table+" (n, id, lat, lng, block, v) FROM STDIN (FORMAT binary)"); err != nil {
			return err
		}
		places := ""
		if x.spatial {
			places = fmt.Sprintf("; CREATE INDEX ON %s (lat, lng); CREATE INDEX ON %s (block)", table, table)
		}
		return execute(ctx, tx, fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (n)%s; ANALYZE %s", table, places, table))
	})
}

// execute runs statements without arguments.
func execute(ctx context.Context, tx pgx.Tx, statements string) error {
	_, err := tx.Exec(ctx, statements, pgx.QueryExecModeSimpleProtocol)
	return err
}

// prune drops the sets that nobody uses any more.
func (d *Database) prune(ctx context.Context, but string) error {
	conn, err := pgx.ConnectConfig(ctx, d.config.ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = $1 AND tablename ~ $2 AND tablename <> $3
		AND pg_postmaster_start_time() < now() - make_interval(secs => $4)`, d.schema, "^"+prefix+"[0-9a-f]{32}$", but, settle.Seconds())
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, table := range tables {
		err = errors.Join(err, d.dropUnused(ctx, conn, table))
	}
	return err
}

// dropUnused drops a table if no connection holds its lock.
func (d *Database) dropUnused(ctx context.Context, conn *pgx.Conn, table string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var alone bool
		if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", d.lock(table)).Scan(&alone); err != nil || !alone {
			return err
		}
		_, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+d.full(table))
		return err
	})
}

// Close drops the table if no other Index uses it, here or elsewhere. What it cannot drop,
// the next Index that is opened does.
func (x *Index) Close() error {
	x.pool.Close()
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	operation := "let go of the vectors in " + x.d.name
	conn, err := pgx.ConnectConfig(ctx, x.d.config.ConnConfig)
	if err != nil {
		return wrap(ctx, operation, err)
	}
	defer conn.Close(ctx)
	return wrap(ctx, operation, x.d.dropUnused(ctx, conn, x.table))
}

// Len returns the number of rows.
func (x *Index) Len() int { return x.n }

// Dim returns the length of a vector.
func (x *Index) Dim() int { return x.dim }

// Grid returns the grid whose keys Area.Blocks takes.
func (x *Index) Grid() geo.Grid { return x.grid }

// fingerprint tells sets and their settings apart.
func fingerprint(s *vector.Set, opt vector.IndexOptions) string {
	h := sha256.New()
	buf := make([]byte, 0, 1<<16)
	word := func(x uint64) {
		if buf = binary.LittleEndian.AppendUint64(buf, x); len(buf) > 1<<16-8 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write([]byte(layout))
	for _, x := range []int{int(opt.Measure), s.Dim, len(s.IDs), len(s.Lat)} {
		word(uint64(x))
	}
	word(math.Float64bits(opt.BlockKM))
	for _, column := range [][]float64{s.Lat, s.Lng} {
		for _, x := range column {
			word(math.Float64bits(x))
		}
	}
	for part := range slices.Chunk(s.Data, 2) {
		x := uint64(math.Float32bits(part[0]))
		if len(part) == 2 {
			x |= uint64(math.Float32bits(part[1])) << 32
		}
		word(x)
	}
	h.Write(buf)
	for _, id := range s.IDs {
		h.Write([]byte(id))
		h.Write([]byte{0}) // which no id holds
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
