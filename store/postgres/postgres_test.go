package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/store/postgres"
	"github.com/whereto/whereto/store/storetest"
)

func TestMain(m *testing.M) {
	if err := storetest.FewerCases(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func open(t testing.TB, dsn string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dumps remembers the address of each store of the suite.
var dumps sync.Map

var home = storetest.Home{
	Open: func(t testing.TB) store.Store {
		dsn := testkit.Postgres(t)
		s := open(t, dsn)
		dumps.Store(s, dsn)
		return s
	},
	Dump: func(t testing.TB, s store.Store) []byte {
		dsn, _ := dumps.Load(s)
		return dump(t, dsn.(string))
	},
}

// dump returns every row of every table of the schema as text.
func dump(t testing.TB, dsn string) []byte {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 6 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	var all []byte
	for _, table := range tables {
		rows, err := conn.Query(ctx, "SELECT x::text FROM "+pgx.Identifier{table}.Sanitize()+" x")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Join(append(lines, table), "\n")...)
	}
	return all
}

func execute(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestHome(t *testing.T)  { storetest.Run(t, home) }
func TestModel(t *testing.T) { rapid.Check(t, storetest.Machine(t, home)) }
func TestBoxes(t *testing.T) { rapid.Check(t, storetest.Boxes(t, home)) }

func TestServerDies(t *testing.T) {
	server := testkit.OwnServer(t, "postgres")
	s := open(t, server.PostgresSchema())
	defer s.Close()
	storetest.ServerDies(t, s, func() { server.Kill(t) }, func() { server.Restart(t) })
}

func TestOpenedAtOnce(t *testing.T) {
	dsn := testkit.Postgres(t)
	var wait sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wait.Go(func() {
			s, err := postgres.Open(context.Background(), dsn)
			if err == nil {
				_, err = s.Append(context.Background(), []store.Action{{User: fmt.Sprint(i), POI: "p"}})
				s.Close()
			}
			errs[i] = err
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s := open(t, dsn)
	defer s.Close()
	if c, err := s.Counts(context.Background()); err != nil || c.Users != 6 {
		t.Errorf("counts %+v, %v; want 6 users", c, err)
	}
}

// A server that has synchronous commits off by default must not matter, and one that
// does not sync at all must be refused.
func TestDurable(t *testing.T) {
	ctx := context.Background()
	server := testkit.OwnServer(t, "postgres")
	dsn := server.PostgresSchema()
	execute(t, dsn, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
	server.Kill(t) // reloading takes its time; starting again does not
	server.Restart(t)
	if _, err := postgres.Open(ctx, dsn); !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), "set fsync = on") {
		t.Errorf("a server that does not sync: error %v, want store.ErrForeign that says what to set", err)
	}
	s, err := postgres.Open(ctx, dsn+"&durable=no")
	if err != nil {
		t.Fatalf("a server that does not sync, accepted: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestForeign(t *testing.T) {
	ctx := context.Background()
	newer := testkit.Postgres(t)
	if err := open(t, newer).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, newer, "UPDATE whereto_version SET version = 99")
	latin := testkit.Postgres(t)
	execute(t, latin, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
	latin = strings.Replace(latin, "/postgres?", "/latin?", 1)
	tests := []struct {
		name, dsn string
		want      error
		says      string
	}{
		{"written by a newer version", newer, store.ErrForeign, "version 99"},
		{"not in UTF-8", latin, store.ErrForeign, "UTF8"},
		{"a bad setting", "postgres://u:hunter2@h/d?sslmode=perhaps", store.ErrForeign, "setting"},
		{"durable perhaps", "postgres://u:hunter2@h/d?durable=perhaps", store.ErrForeign, "durable"},
		{"no URL", "postgres://u:hunter2@h:x/%zz", store.ErrForeign, "not a URL"},
		{"nobody listens", "postgres://u:hunter2@127.0.0.1:1/d", store.ErrUnavailable, "127.0.0.1:1"},
	}
	for _, tc := range tests {
		_, err := postgres.Open(ctx, tc.dsn)
		if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.says) {
			t.Errorf("%s: error %v; want %v that says %q", tc.name, err, tc.want, tc.says)
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", tc.name, err)
		}
	}
}

func TestNameHasNoPassword(t *testing.T) {
	dsn := strings.Replace(testkit.Postgres(t), "whereto@", "whereto:hunter2@", 1)
	s := open(t, dsn)
	defer s.Close()
	if name := s.Name(); strings.Contains(name, "hunter2") || !strings.Contains(name, "search_path=test_") {
		t.Errorf("name %q", name)
	}
}
