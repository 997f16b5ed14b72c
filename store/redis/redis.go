// Package redis is the home of a store in Redis 6.2 or newer. It keeps every promise of
// the contract; it is meant for hot state that several replicas share, because Redis
// holds all of it in memory: some 400 bytes for an action and 650 for a POI, so 1 GB for
// two and a half million actions (measured by the package's test, which fails above).
//
// A server that can lose what it acknowledged is refused: it must run with appendonly
// yes, appendfsync always, and without evicting keys. Redis Cluster is not supported:
// scripts touch several keys.
//
// Keys of Redis, all below one prefix ("whereto:" unless the address says otherwise):
//
//	schema         version of this layout
//	seq            last number given to an action: the order of arrival
//	actions        number of actions
//	users          sorted set of user names
//	a:USER         sorted set by time of number + JSON, one for each action
//	i:USER         set of the identities of his actions
//	poi            hash, ID -> revision, newline, 1 if closed else 0, JSON
//	poi-ids        sorted set of IDs
//	poi-revisions  sorted set of IDs by revision
//	poi-cells      sorted set of IDs by S2 cell
//	revision       last revision given out
//	keys           hash, ID -> JSON
//
// What is deleted is gone from memory at once, and from the append-only file when Redis
// next rewrites it (BGREWRITEAOF does so at will).
package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/whereto/whereto/store"
)

// Store is a store below a prefix of a Redis database.
type Store struct {
	db     *redis.Client
	prefix string
	name   string
}

var _ store.Store = (*Store)(nil)

const (
	defaultPrefix = "whereto:"
	schemaVersion = 1
)

// Open connects to the server that the URL names. Besides what go-redis understands the
// URL may say
//
//	prefix=TEXT  what all keys begin with
//	durable=no   accept a server that can lose acknowledged writes
func Open(ctx context.Context, dsn string) (*Store, error) {
	options, prefix, durable, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	logging.Disable() // what go-redis prints of failed connections comes back as errors
	s := &Store{db: redis.NewClient(options), prefix: prefix,
		name: fmt.Sprintf("redis://%s/%d?prefix=%s", options.Addr, options.DB, url.QueryEscape(prefix))}
	if err := s.prepare(ctx, durable); err != nil {
		return nil, errors.Join(wrap(ctx, "open the store "+s.name, err), s.db.Close())
	}
	return s, nil
}

// parse never repeats the address in an error: it may hold a password.
func parse(dsn string) (options *redis.Options, prefix string, durable bool, err error) {
	refuse := func(why string) (*redis.Options, string, bool, error) {
		return nil, "", false, fmt.Errorf("open the Redis store: %w: %s; write redis://HOST:PORT/NUMBER", store.ErrForeign, why)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return refuse("the address is not a URL")
	}
	q := u.Query()
	if prefix = q.Get("prefix"); prefix == "" {
		prefix = defaultPrefix
	}
	choice := q.Get("durable")
	if choice != "" && choice != "no" && choice != "yes" {
		return refuse("durable is neither yes nor no")
	}
	q.Del("prefix")
	q.Del("durable")
	u.RawQuery = q.Encode()
	if options, err = redis.ParseURL(u.String()); err != nil {
		return refuse("the address has an unknown setting or a bad value")
	}
	// A repeated write would say of a new action that it was there before.
	options.MaxRetries = -1
	options.DialerRetries = 1 // a caller that waits wants to hear now
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	options.ContextTimeoutEnabled = true
	return options, prefix, choice != "no", nil
}

func (s *Store) key(name string) string { return s.prefix + name }

// prepare checks the server and the layout below the prefix.
func (s *Store) prepare(ctx context.Context, durable bool) error {
	if durable {
		if err := s.checkDurable(ctx); err != nil {
			return err
		}
	}
	if err := s.db.SetNX(ctx, s.key("schema"), schemaVersion, 0).Err(); err != nil {
		return err
	}
	said, err := s.db.Get(ctx, s.key("schema")).Result()
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(said)
	if err != nil || version < 1 {
		return fmt.Errorf("%w: the key %s is not of whereto; choose another prefix", store.ErrForeign, s.key("schema"))
	}
	if version > schemaVersion {
		return fmt.Errorf("%w: the keys have version %d, this program knows %d; use the newer whereto that wrote them",
			store.ErrForeign, version, schemaVersion)
	}
	return nil
}

// checkDurable refuses a server that can lose acknowledged writes.
func (s *Store) checkDurable(ctx context.Context) error {
	const accept = "or add durable=no to the address to accept that writes can be lost"
	for _, want := range []struct{ setting, value string }{
		{"appendonly", "yes"}, {"appendfsync", "always"}, {"maxmemory-policy", "noeviction"},
	} {
		got, err := s.db.ConfigGet(ctx, want.setting).Result()
		var said redis.Error
		if errors.As(err, &said) {
			return fmt.Errorf("%w: the server does not tell its setting %s (%w); allow this user CONFIG GET, %s",
				store.ErrForeign, want.setting, err, accept)
		}
		if err != nil {
			return err
		}
		if got[want.setting] != want.value {
			return fmt.Errorf("%w: the server runs with %s %s; set %s %s, %s",
				store.ErrForeign, want.setting, got[want.setting], want.setting, want.value, accept)
		}
	}
	return nil
}

var countScript = redis.NewScript(`
local p = ARGV[1]
return {tonumber(redis.call('GET', p .. 'actions') or 0), redis.call('ZCARD', p .. 'users'), redis.call('HLEN', p .. 'poi')}`)

// Name returns the address without user and password.
func (s *Store) Name() string { return s.name }

// Ping asks the server for an answer.
func (s *Store) Ping(ctx context.Context) error {
	return wrap(ctx, "ping "+s.name, s.db.Ping(ctx).Err())
}

// Close closes all connections.
func (s *Store) Close() error { return s.db.Close() }

// Counts returns how much is stored.
func (s *Store) Counts(ctx context.Context) (store.Counts, error) {
	found, err := countScript.Run(ctx, s.db, nil, s.prefix).Int64Slice()
	if err == nil && len(found) != 3 {
		err = fmt.Errorf("%d counts, want 3", len(found))
	}
	if err != nil {
		return store.Counts{}, wrap(ctx, "count what is stored", err)
	}
	return store.Counts{Actions: found[0], Users: found[1], POIs: found[2]}, nil
}

// wrap turns what Redis says into the words of the contract.
func wrap(ctx context.Context, operation string, err error) error {
	if err == nil {
		return nil
	}
	kind := store.ErrUnavailable
	switch {
	case errors.Is(err, redis.Nil):
		kind = store.ErrNotFound
	case strings.Contains(err.Error(), "OOM command not allowed"), strings.Contains(err.Error(), "No space left on device"):
		kind = store.ErrFull
	}
	return store.Wrap(ctx, operation, kind, err)
}
