package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/whereto/whereto/store"
)

// Append stores actions; see store.Actions.
func (s *Store) Append(ctx context.Context, actions []store.Action) (store.Appended, error) {
	done := store.Appended{New: make([]bool, len(actions))}
	if err := store.CheckActions(actions); err != nil || len(actions) == 0 {
		return store.Appended{}, err
	}
	err := s.change(ctx, fmt.Sprintf("store %d actions", len(actions)), func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, `INSERT INTO action
			(identity, person, id, poi, time_ms, offset_min, type, user_lat, user_lng)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (identity) DO NOTHING`)
		if err != nil {
			return err
		}
		defer put.Close()
		people := map[string]*person{}
		for i, a := range actions {
			who, err := findPerson(ctx, tx, people, a.User)
			if err != nil {
				return err
			}
			var lat, lng any
			if a.HasUser {
				lat, lng = a.UserLat, a.UserLng
			}
			identity := a.Identity()
			result, err := put.ExecContext(ctx, identity[:], who.num, a.ID, a.POI, a.TimeMS, a.OffsetMin, a.Type, lat, lng)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			done.New[i] = n == 1
			who.added += n
		}
		return countAdded(ctx, tx, people)
	})
	if err != nil {
		return store.Appended{}, err
	}
	return done, nil
}

// person is a row of that table during one Append.
type person struct{ num, added int64 }

// findPerson returns the row of a user, new or not.
func findPerson(ctx context.Context, tx *sql.Tx, people map[string]*person, name string) (*person, error) {
	if who := people[name]; who != nil {
		return who, nil
	}
	who := &person{}
	err := tx.QueryRowContext(ctx, "SELECT num FROM person WHERE name = ?", name).Scan(&who.num)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, "INSERT INTO person (name) VALUES (?) RETURNING num", name).Scan(&who.num)
	}
	if err != nil {
		return nil, err
	}
	people[name] = who
	return who, nil
}

func countAdded(ctx context.Context, tx *sql.Tx, people map[string]*person) error {
	for _, who := range people {
		if who.added == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE person SET actions = actions + ? WHERE num = ?", who.added, who.num); err != nil {
			return err
		}
	}
	return nil
}

// stored is an action with its order of arrival.
type stored struct {
	store.Action
	num int64
}

const actionColumns = "p.name, a.id, a.poi, a.time_ms, a.offset_min, a.type, a.user_lat, a.user_lng, a.num"

func scanAction(scan func(...any) error, a *stored) error {
	var lat, lng sql.NullFloat64
	if err := scan(&a.User, &a.ID, &a.POI, &a.TimeMS, &a.OffsetMin, &a.Type, &lat, &lng, &a.num); err != nil {
		return err
	}
	stands(&a.Action, lat, lng)
	return nil
}

// stands puts the user's position, which may be missing, into an action.
func stands(a *store.Action, lat, lng sql.NullFloat64) {
	a.HasUser, a.UserLat, a.UserLng = lat.Valid && lng.Valid, lat.Float64, lng.Float64
}

// Recent returns a user's latest actions; see store.Actions.
func (s *Store) Recent(ctx context.Context, user string, beforeMS int64, n int) ([]store.Action, error) {
	if err := store.CheckRecent(user, n); err != nil {
		return nil, err
	}
	actions, err := collect(func() (*sql.Rows, error) { return s.recent.QueryContext(ctx, user, beforeMS, n) }, scanRecent)
	if err != nil {
		return nil, wrap(ctx, fmt.Sprintf("read the recent actions of %q", user), err)
	}
	for i := range actions {
		actions[i].User = user
	}
	slices.Reverse(actions)
	return actions, nil
}

// recentActions is prepared once: every request asks it.
const recentActions = `SELECT id, poi, time_ms, offset_min, type, user_lat, user_lng FROM action
	WHERE person = (SELECT num FROM person WHERE name = ?) AND time_ms < ? ORDER BY time_ms DESC, num DESC LIMIT ?`

func scanRecent(scan func(...any) error, a *store.Action) error {
	var lat, lng sql.NullFloat64
	if err := scan(&a.ID, &a.POI, &a.TimeMS, &a.OffsetMin, &a.Type, &lat, &lng); err != nil {
		return err
	}
	stands(a, lat, lng)
	return nil
}

