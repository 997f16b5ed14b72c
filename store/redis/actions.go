package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/whereto/whereto/store"
)

// numberWidth is the number of digits before the JSON of an action. Members of one
// moment are sorted by their bytes, so by arrival.
const numberWidth = 16

// appendScript takes user, identity, time and JSON of each action and returns the
// positions, from 0, of those that were new.
var appendScript = redis.NewScript(`
local p, new = ARGV[1], {}
for i = 2, #ARGV, 4 do
	local user = ARGV[i]
	if redis.call('SADD', p .. 'i:' .. user, ARGV[i + 1]) == 1 then
		local number = string.format('%016.0f', redis.call('INCR', p .. 'seq'))
		redis.call('ZADD', p .. 'a:' .. user, ARGV[i + 2], number .. ARGV[i + 3])
		redis.call('ZADD', p .. 'users', 0, user)
		new[#new + 1] = (i - 2) / 4
	end
end
if #new > 0 then redis.call('INCRBY', p .. 'actions', #new) end
return new`)

// deleteScript returns the number of actions the user had.
var deleteScript = redis.NewScript(`
local p, user = ARGV[1], ARGV[2]
local n = redis.call('ZCARD', p .. 'a:' .. user)
redis.call('DEL', p .. 'a:' .. user, p .. 'i:' .. user)
redis.call('ZREM', p .. 'users', user)
if n > 0 then redis.call('DECRBY', p .. 'actions', n) end
return n`)

// usersScript returns name, number of actions, time and JSON of the latest action of
// each user from ARGV[2] to ARGV[3].
var usersScript = redis.NewScript(`
local p, out = ARGV[1], {}
for _, user in ipairs(redis.call('ZRANGE', p .. 'users', ARGV[2], ARGV[3], 'BYLEX', 'LIMIT', 0, ARGV[4])) do
	local last = redis.call('ZRANGE', p .. 'a:' .. user, -1, -1, 'WITHSCORES')
	out[#out + 1] = {user, redis.call('ZCARD', p .. 'a:' .. user), last[2], last[1]}
end
return out`)

// record is the JSON of an action; its user is in the key and its time is the score.
type record struct {
	ID     string   `json:"i,omitempty"`
	POI    string   `json:"p"`
	Offset int16    `json:"o,omitempty"`
	Type   string   `json:"t,omitempty"`
	Lat    *float64 `json:"y,omitempty"`
	Lng    *float64 `json:"x,omitempty"`
}

func encode(a store.Action) ([]byte, error) {
	r := record{ID: a.ID, POI: a.POI, Offset: a.OffsetMin, Type: a.Type}
	if a.HasUser {
		r.Lat, r.Lng = &a.UserLat, &a.UserLng
	}
	return json.Marshal(r)
}

// stored is an action with its order of arrival.
type stored struct {
	store.Action
	num int64
}

func decode(user string, timeMS float64, member string) (stored, error) {
	damaged := func(err error) (stored, error) {
		return stored{}, fmt.Errorf("an action of %q is damaged: %w", user, err)
	}
	if len(member) < numberWidth {
		return damaged(fmt.Errorf("%d bytes are too few", len(member)))
	}
	num, err := strconv.ParseInt(member[:numberWidth], 10, 64)
	if err != nil {
		return damaged(err)
	}
	var r record
	if err := json.Unmarshal([]byte(member[numberWidth:]), &r); err != nil {
		return damaged(err)
	}
	a := store.Action{User: user, ID: r.ID, POI: r.POI, TimeMS: int64(timeMS), OffsetMin: r.Offset, Type: r.Type}
	if r.Lat != nil && r.Lng != nil {
		a.HasUser, a.UserLat, a.UserLng = true, *r.Lat, *r.Lng
	}
	return stored{Action: a, num: num}, nil
}

