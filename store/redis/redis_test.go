package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/store/redis"
	"github.com/whereto/whereto/store/storetest"
)

func TestMain(m *testing.M) {
	if err := storetest.FewerCases(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func open(t testing.TB, dsn string) *redis.Store {
	t.Helper()
	s, err := redis.Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain returns a client of the server and the prefix of a store's address.
func plain(t testing.TB, dsn string) (*goredis.Client, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: u.Host})
	t.Cleanup(func() { client.Close() })
	return client, u.Query().Get("prefix")
}

// dumps remembers the address of each store of the suite.
var dumps sync.Map

var home = storetest.Home{
	Open: func(t testing.TB) store.Store {
		dsn := testkit.Redis(t)
		s := open(t, dsn)
		dumps.Store(s, dsn)
		return s
	},
	Dump: func(t testing.TB, s store.Store) []byte {
		dsn, _ := dumps.Load(s)
		return dump(t, dsn.(string))
	},
}

// dump returns names and content of all keys of the prefix.
func dump(t testing.TB, dsn string) []byte {
	t.Helper()
	ctx := context.Background()
	client, prefix := plain(t, dsn)
	var all []string
	keys := client.Scan(ctx, 0, prefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		kind, err := client.Type(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		var content any
		switch kind {
		case "string":
			content, err = client.Get(ctx, key).Result()
		case "hash":
			content, err = client.HGetAll(ctx, key).Result()
		case "set":
			content, err = client.SMembers(ctx, key).Result()
		case "zset":
			content, err = client.ZRangeWithScores(ctx, key, 0, -1).Result()
		default:
			err = fmt.Errorf("the test does not know the kind %s", kind)
		}
		if err != nil {
			t.Fatalf("key %q: %v", key, err)
		}
		all = append(all, key, fmt.Sprint(content))
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return []byte(strings.Join(all, "\n"))
}

func TestHome(t *testing.T)  { storetest.Run(t, home) }
func TestModel(t *testing.T) { rapid.Check(t, storetest.Machine(t, home)) }
func TestBoxes(t *testing.T) { rapid.Check(t, storetest.Boxes(t, home)) }

func TestServerDies(t *testing.T) {
	server := testkit.OwnServer(t, "redis")
	s := open(t, server.RedisPrefix())
	defer s.Close()
	storetest.ServerDies(t, s, func() { server.Kill(t) }, func() { server.Restart(t) })
}

func TestDurable(t *testing.T) {
	ctx := context.Background()
	server := testkit.OwnServer(t, "redis")
	dsn := server.RedisPrefix()
	client, _ := plain(t, dsn)
	good := map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
	for setting, value := range map[string]string{"appendonly": "no", "appendfsync": "everysec", "maxmemory-policy": "allkeys-lru"} {
		if err := client.ConfigSet(ctx, setting, value).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := redis.Open(ctx, dsn)
		if says := "set " + setting + " " + good[setting]; !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), says) {
			t.Errorf("with %s %s: error %v, want store.ErrForeign that says %q", setting, value, err, says)
		}
		s, err := redis.Open(ctx, dsn+"&durable=no")
		if err != nil {
			t.Fatalf("with %s %s, accepted: %v", setting, value, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := client.ConfigSet(ctx, setting, good[setting]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(t, dsn).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFull(t *testing.T) {
	ctx := context.Background()
	server := testkit.OwnServer(t, "redis")
	dsn := server.RedisPrefix()
	s := open(t, dsn)
	defer s.Close()
	client, _ := plain(t, dsn)
	if err := client.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	actions := []store.Action{{User: "u", POI: "p", TimeMS: 1}, {User: "u", POI: "p", TimeMS: 2}}
	if _, err := s.Append(ctx, actions); !errors.Is(err, store.ErrFull) {
		t.Errorf("append without memory: error %v, want store.ErrFull", err)
	}
	if _, err := s.UpsertPOIs(ctx, []store.POI{{ID: "p"}}); !errors.Is(err, store.ErrFull) {
		t.Errorf("POIs without memory: error %v, want store.ErrFull", err)
	}
	if c, err := s.Counts(ctx); err != nil || c != (store.Counts{}) {
		t.Errorf("counts %+v, %v; want nothing", c, err)
	}
	if err := client.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if done, err := s.Append(ctx, actions); err != nil || done.Count() != 2 {
		t.Errorf("append when there is room again: %+v, %v; want two new", done, err)
	}
}

func TestForeign(t *testing.T) {
	ctx := context.Background()
	newer, other := testkit.Redis(t), testkit.Redis(t)
	client, prefix := plain(t, newer)
	_, otherPrefix := plain(t, other)
	if err := errors.Join(client.Set(ctx, prefix+"schema", 99, 0).Err(), client.Set(ctx, otherPrefix+"schema", "mine", 0).Err()); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, dsn string
		want      error
		says      string
	}{
		{"written by a newer version", newer, store.ErrForeign, "version 99"},
		{"keys of others", other, store.ErrForeign, "another prefix"},
		{"a bad setting", "redis://:hunter2@h/0?colour=red", store.ErrForeign, "setting"},
		{"durable perhaps", "redis://:hunter2@h/0?durable=perhaps", store.ErrForeign, "durable"},
		{"no URL", "redis://:hunter2@h:x/%zz", store.ErrForeign, "not a URL"},
		{"nobody listens", "redis://:hunter2@127.0.0.1:1/0", store.ErrUnavailable, "127.0.0.1:1"},
	}
	for _, tc := range tests {
		_, err := redis.Open(ctx, tc.dsn)
		if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.says) {
			t.Errorf("%s: error %v; want %v that says %q", tc.name, err, tc.want, tc.says)
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", tc.name, err)
		}
	}
}

// The package says how much memory it needs; this is what it says.
func TestMemory(t *testing.T) {
	const actionBytes, poiBytes = 400, 650
	ctx := context.Background()
	server := testkit.OwnServer(t, "redis")
	dsn := server.RedisPrefix()
	s := open(t, dsn)
	defer s.Close()
	client, _ := plain(t, dsn)
	used := func() int {
		info, err := client.Info(ctx, "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`used_memory_dataset:(\d+)`).FindStringSubmatch(info)
		if found == nil {
			t.Fatalf("no used_memory_dataset in %s", info)
		}
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const users, each, pois = 200, 100, 10_000
	before := used()
	for user := range users {
		actions := make([]store.Action, each)
		for i := range actions {
			n := user*each + i
			actions[i] = store.Action{User: fmt.Sprintf("user-%06d", user), ID: fmt.Sprintf("018f3c2e-7b1a-7c3d-9e4f-%012d", n),
				POI: fmt.Sprintf("4b5%021d", n%5000), TimeMS: 1_700_000_000_000 + int64(n)*1000, OffsetMin: -300, Type: "navigate",
				HasUser: true, UserLat: 40.7 + float64(n)*1e-6, UserLng: -74 + float64(n)*1e-6}
		}
		if _, err := s.Append(ctx, actions); err != nil {
			t.Fatal(err)
		}
	}
	between := used()
	places := make([]store.POI, pois)
	for i := range places {
		places[i] = store.POI{ID: fmt.Sprintf("4b5%021d", i), Name: fmt.Sprintf("A coffee shop no. %d", i), Category: "Food > Café > Coffee Shop",
			Lat: 40.7 + float64(i)*1e-5, Lng: -74 + float64(i)*1e-5}
	}
	if _, err := s.UpsertPOIs(ctx, places); err != nil {
		t.Fatal(err)
	}
	perAction, perPOI := (between-before)/(users*each), (used()-between)/pois
	t.Logf("%d bytes an action, %d bytes a POI", perAction, perPOI)
	if perAction > actionBytes || perPOI > poiBytes || perAction < actionBytes/3 || perPOI < poiBytes/3 {
		t.Errorf("%d bytes an action and %d a POI; the package says %d and %d", perAction, perPOI, actionBytes, poiBytes)
	}
}
