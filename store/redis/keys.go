package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/whereto/whereto/store"
)

// PutKey stores an API key; see store.Keys.
func (s *Store) PutKey(ctx context.Context, key store.Key) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	detail, err := json.Marshal(key)
	if err == nil {
		err = s.db.HSet(ctx, s.key("keys"), key.ID, detail).Err()
	}
	return wrap(ctx, fmt.Sprintf("store the key %q", key.ID), err)
}

// Keys returns all API keys; see store.Keys.
func (s *Store) Keys(ctx context.Context) ([]store.Key, error) {
	found, err := s.db.HGetAll(ctx, s.key("keys")).Result()
	if err != nil {
		return nil, wrap(ctx, "read the keys", err)
	}
	var keys []store.Key
	for id, detail := range found {
		var k store.Key
		if err := json.Unmarshal([]byte(detail), &k); err != nil {
			return nil, wrap(ctx, fmt.Sprintf("read the key %q", id), err)
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b store.Key) int { return strings.Compare(a.ID, b.ID) })
	return keys, nil
}

// DeleteKey removes an API key; see store.Keys.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return err
	}
	n, err := s.db.HDel(ctx, s.key("keys"), id).Result()
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return wrap(ctx, fmt.Sprintf("delete the key %q", id), err)
}