func decodeAll(user string, members []redis.Z) ([]stored, error) {
	all := make([]stored, len(members))
	for i, z := range members {
		member, ok := z.Member.(string)
		if !ok {
			return nil, fmt.Errorf("an action of %q is a %T", user, z.Member)
		}
		var err error
		if all[i], err = decode(user, z.Score, member); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Append stores actions; see store.Actions.
func (s *Store) Append(ctx context.Context, actions []store.Action) (store.Appended, error) {
	if err := store.CheckActions(actions); err != nil || len(actions) == 0 {
		return store.Appended{}, err
	}
	operation := fmt.Sprintf("store %d actions", len(actions))
	args := make([]any, 1, 1+4*len(actions))
	args[0] = s.prefix
	for _, a := range actions {
		body, err := encode(a)
		if err != nil {
			return store.Appended{}, wrap(ctx, operation, err)
		}
		identity := a.Identity()
		args = append(args, a.User, identity[:], a.TimeMS, body)
	}
	fresh, err := appendScript.Run(ctx, s.db, nil, args...).Int64Slice()
	if err != nil {
		return store.Appended{}, wrap(ctx, operation, err)
	}
	done := store.Appended{New: make([]bool, len(actions))}
	for _, i := range fresh {
		done.New[i] = true
	}
	return done, nil
}

// Recent returns a user's latest actions; see store.Actions.
func (s *Store) Recent(ctx context.Context, user string, beforeMS int64, n int) ([]store.Action, error) {
	if err := store.CheckRecent(user, n); err != nil {
		return nil, err
	}
	members, err := s.db.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: s.key("a:" + user),
		Start: "(" + strconv.FormatInt(beforeMS, 10), Stop: "-inf", ByScore: true, Rev: true, Count: int64(n)}).Result()
	var rows []stored
	if err == nil {
		rows, err = decodeAll(user, members)
	}
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
		after = store.Position{Name: user, TimeMS: -1 << 52}
	}
	var rows []stored
	if after.Name != "" {
		rows, err = s.restOf(ctx, after, limit+1)
	}
	if err == nil && user == "" && len(rows) <= limit {
		var more []stored
		more, err = s.usersAfter(ctx, after.Name, limit+1-len(rows))
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

// restOf returns at most n actions of a user above a position. Redis finds the moment;
// of the actions at that moment those up to the position are passed over. Each step
// begins at the last action found, so that actions stored meanwhile move nothing.
func (s *Store) restOf(ctx context.Context, after store.Position, n int) ([]stored, error) {
	var rest []stored
	skip := int64(0)
	for {
		members, err := s.db.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: s.key("a:" + after.Name),
			Start: strconv.FormatInt(after.TimeMS, 10), Stop: "+inf", ByScore: true, Offset: skip, Count: int64(n)}).Result()
		if err != nil {
			return nil, err
		}
		rows, err := decodeAll(after.Name, members)
		if err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(a stored) bool { return a.TimeMS == after.TimeMS && a.num <= after.Seq })
		rest = append(rest, rows...)
		switch {
		case len(rest) >= n:
			return rest[:n], nil
		case len(members) < n:
			return rest, nil
		case len(rows) == 0:
			skip += int64(n)
		default:
			last := rows[len(rows)-1]
			after.TimeMS, after.Seq, skip = last.TimeMS, last.num, 0
		}
	}
}

// usersAfter returns the first n actions of the users above a name. The users' numbers
// of actions are asked for first, so that no more is fetched than needed.
func (s *Store) usersAfter(ctx context.Context, name string, n int) ([]stored, error) {
	var all []stored
	for len(all) < n {
		users, err := s.db.ZRangeArgs(ctx, redis.ZRangeArgs{Key: s.key("users"), Start: above(name), Stop: "+",
			ByLex: true, Count: int64(n - len(all))}).Result()
		if err != nil || len(users) == 0 {
			return all, err
		}
		sizes, err := s.pipeline(ctx, users, func(pipe redis.Pipeliner, user string) { pipe.ZCard(ctx, s.key("a:"+user)) })
		if err != nil {
			return nil, err
		}
		enough, sum := 0, int64(len(all))
		for enough < len(users) && sum < int64(n) {
			sum += sizes[enough].(*redis.IntCmd).Val()
			enough++
		}
		users = users[:enough]
		ranges, err := s.pipeline(ctx, users, func(pipe redis.Pipeliner, user string) {
			pipe.ZRangeWithScores(ctx, s.key("a:"+user), 0, int64(n-1))
		})
		if err != nil {
			return nil, err
		}
		for i, user := range users {
			rows, err := decodeAll(user, ranges[i].(*redis.ZSliceCmd).Val())
			if err != nil {
				return nil, err
			}
			all = append(all, rows...)
		}
		name = users[len(users)-1]
	}
	return all[:n], nil
}

// pipeline sends one command for each user at once.
func (s *Store) pipeline(ctx context.Context, users []string, ask func(redis.Pipeliner, string)) ([]redis.Cmder, error) {
	return s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, user := range users {
			ask(pipe, user)
		}
		return nil
	})
}

// above is the lower end of names that follow one.
func above(name string) string {
	if name == "" {
		return "-"
	}
	return "(" + name
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
	operation := fmt.Sprintf("list the users that begin with %q", prefix)
	from := "[" + prefix
	if after.Name >= prefix && after.Name != "" {
		from = "(" + after.Name
	}
	found, err := usersScript.Run(ctx, s.db, nil, s.prefix, from, "["+store.PrefixEnd(prefix), limit+1).Slice()
	if err != nil {
		return nil, "", wrap(ctx, operation, err)
	}
	users := make([]store.User, len(found))
	for i, row := range found {
		if users[i], err = decodeUser(row); err != nil {
			return nil, "", wrap(ctx, operation, err)
		}
	}
	users, next := store.NextPage(users, limit, store.ListUsers, prefix, func(u store.User) store.Position {
		return store.Position{Name: u.User}
	})
	return users, next, nil
}

func decodeUser(row any) (store.User, error) {
	cells, ok := row.([]any)
	if !ok || len(cells) != 4 {
		return store.User{}, fmt.Errorf("a user is %v", row)
	}
	name, _ := cells[0].(string)
	n, _ := cells[1].(int64)
	at, _ := cells[2].(string)
	member, _ := cells[3].(string)
	score, err := strconv.ParseFloat(at, 64)
	if err != nil {
		return store.User{}, fmt.Errorf("the user %q: %w", name, err)
	}
	last, err := decode(name, score, member)
	return store.User{User: name, Actions: int(n), LastMS: last.TimeMS, LastOffsetMin: last.OffsetMin}, err
}

// DeleteUser removes a user; see store.Actions.
func (s *Store) DeleteUser(ctx context.Context, user string) (int, error) {
	if err := store.CheckUser(user); err != nil {
		return 0, err
	}
	n, err := deleteScript.Run(ctx, s.db, nil, s.prefix, user).Int()
	return n, wrap(ctx, fmt.Sprintf("delete the user %q", user), err)
}
