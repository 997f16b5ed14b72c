package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/store/sqlite"
	"github.com/whereto/whereto/store/storetest"
)

// childFile names the environment variable that turns the test binary into a process
// that appends to a file until it is killed.
const childFile = "WHERETO_TEST_STORE_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		fmt.Fprintln(os.Stderr, appendUntilKilled(path))
		os.Exit(1)
	}
	if err := storetest.FewerCases(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func appendUntilKilled(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	var first int
	if c, err := s.Counts(ctx); err != nil {
		return err
	} else if first = int(c.Actions); first > 0 {
		fmt.Println(first - 1) // what was there counts as acknowledged
	}
	return storetest.AppendForever(ctx, s, first, func(n int) { fmt.Println(n) })
}

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store #1 ?x=%20.db") }

var home = storetest.Home{
	Open: func(t testing.TB) store.Store { return open(t, newPath(t)) },
	Dump: func(t testing.TB, s store.Store) []byte {
		path := strings.TrimPrefix(s.Name(), "sqlite:")
		var all []byte
		for _, end := range []string{"", "-wal", "-shm"} {
			b, err := os.ReadFile(path + end)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return all
	},
}

func TestHome(t *testing.T)  { storetest.Run(t, home) }
func TestModel(t *testing.T) { rapid.Check(t, storetest.Machine(t, home)) }
func TestBoxes(t *testing.T) { rapid.Check(t, storetest.Boxes(t, home)) }

// A process that appends is killed, three times on one file.
func TestKilled(t *testing.T) {
	path := newPath(t)
	have := 0
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFile+"="+path)
		said, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var complaint bytes.Buffer
		child.Stderr = &complaint
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		killAt := have + rand.IntN(120)
		acknowledged := -1
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
				t.Fatalf("the child says %q: %v", lines.Text(), err)
			}
			if acknowledged == killAt {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		err = child.Wait()
		if acknowledged < killAt || child.ProcessState.ExitCode() != -1 {
			t.Fatalf("the child ended by itself after action %d, before %d: %v %s", acknowledged, killAt, err, &complaint)
		}
		s := open(t, path)
		have = storetest.CheckSurvived(t, s, acknowledged+1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed after %d acknowledged actions", acknowledged+1)
	}
}

func TestFull(t *testing.T) {
	ctx := context.Background()
	s := open(t, newPath(t))
	defer s.Close()
	batch := func(user string, n int) []store.Action {
		actions := make([]store.Action, n)
		for i := range actions {
			actions[i] = store.Action{User: fmt.Sprint(user, i%3), POI: strings.Repeat("p", 200), TimeMS: int64(i)}
		}
		return actions
	}
	if _, err := s.Append(ctx, batch("early", 50)); err != nil {
		t.Fatal(err)
	}
	before, err := s.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := s.Pages()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.LimitPages(pages + 10); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, batch("late", 2000)); !errors.Is(err, store.ErrFull) {
		t.Fatalf("append to a full disk: error %v, want store.ErrFull", err)
	}
	pois := make([]store.POI, 2000)
	for i := range pois {
		pois[i] = store.POI{ID: fmt.Sprint(i), Name: strings.Repeat("n", 300)}
	}
	if _, err := s.UpsertPOIs(ctx, pois); !errors.Is(err, store.ErrFull) {
		t.Fatalf("POIs to a full disk: error %v, want store.ErrFull", err)
	}
	if after, err := s.Counts(ctx); err != nil || after != before {
		t.Errorf("counts %+v, %v; want %+v: nothing of a batch that did not fit", after, err, before)
	}
	if users, _, err := s.UsersPage(ctx, "late", "", 10); err != nil || len(users) != 0 {
		t.Errorf("users of the batch that did not fit: %v, %v", users, err)
	}
	if err := s.LimitPages(1 << 20); err != nil {
		t.Fatal(err)
	}
	done, err := s.Append(ctx, batch("late", 2000))
	if err != nil || done.Count() != 2000 {
		t.Errorf("append when there is room again: %d new, %v; want 2000", done.Count(), err)
	}
}

func TestForeign(t *testing.T) {
	text := newPath(t)
	if err := os.WriteFile(text, []byte(strings.Repeat("user,poi,time\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := newPath(t)
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(other))
	if err == nil {
		_, err = db.Exec("CREATE TABLE notes (text)")
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	newer := newPath(t)
	s := open(t, newer)
	if err := errors.Join(s.Execute("PRAGMA user_version = 99"), s.Close()); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		want       error
		says       string
	}{
		{"a text file", text, store.ErrForeign, "not a database"},
		{"a database of others", other, store.ErrForeign, "another program"},
		{"written by a newer version", newer, store.ErrForeign, "version 99"},
		{"no folder", filepath.Join(t.TempDir(), "none", "x.db"), store.ErrUnavailable, "folder that exists"},
		{"a folder", t.TempDir(), store.ErrUnavailable, "directory"},
		{"no path", "", store.ErrForeign, "sqlite:PATH"},
	}
	for _, tc := range tests {
		_, err := sqlite.Open(context.Background(), tc.path)
		if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.says) {
			t.Errorf("%s: error %v; want %v that says %q", tc.name, err, tc.want, tc.says)
		}
	}
	if b, err := os.ReadFile(text); err != nil || !bytes.HasPrefix(b, []byte("user,poi,time\n")) {
		t.Errorf("the text file was changed: %v", err)
	}
}

// Several processes may open a new file at once; here several stores do.
func TestOpenedAtOnce(t *testing.T) {
	path := newPath(t)
	var wait sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wait.Go(func() {
			s, err := sqlite.Open(context.Background(), path)
			if err == nil {
				_, err = s.Append(context.Background(), []store.Action{{User: fmt.Sprint(i), POI: "p"}})
				err = errors.Join(err, s.Close())
			}
			errs[i] = err
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	defer s.Close()
	if c, err := s.Counts(context.Background()); err != nil || c.Users != 6 {
		t.Errorf("counts %+v, %v; want 6 users", c, err)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	defer s.Close()
	if _, err := s.Append(context.Background(), []store.Action{{User: "u", POI: "p"}}); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(path+end), got)
		}
	}
}
