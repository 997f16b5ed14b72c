package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/whereto/whereto/client"
)

// Writes says what became of the actions that the service acknowledged.
type Writes struct {
	Acknowledged int    `json:"acknowledged"`
	Found        int    `json:"found"`
	LostCount    int    `json:"lost"`
	Lost         []Lost `json:"lost_actions,omitempty"` // the first hundred
	Unchecked    int    `json:"unchecked"`              // could not be looked up
	Reason       string `json:"reason,omitempty"`       // why
}

// Lost is an action that was acknowledged and is gone.
type Lost struct {
	User string `json:"user"`
	ID   string `json:"id"`
}

const (
	maxLost    = 100
	lookUpTime = 10 * time.Minute // all look-ups together
	comeBack   = time.Minute      // for a service that is away at the end of the run
	askAgain   = time.Second
)

// ledger remembers acknowledged writes: user -> ids.
type ledger map[string]map[string]bool

func (l ledger) add(user, id string) {
	if l[user] == nil {
		l[user] = map[string]bool{}
	}
	l[user][id] = true
}

// verify looks every write up. It does so even if the run was interrupted: a lost
// action is what the run was to find.
func (l ledger) verify(ctx context.Context, c *client.Client, progress func(string)) *Writes {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookUpTime)
	defer cancel()
	var w Writes
	for _, ids := range l {
		w.Acknowledged += len(ids)
	}
	progress(fmt.Sprintf("looking up %d acknowledged actions of %d people", w.Acknowledged, len(l)))
	for _, user := range slices.Sorted(maps.Keys(l)) {
		if w.Reason != "" && ctx.Err() != nil { // no time is left
			w.Unchecked += len(l[user])
			continue
		}
		missing, err := l.missing(ctx, c, user)
		if err != nil {
			w.Unchecked += len(l[user])
			w.Reason = err.Error()
			if isAway(err) {
				cancel() // it had its minute
			}
			continue
		}
		w.Found += len(l[user]) - len(missing)
		w.LostCount += len(missing)
		for _, id := range missing[:min(len(missing), maxLost-len(w.Lost))] {
			w.Lost = append(w.Lost, Lost{User: user, ID: id})
		}
	}
	return &w
}

// missing returns the writes of a user that his actions lack. A service that is away
// gets a minute to come back.
func (l ledger) missing(ctx context.Context, c *client.Client, user string) ([]string, error) {
	for began := time.Now(); ; {
		missing, err := l.lookUp(ctx, c, user)
		if !isAway(err) || ctx.Err() != nil || time.Since(began) > comeBack {
			return missing, err
		}
		pause(ctx, askAgain)
	}
}

// isAway says whether the service may come back.
func isAway(err error) bool {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Busy()
	}
	return err != nil && !errors.Is(err, client.ErrAnswer) && !errors.Is(err, client.ErrInput)
}

func (l ledger) lookUp(ctx context.Context, c *client.Client, user string) ([]string, error) {
	left := maps.Clone(l[user])
	for a, err := range c.Actions(ctx, user) {
		var p *client.Problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound {
			break // nobody of that name: all he did is lost
		}
		if err != nil {
			return nil, err
		}
		delete(left, a.ID)
	}
	return slices.Sorted(maps.Keys(left)), nil
}
