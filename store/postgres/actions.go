package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/whereto/whereto/store"
)

// lockPeople makes the rows of all users of a batch and holds them until the commit:
// in one order, so that two batches cannot wait for each other, and so that a user's
// actions become visible in the order of their numbers.
const lockPeople = `INSERT INTO whereto_person (name) SELECT unnest($1::text[])
	ON CONFLICT (name) DO UPDATE SET name = excluded.name`

const putActions = `WITH put AS (
		INSERT INTO whereto_action (identity, person, id, poi, time_ms, offset_min, type, user_lat, user_lng)
		SELECT g.identity, p.num, g.id, g.poi, g.time_ms, g.offset_min, g.type, g.lat, g.lng
		FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::smallint[], $7::text[], $8::float8[], $9::float8[])
			WITH ORDINALITY AS g (identity, name, id, poi, time_ms, offset_min, type, lat, lng, place)
		JOIN whereto_person p ON p.name = g.name
		ORDER BY g.place
		ON CONFLICT (identity) DO NOTHING RETURNING identity, person),
	tally AS (
		UPDATE whereto_person p SET actions = p.actions + t.n
		FROM (SELECT person, count(*) AS n FROM put GROUP BY person) t WHERE p.num = t.person)
	SELECT identity FROM put`

// Append stores actions; see store.Actions. Both statements travel together and are one
// transaction.
func (s *Store) Append(ctx context.Context, actions []store.Action) (store.Appended, error) {
	if err := store.CheckActions(actions); err != nil || len(actions) == 0 {
		return store.Appended{}, err
	}
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = a.User
	}
	slices.Sort(names)
	batch := &pgx.Batch{}
	batch.Queue(lockPeople, slices.Compact(names))
	batch.Queue(putActions, columns(actions)...)
	fresh, err := s.sendAppend(ctx, batch)
	if err != nil {
		return store.Appended{}, wrap(ctx, fmt.Sprintf("store %d actions", len(actions)), err)
	}
	done := store.Appended{New: make([]bool, len(actions))}
	for i, a := range actions {
		identity := a.Identity()
		done.New[i] = fresh[identity]
		delete(fresh, identity) // the same action later in the batch is not new
	}
	return done, nil
}

// sendAppend returns the actions that were new. The results count only once the batch
// is closed without an error: that is the commit.
func (s *Store) sendAppend(ctx context.Context, batch *pgx.Batch) (fresh map[store.Identity]bool, err error) {
	results := s.pool.SendBatch(ctx, batch)
	if _, err := results.Exec(); err != nil {
		_ = results.Close() // repeats the error
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	put, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	fresh = make(map[store.Identity]bool, len(put))
	for _, identity := range put {
		fresh[store.Identity(identity)] = true
	}
	return fresh, results.Close()
}

// columns turns rows into one array each of identity, user, id, POI, time, offset, type
// and position.
func columns(actions []store.Action) []any {
	n := len(actions)
	identities := make([][]byte, n)
	users, ids, pois, types := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	times, offsets := make([]int64, n), make([]int16, n)
	lats, lngs := make([]*float64, n), make([]*float64, n)
	for i, a := range actions {
		identity := a.Identity()
		identities[i] = identity[:]
		users[i], ids[i], pois[i], types[i] = a.User, a.ID, a.POI, a.Type
		times[i], offsets[i] = a.TimeMS, a.OffsetMin
		if a.HasUser {
			lats[i], lngs[i] = &actions[i].UserLat, &actions[i].UserLng
		}
	}
	return []any{identities, users, ids, pois, times, offsets, types, lats, lngs}
}

// stored is an action with its order of arrival.
type stored struct {
	store.Action
	num int64
}

const actionColumns = "p.name, a.id, a.poi, a.time_ms, a.offset_min, a.type, a.user_lat, a.user_lng, a.num"

func scanAction(row pgx.CollectableRow) (a stored, err error) {
	var lat, lng *float64
	err = row.Scan(&a.User, &a.ID, &a.POI, &a.TimeMS, &a.OffsetMin, &a.Type, &lat, &lng, &a.num)
	if lat != nil && lng != nil {
		a.HasUser, a.UserLat, a.UserLng = true, *lat, *lng
	}
	return a, err
}

// Recent returns a user's latest actions; see store.Actions.
func (s *Store) Recent(ctx context.Context, user string, beforeMS int64, n int) ([]store.Action, error) {
	if err := store.CheckRecent(user, n); err != nil {
		return nil, err
	}
	rows, err := query(ctx, s, scanAction, `SELECT `+actionColumns+` FROM whereto_person p JOIN whereto_action a ON a.person = p.num
		WHERE p.name = $1 AND a.time_ms < $2 ORDER BY a.time_ms DESC, a.num DESC LIMIT $3`, user, beforeMS, n)
	if err != nil {
		return nil, wrap(ctx, fmt.Sprintf("read the recent actions of %q", user), err)
	}
	actions := make([]store.Action, len(rows))
	for i, a := range rows {
		actions[len(rows)-1-i] = a.Action
	}
	return actions, nil
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
		rows, err = query(ctx, s, scanAction, `SELECT `+actionColumns+` FROM whereto_person p JOIN whereto_action a ON a.person = p.num
			WHERE p.name = $1 AND (a.time_ms, a.num) > ($2, $3) ORDER BY a.time_ms, a.num LIMIT $4`,
			after.Name, after.TimeMS, after.Seq, limit+1)
	}
	if err == nil && user == "" && len(rows) <= limit {
		var more []stored
		more, err = query(ctx, s, scanAction, `SELECT `+actionColumns+` FROM whereto_person p JOIN whereto_action a ON a.person = p.num
			WHERE p.name > $1 ORDER BY p.name, a.time_ms, a.num LIMIT $2`, after.Name, limit+1-len(rows))
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
	users, err := query(ctx, s, pgx.RowToStructByPos[store.User], `SELECT p.name, p.actions, a.time_ms, a.offset_min
		FROM whereto_person p CROSS JOIN LATERAL (SELECT time_ms, offset_min FROM whereto_action
			WHERE person = p.num ORDER BY time_ms DESC, num DESC LIMIT 1) a
		WHERE p.name > $1 AND p.name >= $2 AND p.name <= $3 ORDER BY p.name LIMIT $4`,
		after.Name, prefix, store.PrefixEnd(prefix), limit+1)
	if err != nil {
		return nil, "", wrap(ctx, fmt.Sprintf("list the users that begin with %q", prefix), err)
	}
	users, next := store.NextPage(users, limit, store.ListUsers, prefix, func(u store.User) store.Position {
		return store.Position{Name: u.User}
	})
	return users, next, nil
}

// DeleteUser removes a user; see store.Actions. The user's row is locked before his
// actions are looked at, so that none can arrive in between.
func (s *Store) DeleteUser(ctx context.Context, user string) (int, error) {
	if err := store.CheckUser(user); err != nil {
		return 0, err
	}
	n := 0
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var num int64
		err := tx.QueryRow(ctx, "SELECT num FROM whereto_person WHERE name = $1 FOR UPDATE", user).Scan(&num)
		if err == pgx.ErrNoRows {
			return nil
		}
		if err != nil {
			return err
		}
		gone, err := tx.Exec(ctx, "DELETE FROM whereto_action WHERE person = $1", num)
		if err != nil {
			return err
		}
		n = int(gone.RowsAffected())
		_, err = tx.Exec(ctx, "DELETE FROM whereto_person WHERE num = $1", num)
		return err
	})
	if err != nil {
		return 0, wrap(ctx, fmt.Sprintf("delete the user %q", user), err)
	}
	return n, nil
}
