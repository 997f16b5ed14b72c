package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/whereto/whereto/store"
)

// crashUser is whose actions are appended until something dies.
const crashUser = "survivor"

// AppendForever stores one action after another from the first number on and tells each
// as soon as it is acknowledged. It returns the error that ends it.
func AppendForever(ctx context.Context, s store.Store, first int, acknowledged func(number int)) error {
	for i := first; ; i++ {
		a := act(crashUser, int64(i))
		a.ID = fmt.Sprint(i)
		if _, err := s.Append(ctx, []store.Action{a}); err != nil {
			return err
		}
		acknowledged(i)
	}
}

// CheckSurvived fails unless the actions 0 to n-1 are all there, whole and in order. One
// more may be: it was stored, and the answer was lost. It returns how many there are.
func CheckSurvived(t testing.TB, s store.Store, n int) int {
	t.Helper()
	got := allActions(t, s, crashUser, store.MaxPage)
	if len(got) < n || len(got) > n+1 {
		t.Fatalf("%d actions were acknowledged, %d are there", n, len(got))
	}
	for i, a := range got {
		want := act(crashUser, int64(i))
		if want.ID = fmt.Sprint(i); a != want {
			t.Fatalf("action %d is %+v, want %+v", i, a, want)
		}
	}
	if c := counts(t, s); c.Actions != int64(len(got)) || c.Users != 1 {
		t.Fatalf("counts %+v with %d actions of one user", c, len(got))
	}
	return len(got)
}

// ServerDies kills the server of a store while actions are appended, at a moment drawn
// anew each time. The store must say that it is unavailable, and must work again, the
// same one, when the server is back, with every acknowledged action.
func ServerDies(t *testing.T, s store.Store, kill, restart func()) {
	ctx := context.Background()
	n := 0
	for range 3 {
		killAt := n + 1 + rand.IntN(150)
		t.Logf("the server dies after action %d", killAt)
		reached := make(chan struct{})
		ended := make(chan error, 1)
		acknowledged := n
		go func() {
			ended <- AppendForever(ctx, s, n, func(number int) {
				acknowledged = number + 1
				if number == killAt {
					close(reached)
				}
			})
		}()
		select {
		case err := <-ended:
			t.Fatalf("append ended before the server did: %v", err)
		case <-reached:
		}
		kill()
		if err := <-ended; !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("append without a server: error %v, want store.ErrUnavailable", err)
		}
		for name, call := range calls(s) {
			if err := call(ctx); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s without a server: error %v, want store.ErrUnavailable", name, err)
			}
		}
		restart()
		untilPing(t, s)
		n = CheckSurvived(t, s, acknowledged)
	}
}

// untilPing waits until the store answers: connections that died are found out one by
// one.
func untilPing(t testing.TB, s store.Store) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := s.Ping(context.Background())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server is back and the store is not: %v", err)
		}
	}
}
