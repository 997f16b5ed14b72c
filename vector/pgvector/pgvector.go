// Package pgvector keeps vectors in PostgreSQL 13 or newer with the extension pgvector, for
// services whose own memory should not hold them, or whose replicas should share them.
//
// A set is one table, whereto_vectors_ and a fingerprint of all that is in it, in the first
// schema of the connection's search_path. It appears whole, in one transaction, and never
// changes; replicas with the same vectors use the same table. Every connection of an Index
// holds a shared advisory lock of its set, so that the last Index to be closed can tell that
// it is the last, and drops the table. What a process that was killed has left goes when the
// next set is opened. So a model that takes over from another has its own table beside the
// old one's, and the old one goes with the old model. Poolers that share a connection among
// sessions break such locks: connect directly, or in session mode.
//
// The server scores and sorts; a search is exact, by a scan of the rows whose position can
// lie in the area, and no index for approximate search is made: a recall below one would
// have to be explained with every answer. An operator with too many rows for a scan can make
// one once the model is loaded, and for every model anew:
//
//	CREATE INDEX ON whereto_vectors_... USING hnsw (v vector_ip_ops)
//
// It takes a while and twice the room, and misses some of the nearest, most where a Keep
// refuses many; hnsw.iterative_scan and hnsw.ef_search in the address mend much of that.
// PostgreSQL 16 makes no use of the index, because rows are asked for by score and then by
// number.
//
// The borders of an Area are drawn by vector.Filter here, the same for every Searcher; the
// server only leaves out what is clearly outside. Rows come in order of their score in pages
// that grow to a bound, until enough pass: a Keep that refuses nearly all reads far, in
// little memory. Scores differ from those of vector.Index in the last digits, because the
// sums of products are taken in another order.
package pgvector

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/vector"
)

// Database is a PostgreSQL schema that keeps sets of vectors.
type Database struct {
	config *pgxpool.Config
	name   string // the address without user and password
	schema string // of our tables
	types  string // of the extension
}

// Open looks at the server that the URL names, makes the schema and the extension if they
// are missing, and keeps no connection. The URL is as pgx understands it; search_path=NAME
// in it names the schema of the tables, and pool_max_conns=N bounds the connections of one
// Index. Errors do not repeat it, for it may hold a password.
func Open(ctx context.Context, dsn string) (*Database, error) {
	d, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	operation := "open the vectors in " + d.name
	conn, err := pgx.ConnectConfig(ctx, d.config.ConnConfig)
	if err != nil {
		return nil, wrap(ctx, operation, err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return d.prepare(ctx, tx) })
	if end := conn.Close(context.WithoutCancel(ctx)); err == nil {
		err = end
	}
	if err != nil {
		return nil, wrap(ctx, operation, err)
	}
	return d, nil
}

// Check reports an address that no database can have, without opening anything.
func Check(dsn string) error {
	_, err := split(dsn)
	return err
}

// split reads an address. It never repeats it in an error: it may hold a password.
func split(dsn string) (*url.URL, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, refuse("the address is not a URL that begins with postgres:")
	}
	return u, nil
}

func refuse(why string) error {
	return fmt.Errorf("open the vectors: %w: %s; write one such as postgres://db/whereto", poi.ErrBadInput, why)
}

func parse(dsn string) (*Database, error) {
	u, err := split(dsn)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Del("durable") // a setting of the store, whose address may be given here too
	u.RawQuery = q.Encode()
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, refuse("the address has a setting that PostgreSQL does not know, or a bad value")
	}
	c := config.ConnConfig
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "whereto vectors"
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	// One connection always stays, and with it the lock of its set.
	config.MinConns, config.MaxConnLifetime = 1, 100*365*24*time.Hour
	d := &Database{config: config, name: fmt.Sprintf("postgres://%s:%d/%s", c.Host, c.Port, c.Database)}
	if path := c.RuntimeParams["search_path"]; path != "" {
		d.name += "?search_path=" + path
	}
	return d, nil
}

// Name returns the address without user and password.
func (d *Database) Name() string { return d.name }

// prepareLock keeps replicas that start together from making the same schema at once.
const prepareLock = 0x57485656

func (d *Database) prepare(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", prepareLock); err != nil {
		return err
	}
	first, _, _ := strings.Cut(d.config.ConnConfig.RuntimeParams["search_path"], ",")
	if first = strings.Trim(strings.TrimSpace(first), `"`); first != "" {
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", first).Scan(&exists); err != nil {
			return err
		}
		if !exists { // asking first lets a user without the right to create use what is there
			if _, err := tx.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{first}.Sanitize()); err != nil {
				return err
			}
		}
	}
	var schema *string
	if err := tx.QueryRow(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
		return err
	}
	if schema == nil {
		return fmt.Errorf("%w: no schema of its search_path exists; add search_path=NAME to the address", poi.ErrBadInput)
	}
	d.schema = *schema
	return d.extend(ctx, tx)
}

// extend finds the extension, or makes it where every schema finds it.
func (d *Database) extend(ctx context.Context, tx pgx.Tx) error {
	const where = "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
	err := tx.QueryRow(ctx, where).Scan(&d.types)
	if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')").Scan(&there); err != nil {
		return err
	}
	if !there {
		return errors.New("the server has no extension named vector: install pgvector on it, or keep the vectors in memory")
	}
	if _, err := tx.Exec(ctx, "CREATE EXTENSION vector SCHEMA public"); err != nil {
		return fmt.Errorf("make the extension vector; an administrator can do it with CREATE EXTENSION vector: %w", err)
	}
	return tx.QueryRow(ctx, where).Scan(&d.types)
}

// vectorType is the name of the extension's type, wherever it lies.
func (d *Database) vectorType() string { return pgx.Identifier{d.types, "vector"}.Sanitize() }

// product is the operator of the negative inner product.
func (d *Database) product() string {
	return "OPERATOR(" + pgx.Identifier{d.types}.Sanitize() + ".<#>)"
}

// Codes of the PostgreSQL manual, appendix A.
const (
	codeNoRights = "42501"
	codeReadOnly = "25006"
	codeNoTable  = "42P01"
)

// wrap turns what PostgreSQL says into the words of the contract. A context that ended
// comes first, because what the driver says of a broken-off call is accidental.
func wrap(ctx context.Context, operation string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w: %w", operation, context.Cause(ctx), err)
	}
	if errors.Is(err, poi.ErrBadInput) {
		return fmt.Errorf("%s: %w", operation, err)
	}
	var said *pgconn.PgError
	if errors.As(err, &said) {
		switch said.Code {
		case codeNoRights:
			operation += " (the user of the address needs the right to create tables in its schema, or a schema)"
		case codeReadOnly:
			operation += " (the server takes no writes: address the primary, not a standby)"
		case codeNoTable:
			operation += " (the table is gone: this service was cut off from the server, and another took it for dead; load the model again)"
		}
	}
	return fmt.Errorf("%s: %w: %w", operation, vector.ErrUnavailable, err)
}
