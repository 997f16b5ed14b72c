package pgvector_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/vector"
	"github.com/whereto/whereto/vector/pgvector"
	"github.com/whereto/whereto/vector/vectortest"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	if err := vectortest.FewerCases(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func open(t testing.TB, dsn string) *pgvector.Database {
	t.Helper()
	d, err := pgvector.Open(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newIndex(t testing.TB, d *pgvector.Database, s *vector.Set) *pgvector.Index {
	t.Helper()
	x, err := d.Index(ctx, s, vector.IndexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func homeOf(t testing.TB) vectortest.Home {
	d := open(t, testkit.Pgvector(t))
	return vectortest.Home{Open: func(ctx context.Context, s *vector.Set, opt vector.IndexOptions) (vector.Searcher, error) {
		x, err := d.Index(ctx, s, opt)
		if err != nil {
			return nil, err
		}
		return x, nil
	}}
}

func TestHome(t *testing.T)        { vectortest.Run(t, homeOf(t)) }
func TestExact(t *testing.T)       { rapid.Check(t, vectortest.Exact(homeOf(t))) }
func TestExactCosine(t *testing.T) { rapid.Check(t, vectortest.ExactCosine(homeOf(t))) }

// tables lists the sets in a schema.
func tables(t testing.TB, dsn string) []string {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename")
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A set is there as long as somebody uses it, once however many do, and what a killed
// process left goes when the next set comes.
func TestTablesComeAndGo(t *testing.T) {
	dsn := testkit.Pgvector(t)
	d := open(t, dsn)
	expect := func(what string, want ...string) {
		t.Helper()
		slices.Sort(want)
		if got := tables(t, dsn); !slices.Equal(got, want) {
			t.Errorf("%s: tables %v, want %v", what, got, want)
		}
	}
	s, other := vectortest.Set(1, 50, 3, true), vectortest.Set(2, 50, 3, true)
	a := newIndex(t, d, s)
	b := newIndex(t, open(t, dsn), s) // another replica
	expect("one set, two users", a.Table())
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	expect("one of two has gone", b.Table())
	if hits, err := b.Search(ctx, s.Row(1), 1, vector.Area{}); err != nil || len(hits) != 1 {
		t.Errorf("the other: %v, %v", hits, err)
	}
	lost := newIndex(t, d, other)
	lost.Abandon()
	if err := newIndex(t, d, vectortest.Set(3, 50, 3, true)).Close(); err != nil {
		t.Fatal(err)
	}
	expect("a killed process on a server that has just begun", b.Table(), lost.Table())
	pgvector.PruneAtOnce(t)
	last := newIndex(t, d, vectortest.Set(3, 50, 3, true))
	expect("and later", b.Table(), last.Table())
	if err := errors.Join(b.Close(), last.Close()); err != nil {
		t.Fatal(err)
	}
	expect("all have gone")
}

// Everything that a search depends on is in the fingerprint.
func TestSetsDoNotShareWrongly(t *testing.T) {
	dsn := testkit.Pgvector(t)
	d := open(t, dsn)
	seen := map[string]string{}
	for name, change := range map[string]func(*vector.Set, *vector.IndexOptions){
		"itself":    func(*vector.Set, *vector.IndexOptions) {},
		"a number":  func(s *vector.Set, _ *vector.IndexOptions) { s.Data[8999] += 1e-6 },
		"the first": func(s *vector.Set, _ *vector.IndexOptions) { s.Lat[0] += 1e-9 },
		"an id":     func(s *vector.Set, _ *vector.IndexOptions) { s.IDs[2999] += "x" },
		"a place":   func(s *vector.Set, _ *vector.IndexOptions) { s.Lng[2999] += 1e-9 },
		"no places": func(s *vector.Set, _ *vector.IndexOptions) { s.Lat, s.Lng = nil, nil },
		"a shape": func(s *vector.Set, _ *vector.IndexOptions) {
			s.Dim, s.IDs, s.Lat, s.Lng = 6, s.IDs[:1500], s.Lat[:1500], s.Lng[:1500]
		},
		"a measure":  func(_ *vector.Set, o *vector.IndexOptions) { o.Measure = vector.Cosine },
		"the blocks": func(_ *vector.Set, o *vector.IndexOptions) { o.BlockKM = 7 },
	} {
		s, o := vectortest.Set(4, 3000, 3, true), vector.IndexOptions{}
		change(s, &o)
		x, err := d.Index(ctx, s, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if before, twice := seen[x.Table()]; twice {
			t.Errorf("%s and %s have one table", before, name)
		}
		seen[x.Table()] = name
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingHalfWritten(t *testing.T) {
	dsn := testkit.Pgvector(t)
	d := open(t, dsn)
	s := vectortest.Set(5, 5000, 8, true)
	cut := errors.New("cut")
	if err := d.Broken(ctx, s, iotest.ErrReader(cut)); err == nil || !strings.Contains(err.Error(), "cut") {
		t.Errorf("rows that break off: %v", err)
	}
	if got := tables(t, dsn); len(got) > 0 {
		t.Errorf("tables %v after a copy that broke off", got)
	}
	dying, cancel := context.WithCancel(ctx)
	err := d.Broken(dying, s, readFunc(func([]byte) (int, error) { cancel(); <-dying.Done(); return 0, nil }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled during the copy: %v", err)
	}
	x := newIndex(t, d, s)
	defer x.Close()
	if got := tables(t, dsn); !slices.Equal(got, []string{x.Table()}) {
		t.Errorf("tables %v, want one", got)
	}
	if hits, err := x.Search(ctx, s.Row(0), 10_000, vector.Area{}); err != nil || len(hits) != 5000 {
		t.Errorf("%d rows of 5000, %v", len(hits), err)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// untilUnavailable reads until that fails as it should: the processes that serve open
// connections live on for a moment when the first one of the server is killed.
func untilUnavailable(t *testing.T, read func() error) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := read()
		if errors.Is(err, vector.ErrUnavailable) {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("search: %v; want vector.ErrUnavailable", err)
		}
	}
}

// terminate ends every connection of a server but its own.
func terminate(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var n int
	const others = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
	if err := conn.QueryRow(ctx, others).Scan(&n); err != nil || n == 0 {
		t.Fatalf("%d connections ended, %v", n, err)
	}
}

func TestServerDies(t *testing.T) {
	server := testkit.OwnServer(t, "pgvector")
	dsn := server.PostgresSchema()
	d := open(t, dsn)
	s := vectortest.Set(6, 100, 4, true)
	x := newIndex(t, d, s)
	want, err := x.Search(ctx, s.Row(1), 5, vector.Area{})
	if err != nil {
		t.Fatal(err)
	}
	terminate(t, dsn) // the pool does not know yet, and must not say so
	if got, err := x.Search(ctx, s.Row(1), 5, vector.Area{}); err != nil || !slices.Equal(got, want) {
		t.Errorf("on connections that have died: %v, %v; want %v", got, err, want)
	}
	search := func() error { _, err := x.Search(ctx, s.Row(1), 5, vector.Area{}); return err }
	server.Kill(t)
	untilUnavailable(t, search)
	if v, err := x.Vectors(ctx, 1); !errors.Is(err, vector.ErrUnavailable) {
		t.Errorf("vectors: %v, %v; want vector.ErrUnavailable", v, err)
	}
	if _, err := d.Index(ctx, s, vector.IndexOptions{}); !errors.Is(err, vector.ErrUnavailable) {
		t.Errorf("another set: %v, want vector.ErrUnavailable", err)
	}
	if _, err := pgvector.Open(ctx, dsn); !errors.Is(err, vector.ErrUnavailable) {
		t.Errorf("open: %v, want vector.ErrUnavailable", err)
	}
	server.Restart(t)
	if got, err := x.Search(ctx, s.Row(1), 5, vector.Area{}); err != nil || !slices.Equal(got, want) {
		t.Errorf("after a restart: %v, %v; want %v", got, err, want)
	}
	server.Kill(t)
	untilUnavailable(t, search)
	if err := x.Close(); !errors.Is(err, vector.ErrUnavailable) {
		t.Errorf("close: %v, want vector.ErrUnavailable", err)
	}
	server.Restart(t)
	pgvector.PruneAtOnce(t)
	next := newIndex(t, d, vectortest.Set(7, 100, 4, true))
	if got := tables(t, dsn); !slices.Equal(got, []string{next.Table()}) {
		t.Errorf("tables %v, want what Close could not drop to be gone", got)
	}
	next.Abandon()
}

// A table that another took for unused is told from other troubles.
func TestTableGone(t *testing.T) {
	dsn := testkit.Pgvector(t)
	s := vectortest.Set(8, 20, 2, false)
	x := newIndex(t, open(t, dsn), s)
	defer x.Close()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "DROP TABLE "+x.Table()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Search(ctx, s.Row(0), 1, vector.Area{}); !errors.Is(err, vector.ErrUnavailable) || !strings.Contains(err.Error(), "load the model again") {
		t.Errorf("error %v", err)
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		name, dsn string
		want      error
		says      string
	}{
		{"a bad setting", "postgres://u:hunter2@h/d?sslmode=perhaps", poi.ErrBadInput, "setting"},
		{"no URL", "postgres://u:hunter2@h:x/%zz", poi.ErrBadInput, "not a URL"},
		{"another kind", "redis://u:hunter2@h", poi.ErrBadInput, "postgres:"},
		{"nobody listens", "postgres://u:hunter2@127.0.0.1:1/d?durable=no", vector.ErrUnavailable, "127.0.0.1:1/d"},
	}
	for _, tc := range tests {
		_, err := pgvector.Open(ctx, tc.dsn)
		if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.says) {
			t.Errorf("%s: error %v; want %v that says %q", tc.name, err, tc.want, tc.says)
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", tc.name, err)
		}
	}
}

func TestNameHasNoPassword(t *testing.T) {
	dsn := strings.Replace(testkit.Pgvector(t), "@", ":hunter2@", 1)
	if name := open(t, dsn).Name(); strings.Contains(name, "hunter2") || !strings.Contains(name, "search_path=") {
		t.Errorf("name %q", name)
	}
}

// Replicas that start at once make one schema and one extension.
func TestOpenedAtOnce(t *testing.T) {
	server := testkit.OwnServer(t, "pgvector")
	dsn := server.PostgresSchema()
	var wait sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wait.Go(func() { _, errs[i] = pgvector.Open(ctx, dsn) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A server without the extension says what to install.
func TestNoExtension(t *testing.T) {
	dsn := testkit.Postgres(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')").Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there {
		t.Skip("every PostgreSQL here has pgvector")
	}
	if _, err := pgvector.Open(ctx, dsn); !errors.Is(err, vector.ErrUnavailable) || !strings.Contains(err.Error(), "install pgvector") {
		t.Errorf("error %v", err)
	}
}

// The bytes that the server is sent, by the PostgreSQL manual.
func TestCopiedBytes(t *testing.T) {
	s := &vector.Set{IDs: []string{"a", "é"}, Dim: 2, Data: []float32{1, -2, 0.5, 0}, Lat: []float64{10, -30}, Lng: []float64{20, 180}}
	got, err := pgvector.Copied(s, vector.IndexOptions{BlockKM: 2000})
	if err != nil {
		t.Fatal(err)
	}
	const header = "5047434f50590aff0d0a00" + "00000000" + "00000000"
	const rowA = "0006" + "00000004" + "00000000" + "00000001" + "61" + "00000008" + "4024000000000000" + "00000008" + "4034000000000000" +
		"00000008" + "000000050000000b" + "0000000c" + "0002" + "0000" + "3f800000" + "c0000000"
	const rowB = "0006" + "00000004" + "00000001" + "00000002" + "c3a9" + "00000008" + "c03e000000000000" + "00000008" + "4066800000000000" +
		"00000008" + "0000000300000000" + "0000000c" + "0002" + "0000" + "3f000000" + "00000000"
	if want := header + rowA + rowB + "ffff"; hex.EncodeToString(got) != want {
		t.Errorf("%x\nwant %s", got, want)
	}
	s.Lat, s.Lng = nil, nil
	if got, err = pgvector.Copied(s, vector.IndexOptions{BlockKM: 2000, Measure: vector.Cosine}); err != nil {
		t.Fatal(err)
	}
	unit := make([]float32, 2)
	vector.Cosine.Fit(unit, []float32{1, -2})
	row := fmt.Sprintf("00000001"+"61"+strings.Repeat("ffffffff", 3)+"0000000c"+"00020000"+"%08x%08x", math.Float32bits(unit[0]), math.Float32bits(unit[1]))
	if !strings.Contains(hex.EncodeToString(got), row) {
		t.Errorf("%x has no %s", got, row)
	}
}
