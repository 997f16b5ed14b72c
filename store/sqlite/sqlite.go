// Package sqlite is the home of a store in one file, for one machine. It is the default:
// nothing to install, and every acknowledged write is on disk.
//
// The file is written by one connection at a time and read by several beside it, as the
// write-ahead log allows. Several processes of one machine may open it. Positions are
// found through an R*Tree. What is deleted is overwritten with zeros, in the log too.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/whereto/whereto/store"
)

// Store is a store in a file.
type Store struct {
	path  string
	write *sql.DB // one connection
	read  *sql.DB
}

var _ store.Store = (*Store)(nil)

// busyMS is how long a connection waits for another process that writes.
const busyMS = 5000

// Open opens the file, or makes it, readable by its owner alone; its folder must exist.
// It returns store.ErrForeign for a file that is no SQLite database, belongs to another
// program, or was written by a newer whereto.
func Open(ctx context.Context, path string) (*Store, error) {
	operation := fmt.Sprintf("open the store %s", path)
	if path == "" {
		return nil, fmt.Errorf("%s: %w: no path; write sqlite:PATH", operation, store.ErrForeign)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, store.Wrap(ctx, operation, store.ErrUnavailable, err)
	}
	// SQLite gives the files beside this one the same permissions.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, store.Wrap(ctx, operation+"; choose a file in a folder that exists and can be written", store.ErrUnavailable, err)
	}
	if err := f.Close(); err != nil {
		return nil, store.Wrap(ctx, operation, store.ErrUnavailable, err)
	}
	s := &Store{path: path}
	// The log is switched on first: while it is off, a second connection finds the file
	// locked.
	s.write, err = connect(abs, "_txlock=immediate&_pragma=journal_mode(WAL)")
	if err == nil {
		s.write.SetMaxOpenConns(1)
		err = migrate(ctx, s.write)
	}
	if err == nil {
		s.read, err = connect(abs, "_pragma=query_only(1)")
	}
	if err != nil {
		return nil, errors.Join(wrap(ctx, operation, err), s.Close())
	}
	readers := max(4, runtime.NumCPU())
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return s, nil
}

func connect(path, more string) (*sql.DB, error) {
	name := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() +
		fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=secure_delete(1)&", busyMS) + more
	return sql.Open("sqlite", name)
}

// Name returns the kind and the path.
func (s *Store) Name() string { return "sqlite:" + s.path }

// Ping reads the header of the file.
func (s *Store) Ping(ctx context.Context) error {
	var version int
	return wrap(ctx, "ping "+s.Name(), s.read.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version))
}

// Close closes the file. The last one to do so folds the log into it.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Counts returns how much is stored.
func (s *Store) Counts(ctx context.Context) (store.Counts, error) {
	var c store.Counts
	err := s.read.QueryRowContext(ctx, `SELECT (SELECT coalesce(sum(actions), 0) FROM person),
		(SELECT count(*) FROM person), (SELECT count(*) FROM poi)`).Scan(&c.Actions, &c.Users, &c.POIs)
	return c, wrap(ctx, "count what is stored", err)
}

// change runs do in a transaction of the one writer.
func (s *Store) change(ctx context.Context, operation string, do func(*sql.Tx) error) error {
	return wrap(ctx, operation, inTx(ctx, s.write, do))
}

func inTx(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		// SQLite rolls back by itself when it is full; then there is nothing left to undo.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// query collects the rows of a statement.
func query[T any](ctx context.Context, db *sql.DB, scan func(func(...any) error, *T) error, statement string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows.Scan, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// wrap turns what SQLite says into the words of the contract.
func wrap(ctx context.Context, operation string, err error) error {
	if err == nil {
		return nil
	}
	kind := store.ErrUnavailable
	var said *sqlite.Error
	if errors.As(err, &said) {
		switch said.Code() & 0xff { // the low byte is the kind, the rest its detail
		case lib.SQLITE_FULL:
			kind = store.ErrFull
		case lib.SQLITE_NOTADB:
			kind = store.ErrForeign
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		kind = store.ErrNotFound
	}
	return store.Wrap(ctx, operation, kind, err)
}
