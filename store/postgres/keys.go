package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/whereto/whereto/store"
)

// PutKey stores an API key; see store.Keys.
func (s *Store) PutKey(ctx context.Context, key store.Key) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	detail, err := json.Marshal(key)
	if err == nil {
		_, err = s.pool.Exec(ctx, `INSERT INTO whereto_api_key VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET detail = excluded.detail`, key.ID, string(detail))
	}
	return wrap(ctx, fmt.Sprintf("store the key %q", key.ID), err)
}

// Keys returns all API keys; see store.Keys.
func (s *Store) Keys(ctx context.Context) ([]store.Key, error) {
	keys, err := query(ctx, s, func(row pgx.CollectableRow) (k store.Key, err error) {
		var detail string
		if err := row.Scan(&detail); err != nil {
			return k, err
		}
		err = json.Unmarshal([]byte(detail), &k)
		return k, err
	}, "SELECT detail FROM whereto_api_key ORDER BY id")
	return keys, wrap(ctx, "read the keys", err)
}

// DeleteKey removes an API key; see store.Keys.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return err
	}
	var gone string
	err := s.pool.QueryRow(ctx, "DELETE FROM whereto_api_key WHERE id = $1 RETURNING id", id).Scan(&gone)
	return wrap(ctx, fmt.Sprintf("delete the key %q", id), err)
}
