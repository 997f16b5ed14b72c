package open_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/store/open"
)

func TestOpen(t *testing.T) {
	for kind, address := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a b.db") },
		"postgres": testkit.Postgres,
		"redis":    testkit.Redis,
	} {
		t.Run(kind, func(t *testing.T) {
			ctx := context.Background()
			where := address(t)
			s, err := open.Open(ctx, where)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(s.Name(), kind+":") {
				t.Errorf("%s opened %s", where, s.Name())
			}
			if _, err := s.Append(ctx, []store.Action{{User: "u", POI: "p"}}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = open.Open(ctx, where); err != nil {
				t.Fatalf("open again: %v", err)
			}
			defer s.Close()
			if c, err := s.Counts(ctx); err != nil || c.Actions != 1 {
				t.Errorf("counts after opening again: %+v, %v; want one action", c, err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for address, want := range map[string]error{
		"":                             store.ErrForeign,
		"store.db":                     store.ErrForeign,
		"mysql://root:hunter2@h/d":     store.ErrForeign,
		"sqlite:":                      store.ErrForeign,
		"sqlite:/none/such/folder/x":   store.ErrUnavailable,
		"redis://:hunter2@127.0.0.1:1": store.ErrUnavailable,
		"postgres://127.0.0.1:1/d":     store.ErrUnavailable,
	} {
		s, err := open.Open(context.Background(), address)
		if s != nil || !errors.Is(err, want) {
			t.Errorf("%q: store %v, error %v; want none and %v", address, s, err, want)
		}
		if known := open.Check(address) == nil; known != (want == store.ErrUnavailable) {
			t.Errorf("%q: it can have a home: %v", address, known)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error tells the password: %v", address, err)
		}
	}
}
