package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/whereto/whereto/store"
)

// PutKey stores an API key; see store.Keys.
func (s *Store) PutKey(ctx context.Context, key store.Key) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	operation := fmt.Sprintf("store the key %q", key.ID)
	detail, err := json.Marshal(key)
	if err != nil {
		return wrap(ctx, operation, err)
	}
	return s.change(ctx, operation, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO api_key VALUES (?, ?)", key.ID, string(detail))
		return err
	})
}

// Keys returns all API keys; see store.Keys.
func (s *Store) Keys(ctx context.Context) ([]store.Key, error) {
	keys, err := query(ctx, s.read, func(scan func(...any) error, k *store.Key) error {
		var detail []byte
		if err := scan(&detail); err != nil {
			return err
		}
		return json.Unmarshal(detail, k)
	}, "SELECT detail FROM api_key ORDER BY id")
	return keys, wrap(ctx, "read the keys", err)
}

// DeleteKey removes an API key; see store.Keys.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return err
	}
	return s.change(ctx, fmt.Sprintf("delete the key %q", id), func(tx *sql.Tx) error {
		var gone string
		return tx.QueryRowContext(ctx, "DELETE FROM api_key WHERE id = ? RETURNING id", id).Scan(&gone)
	})
}
