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
	"sync"
	"syscall"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/whereto/whereto/store"
)

// Store is a store in a file.
type Store struct {
	path  string
	write *sql.DB // one connection
	read  *sql.DB

	recent *sql.Stmt // recentActions
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
	if err := create(abs); err != nil {
		return nil, store.Wrap(ctx, operation+"; choose a file in a folder that exists and can be written", store.ErrUnavailable, err)
	}
	s := &Store{path: path}
	if s.write, err = connectWriter(ctx, abs); err == nil {
		s.read, err = connect(abs, "_pragma=query_only(1)")
	}
	if err == nil {
		s.recent, err = s.read.PrepareContext(ctx, recentActions)
	}
	if err != nil {
		return nil, errors.Join(wrap(ctx, operation, err), s.Close())
	}
	readers := max(4, runtime.NumCPU())
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return s, nil
}

var creating sync.Mutex // held by create

// create makes the file where there is none, since SQLite would make it readable by all;
// those that SQLite puts beside it get its permissions.
//
// A file that exists is not opened: closing it would drop the locks that every other
// store of this process holds on it, as POSIX has it. Hence one at a time, too.
func create(path string) error {
	creating.Lock()
	defer creating.Unlock()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			err = &os.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
		}
		return err
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// connectWriter opens the one connection that writes, switches the log on and brings the
// tables up to date. It tries until busyMS have passed: SQLite does not wait by itself
// where two that switch the log on would wait for each other.
func connectWriter(ctx context.Context, path string) (*sql.DB, error) {
	for deadline := time.Now().Add(busyMS * time.Millisecond); ; {
		db, err := connect(path, "_txlock=immediate&_pragma=journal_mode(WAL)")
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		if err = migrate(ctx, db); err == nil {
			return db, nil
		}
		err = errors.Join(err, db.Close())
		if kind(err) != lib.SQLITE_BUSY || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
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
	return collect(func() (*sql.Rows, error) { return db.QueryContext(ctx, statement, args...) }, scan)
}

// collect reads all rows.
func collect[T any](open func() (*sql.Rows, error), scan func(func(...any) error, *T) error) ([]T, error) {
	rows, err := open()
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
	sentinel := store.ErrUnavailable
	switch kind(err) {
	case lib.SQLITE_FULL:
		sentinel = store.ErrFull
	case lib.SQLITE_NOTADB:
		sentinel = store.ErrForeign
	}
	if errors.Is(err, sql.ErrNoRows) {
		sentinel = store.ErrNotFound
	}
	return store.Wrap(ctx, operation, sentinel, err)
}

// kind is the kind of an error of SQLite: the low byte of its code; the rest is detail.
func kind(err error) int {
	if said, ok := errors.AsType[*sqlite.Error](err); ok {
		return said.Code() & 0xff
	}
	return lib.SQLITE_OK
}
