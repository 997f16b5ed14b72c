// Package guard decides who may ask and how much: API keys with roles and limits of
// scope, a rate for each key, and a gate that bounds how many requests run at once.
//
// Vocabulary. A token is what a sender puts into a header: wt_ID_SECRET. A record is
// what is kept of it: the ID, a hash and what the key may do. A ring is all records
// in force. Scenes are names of the product surfaces that ask. Coordinates are WGS84
// degrees.
//
// The hash is one round of SHA-256 over the whole token. Slow password hashes exist
// because people choose passwords that can be guessed; a secret here is 256 random
// bits, which no speed of guessing reaches, and a slow hash at every request would
// only help those who want to keep the service busy.
//
// Promises. What is not allowed is refused. Neither a token nor a hash ever stands in
// an error, in String or in a log value. Comparing takes the same time for a known
// and an unknown ID, and the answer to both is the same. A ring that cannot be read
// again leaves the old one in force. Everything here may be used by any number of
// goroutines.
package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"
)

// Sentinel errors. The first five are about the key of a request.
var (
	// ErrNoKey is returned when a request has no key.
	ErrNoKey = errors.New("no API key")
	// ErrBadKey is returned for a key that is not in the ring or is written wrongly.
	ErrBadKey = errors.New("unknown API key")
	// ErrExpired is returned for a key whose time is over.
	ErrExpired = errors.New("API key has expired")
	// ErrRole is returned when the key's role does not reach.
	ErrRole = errors.New("API key may not do this")
	// ErrScope is returned for a scene or a position that the key is not for.
	ErrScope = errors.New("outside the scope of the API key")
	// ErrRecord is returned for records that cannot be read.
	ErrRecord = errors.New("bad record of an API key")
	// ErrLimit is returned for a limit that makes no sense.
	ErrLimit = errors.New("bad limit")
)

// Role is what a key may do; each includes those before it. The zero Role may nothing.
type Role uint8

// Roles.
const (
	Read  Role = iota + 1 // ask questions
	Write                 // store actions and places
	Admin                 // load models, make keys, delete people's traces
)

var roleNames = [...]string{"none", "read", "write", "admin"}

// String returns the name as records write it.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return roleNames[0]
}

// Includes reports whether a key of this role may do what needs the other.
func (r Role) Includes(need Role) bool { return need != 0 && r >= need && r <= Admin }

// ParseRole reads read, write or admin. The error does not repeat the text, which may
// be a hash in the wrong place.
func ParseRole(name string) (Role, error) {
	if at := slices.Index(roleNames[1:], name); at >= 0 {
		return Role(at + 1), nil
	}
	return 0, fmt.Errorf("role: %w: want read, write or admin", ErrRecord)
}

// Box is a rectangle of degrees, edges included; West above East crosses the
// antimeridian.
type Box struct {
	South float64 `json:"south" yaml:"south"`
	West  float64 `json:"west" yaml:"west"`
	North float64 `json:"north" yaml:"north"`
	East  float64 `json:"east" yaml:"east"`
}

func (b *Box) check() error {
	for _, side := range []struct {
		name  string
		x, at float64
	}{{"south", b.South, 90}, {"north", b.North, 90}, {"west", b.West, 180}, {"east", b.East, 180}} {
		if !(math.Abs(side.x) <= side.at) {
			return fmt.Errorf("box.%s: %v: %w: want degrees from %v to %v", side.name, side.x, ErrRecord, -side.at, side.at)
		}
	}
	if b.South > b.North {
		return fmt.Errorf("box: south %v is above north %v: %w", b.South, b.North, ErrRecord)
	}
	return nil
}

// holds is false for numbers that are not finite.
func (b *Box) holds(lat, lng float64) bool {
	in := func(lng float64) bool {
		if b.West <= b.East {
			return lng >= b.West && lng <= b.East
		}
		return lng >= b.West && lng <= 180 || lng <= b.East && lng >= -180
	}
	return lat >= b.South && lat <= b.North && (in(lng) || math.Abs(lng) == 180 && in(-lng))
}

// Key is a key that was recognised. It does not hold the hash, so that nothing that
// prints it can show one.
type Key struct {
	ID      string
	Role    Role
	Scenes  []string  // empty: all
	Box     *Box      // nil: everywhere
	Expires time.Time // zero: never
}

// May returns ErrRole unless the key's role includes what is needed.
func (k Key) May(need Role) error {
	if k.Role.Includes(need) {
		return nil
	}
	return fmt.Errorf("%w: it has the role %s, this needs %s", ErrRole, k.Role, need)
}

// Covers returns ErrScope unless the key is for the scene and the position of a
// request. A key that is limited to scenes or to a box is refused where the request
// does not say: lat and lng are nil for a request without a position.
func (k Key) Covers(scene string, lat, lng *float64) error {
	if len(k.Scenes) > 0 && !slices.Contains(k.Scenes, scene) {
		return fmt.Errorf("%w: scene %q; it is for %s", ErrScope, scene, strings.Join(k.Scenes, ", "))
	}
	switch {
	case k.Box == nil:
		return nil
	case lat == nil || lng == nil:
		return fmt.Errorf("%w: it is for one area, so a request must give lat and lng", ErrScope)
	case !k.Box.holds(*lat, *lng):
		return fmt.Errorf("%w: %v, %v is outside %+v", ErrScope, *lat, *lng, *k.Box)
	}
	return nil
}

// String is the ID and the role.
func (k Key) String() string { return fmt.Sprintf("key %s (%s)", k.ID, k.Role) }

// LogValue is the ID and the role.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("role", k.Role.String()))
}

const (
	tokenPrefix = "wt_"
	maxToken    = 256 // characters of a header that is looked at
	maxID       = 64
	secretBytes = 32
)

var base32Text = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Mint makes a new key with a random secret. The token is shown to its owner once;
// only the record, to which the caller adds scope and end, is kept.
func Mint(id string, role Role) (token string, rec Record, err error) {
	if err := checkID(id); err != nil {
		return "", Record{}, err
	}
	if !role.Includes(Read) {
		return "", Record{}, fmt.Errorf("role of key %s: %w: want read, write or admin", id, ErrRecord)
	}
	secret := make([]byte, secretBytes)
	rand.Read(secret) // never fails
	token = tokenPrefix + id + "_" + base32Text.EncodeToString(secret)
	return token, Record{ID: id, Hash: HashOf(token), Role: role.String()}, nil
}

// HashOf returns the hex SHA-256 of a token, as records keep it.
func HashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// checkID keeps the underscore out, which separates ID and secret. The error does not
// repeat the ID, which may be a token in the wrong place.
func checkID(id string) error {
	if len(id) < 1 || len(id) > maxID {
		return fmt.Errorf("id of %d characters: %w: want 1 to %d", len(id), ErrRecord, maxID)
	}
	for _, c := range id {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fmt.Errorf("id: %w: use small letters, digits, - and .", ErrRecord)
		}
	}
	return nil
}
