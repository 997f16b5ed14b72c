// Package postgres is the home of a store in PostgreSQL 13 or newer, for services of
// several replicas.
//
// All tables begin with whereto_ and lie in the first schema of the connection's
// search_path, which is made if it is missing; so several stores share a database, one
// to a schema. Commits are synchronous whatever the server's default is. A server that
// runs with fsync off is refused, for it can lose what it acknowledged.
//
// Deleted rows are gone for every query at once and leave the server's files when it
// vacuums them; they stay in its backups.
package postgres

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

	"github.com/whereto/whereto/store"
)

// Store is a store in a PostgreSQL schema.
type Store struct {
	pool *pgxpool.Pool
	name string
}

var _ store.Store = (*Store)(nil)

// Open connects to the server that the URL names and brings its tables to this version.
// Besides what pgx understands the URL may say
//
//	search_path=NAME  schema of the tables
//	durable=no        accept a server that can lose acknowledged writes
func Open(ctx context.Context, dsn string) (*Store, error) {
	config, durable, name, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	operation := "open the store " + name
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, wrap(ctx, operation, err)
	}
	s := &Store{pool: pool, name: name}
	if err := s.prepare(ctx, durable); err != nil {
		s.pool.Close()
		return nil, wrap(ctx, operation, err)
	}
	return s, nil
}

// parse never repeats the address in an error: it may hold a password.
func parse(dsn string) (config *pgxpool.Config, durable bool, name string, err error) {
	refuse := func(why string) (*pgxpool.Config, bool, string, error) {
		return nil, false, "", fmt.Errorf("open the PostgreSQL store: %w: %s; write postgres://USER@HOST:PORT/DATABASE", store.ErrForeign, why)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return refuse("the address is not a URL")
	}
	q := u.Query()
	choice := q.Get("durable")
	if choice != "" && choice != "no" && choice != "yes" {
		return refuse("durable is neither yes nor no")
	}
	q.Del("durable")
	u.RawQuery = q.Encode()
	if config, err = pgxpool.ParseConfig(u.String()); err != nil {
		return refuse("the address has a setting that PostgreSQL does not know, or a bad value")
	}
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "whereto"
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	c := config.ConnConfig
	name = fmt.Sprintf("postgres://%s:%d/%s", c.Host, c.Port, c.Database)
	if path := c.RuntimeParams["search_path"]; path != "" {
		name += "?search_path=" + path
	}
	return config, choice != "no", name, nil
}

func (s *Store) prepare(ctx context.Context, durable bool) error {
	var fsync, encoding string
	if err := s.pool.QueryRow(ctx, "SELECT current_setting('fsync'), current_setting('server_encoding')").Scan(&fsync, &encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("%w: the database keeps text as %s; make one with ENCODING 'UTF8'", store.ErrForeign, encoding)
	}
	if durable && fsync != "on" {
		return fmt.Errorf("%w: the server runs with fsync = %s and can lose acknowledged writes; set fsync = on, or add durable=no to the address to accept that",
			store.ErrForeign, fsync)
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return migrate(ctx, tx) })
}

// Name returns the address without user and password.
func (s *Store) Name() string { return s.name }

// Ping asks the server for an empty answer.
func (s *Store) Ping(ctx context.Context) error {
	return wrap(ctx, "ping "+s.name, s.pool.Ping(ctx))
}

// Close closes all connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// Counts returns how much is stored.
func (s *Store) Counts(ctx context.Context) (store.Counts, error) {
	var c store.Counts
	err := s.pool.QueryRow(ctx, `SELECT (SELECT coalesce(sum(actions), 0) FROM whereto_person)::bigint,
		(SELECT count(*) FROM whereto_person), (SELECT count(*) FROM whereto_poi)`).Scan(&c.Actions, &c.Users, &c.POIs)
	return c, wrap(ctx, "count what is stored", err)
}

// query collects the rows of a statement.
func query[T any](ctx context.Context, s *Store, scan func(pgx.CollectableRow) (T, error), statement string, args ...any) ([]T, error) {
	rows, err := s.pool.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// Classes and codes of the PostgreSQL manual, appendix A.
const (
	codeDiskFull     = "53100"
	codeNoRights     = "42501"
	codeReadOnly     = "25006"
	codeUndefinedDDL = "3F000" // no schema of the search_path exists
)

// wrap turns what PostgreSQL says into the words of the contract.
func wrap(ctx context.Context, operation string, err error) error {
	if err == nil {
		return nil
	}
	kind := store.ErrUnavailable
	var said *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		kind = store.ErrNotFound
	case errors.As(err, &said) && said.Code == codeDiskFull:
		kind = store.ErrFull
	case errors.As(err, &said) && (said.Code == codeNoRights || said.Code == codeUndefinedDDL):
		operation += " (the user of the address needs the right to create a schema, or to use one that exists)"
	case errors.As(err, &said) && said.Code == codeReadOnly:
		operation += " (the server takes no writes: address the primary, not a standby)"
	}
	return store.Wrap(ctx, operation, kind, err)
}

// schemaOf returns the first schema of a search_path, empty if none is set.
func schemaOf(searchPath string) string {
	first, _, _ := strings.Cut(searchPath, ",")
	return strings.Trim(strings.TrimSpace(first), `"`)
}
