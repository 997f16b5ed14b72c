package guard

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Source is a home of records that can change while the service runs.
type Source interface {
	Records(ctx context.Context) ([]Record, error)
}

// RingOptions say where keys come from; each may be left out.
type RingOptions struct {
	File    string // path of a file of records
	Setting string // value of an environment variable: id:hash:role, several by commas
	Source  Source
}

// Ring holds the keys in force.
type Ring struct {
	from RingOptions
	// reading keeps an older reading from replacing a newer one.
	reading sync.Mutex
	keys    atomic.Pointer[map[string]entry]
	now     func() time.Time
}

// NewRing reads all keys. Without any, nobody gets in.
func NewRing(ctx context.Context, from RingOptions) (*Ring, error) {
	r := &Ring{from: from, now: time.Now}
	return r, r.Reload(ctx)
}

// Reload reads all keys again and puts them in force at once, together. On an error,
// such as one bad record or an ID that stands twice, the old ones stay.
func (r *Ring) Reload(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	keys := map[string]entry{}
	origin := map[string]string{}
	add := func(from string, records []Record) error {
		if len(keys)+len(records) > maxRecords {
			return fmt.Errorf("%s: %w: more than %d keys", from, ErrRecord, maxRecords)
		}
		for i, rec := range records {
			key, err := rec.entry()
			if err != nil {
				return fmt.Errorf("%s, record %d: %w", from, i+1, err)
			}
			if other, twice := origin[key.ID]; twice {
				return fmt.Errorf("%s, record %d: %w: key %s stands in %s too; give one of them another id", from, i+1, ErrRecord, key.ID, other)
			}
			keys[key.ID], origin[key.ID] = key, from
		}
		return nil
	}
	if r.from.File != "" {
		records, err := readFile(r.from.File)
		if err != nil {
			return err
		}
		if err := add("API keys of "+r.from.File, records); err != nil {
			return err
		}
	}
	records, err := parseSetting(r.from.Setting)
	if err != nil {
		return fmt.Errorf("API keys of the environment, %w", err)
	}
	if err := add("API keys of the environment", records); err != nil {
		return err
	}
	if r.from.Source != nil {
		if records, err = r.from.Source.Records(ctx); err != nil {
			return fmt.Errorf("read the stored API keys: %w", err)
		}
		if err := add("stored API keys", records); err != nil {
			return err
		}
	}
	r.keys.Store(&keys)
	return nil
}

// Len returns the number of keys in force, expired ones included.
func (r *Ring) Len() int {
	if keys := r.keys.Load(); keys != nil {
		return len(*keys)
	}
	return 0
}

// String tells how many keys there are, no more.
func (r *Ring) String() string { return fmt.Sprintf("ring of %d keys", r.Len()) }

// GoString is String.
func (r *Ring) GoString() string { return r.String() }

// stranger is compared with where no key has the ID. No token hashes to it, except by
// an accident of one in 2^256, and the ID is checked besides.
var stranger entry

// Check returns the key of a request's headers, "Authorization: Bearer TOKEN" or
// "X-API-Key: TOKEN", or ErrNoKey, ErrBadKey or ErrExpired.
func (r *Ring) Check(h http.Header) (Key, error) {
	token, err := tokenOf(h)
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256([]byte(token))
	key := stranger
	if keys := r.keys.Load(); keys != nil {
		if found, known := (*keys)[idOf(token)]; known {
			key = found
		}
	}
	if subtle.ConstantTimeCompare(sum[:], key.hash[:]) != 1 || key.ID == "" {
		return Key{}, ErrBadKey
	}
	if !key.Expires.IsZero() && !r.now().Before(key.Expires) {
		return Key{}, fmt.Errorf("%w at %s; ask for a new one", ErrExpired, key.Expires.Format(time.RFC3339))
	}
	return key.Key, nil
}

// tokenOf finds the one token of a request.
func tokenOf(h http.Header) (string, error) {
	var tokens []string
	for _, value := range h.Values("Authorization") {
		scheme, token, _ := strings.Cut(strings.TrimSpace(value), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", fmt.Errorf("%w: Authorization has another scheme; use Bearer", ErrBadKey)
		}
		tokens = append(tokens, strings.TrimSpace(token))
	}
	for _, value := range h.Values("X-API-Key") {
		tokens = append(tokens, strings.TrimSpace(value))
	}
	if len(tokens) == 0 {
		return "", fmt.Errorf("%w: send it as Authorization: Bearer KEY or X-API-Key: KEY", ErrNoKey)
	}
	for _, token := range tokens {
		if token != tokens[0] {
			return "", fmt.Errorf("%w: the headers hold different keys; send one", ErrBadKey)
		}
	}
	if len(tokens[0]) > maxToken {
		return "", fmt.Errorf("%w: more than %d characters", ErrBadKey, maxToken)
	}
	return tokens[0], nil
}

// idOf returns the ID of a token, "" for a text that is none.
func idOf(token string) string {
	rest, ours := strings.CutPrefix(token, tokenPrefix)
	id, secret, both := strings.Cut(rest, "_")
	if !ours || !both || len(secret) != base32Text.EncodedLen(secretBytes) {
		return ""
	}
	return id
}