// ActionsPage lists actions; see store.Actions.
func (s *Store) ActionsPage(ctx context.Context, user, cursor string, limit int) ([]store.Action, string, error) {
	if err := store.CheckPage("user", user, limit); err != nil {
		return nil, "", err
	}
	after, begin, err := store.DecodeCursor(store.ListActions, user, cursor)
	if err != nil {
		return nil, "", err
	}
	if begin {
		after = store.Position{Name: user, TimeMS: -1 << 62}
	}
	// What is left of the user in hand comes first, then the users after him: each is
	// a walk along one index.
	var rows []stored
	if after.Name != "" {
		rows, err = query(ctx, s.read, scanAction, `SELECT `+actionColumns+` FROM person p JOIN action a ON a.person = p.num
			WHERE p.name = ? AND (a.time_ms, a.num) > (?, ?) ORDER BY a.time_ms, a.num LIMIT ?`,
			after.Name, after.TimeMS, after.Seq, limit+1)
	}
	if err == nil && user == "" && len(rows) <= limit {
		var more []stored
		more, err = query(ctx, s.read, scanAction, `SELECT `+actionColumns+` FROM person p CROSS JOIN action a ON a.person = p.num
			WHERE p.name > ? ORDER BY p.name, a.time_ms, a.num LIMIT ?`, after.Name, limit+1-len(rows))
		rows = append(rows, more...)
	}
	if err != nil {
		return nil, "", wrap(ctx, fmt.Sprintf("list the actions of %q", user), err)
	}
	rows, next := store.NextPage(rows, limit, store.ListActions, user, func(a stored) store.Position {
		return store.Position{Name: a.User, TimeMS: a.TimeMS, Seq: a.num}
	})
	actions := make([]store.Action, len(rows))
	for i, a := range rows {
		actions[i] = a.Action
	}
	return actions, next, nil
}

// UsersPage lists users; see store.Actions.
func (s *Store) UsersPage(ctx context.Context, prefix, cursor string, limit int) ([]store.User, string, error) {
	if err := store.CheckPage("prefix", prefix, limit); err != nil {
		return nil, "", err
	}
	after, _, err := store.DecodeCursor(store.ListUsers, prefix, cursor)
	if err != nil {
		return nil, "", err
	}
	users, err := query(ctx, s.read, func(scan func(...any) error, u *store.User) error {
		return scan(&u.User, &u.Actions, &u.LastMS, &u.LastOffsetMin)
	}, `SELECT p.name, p.actions, a.time_ms, a.offset_min
		FROM person p JOIN action a ON a.num = (SELECT num FROM action WHERE person = p.num ORDER BY time_ms DESC, num DESC LIMIT 1)
		WHERE p.name > ? AND p.name >= ? AND p.name <= ? ORDER BY p.name LIMIT ?`,
		after.Name, prefix, store.PrefixEnd(prefix), limit+1)
	if err != nil {
		return nil, "", wrap(ctx, fmt.Sprintf("list the users that begin with %q", prefix), err)
	}
	users, next := store.NextPage(users, limit, store.ListUsers, prefix, func(u store.User) store.Position {
		return store.Position{Name: u.User}
	})
	return users, next, nil
}

// DeleteUser removes a user; see store.Actions. The log is emptied too: until then it
// holds what the tables no longer do.
func (s *Store) DeleteUser(ctx context.Context, user string) (int, error) {
	if err := store.CheckUser(user); err != nil {
		return 0, err
	}
	operation := fmt.Sprintf("delete the user %q", user)
	var n int64
	err := s.change(ctx, operation, func(tx *sql.Tx) error {
		gone, err := tx.ExecContext(ctx, "DELETE FROM action WHERE person = (SELECT num FROM person WHERE name = ?)", user)
		if err != nil {
			return err
		}
		if n, err = gone.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM person WHERE name = ?", user)
		return err
	})
	if err != nil {
		return 0, err
	}
	// A reader that lasts longer than the wait keeps the log; a later deletion or the
	// last Close empties it, so this is no failure of the deletion.
	var busy, frames, moved int
	err = s.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	return int(n), wrap(ctx, operation+": empty the log", err)
}
