package store

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Limits of what is stored, in characters, elements or rows.
const (
	MaxBatch    = 10_000 // actions or POIs of one call
	MaxPage     = 1000
	MaxRecent   = 10_000
	MaxUser     = 256
	MaxPOI      = 256
	MaxActionID = 128
	MaxType     = 64
	MaxName     = 512
	MaxCategory = 512
	MaxKeyID    = 128
	MaxRole     = 32
	MaxScenes   = 100
	MaxScene    = 64
	MinHash     = 16 // bytes
	MaxHash     = 64
)

// Moments that have a four-digit year; sorted sets hold them exactly.
const (
	minTimeMS = -62_135_596_800_000
	maxTimeMS = 253_402_300_799_999
	maxOffset = 18 * 60 // minutes; no time zone is further from UTC
)

// CheckAction returns an *Invalid, with Index 0, if the action cannot be stored.
func CheckAction(a Action) error {
	return firstInvalid(
		text("user", a.User, 1, MaxUser),
		text("id", a.ID, 0, MaxActionID),
		text("poi", a.POI, 1, MaxPOI),
		text("type", a.Type, 0, MaxType),
		moment("time", a.TimeMS),
		offset(a.OffsetMin),
		position(a.HasUser, a.UserLat, a.UserLng),
	)
}

// CheckActions checks a batch.
func CheckActions(actions []Action) error { return checkAll("actions", actions, CheckAction) }

// CheckPOI returns an *Invalid, with Index 0, if the POI cannot be stored.
func CheckPOI(p POI) error {
	return firstInvalid(
		text("id", p.ID, 1, MaxPOI),
		text("name", p.Name, 0, MaxName),
		text("category", p.Category, 0, MaxCategory),
		position(true, p.Lat, p.Lng),
	)
}

// CheckPOIs checks a batch.
func CheckPOIs(pois []POI) error { return checkAll("pois", pois, CheckPOI) }

// CheckKey returns an *Invalid if the key cannot be stored.
func CheckKey(k Key) error {
	checks := []*Invalid{
		text("id", k.ID, 1, MaxKeyID),
		text("role", k.Role, 1, MaxRole),
		between("hash", len(k.Hash), MinHash, MaxHash, "bytes"),
		between("scenes", len(k.Scenes), 0, MaxScenes, "elements"),
		moment("created", k.CreatedMS),
		moment("expires", k.ExpiresMS),
	}
	for _, scene := range k.Scenes {
		checks = append(checks, text("scenes", scene, 1, MaxScene))
	}
	if k.Box != nil {
		checks = append(checks, k.Box.invalid())
	}
	return firstInvalid(checks...)
}

// CheckUser returns an *Invalid if no action can have this user.
func CheckUser(user string) error { return firstInvalid(text("user", user, 1, MaxUser)) }

// CheckID returns an *Invalid if no POI or key can have this ID. No key's ID is longer
// than a POI's.
func CheckID(id string) error { return firstInvalid(text("id", id, 1, MaxPOI)) }

// CheckPage returns an *Invalid for a page size outside 1 to MaxPage, or for a prefix
// or user that nothing can have.
func CheckPage(field, filter string, limit int) error {
	return firstInvalid(between("limit", limit, 1, MaxPage, "rows"), text(field, filter, 0, MaxUser))
}

// CheckRecent checks the arguments of Recent.
func CheckRecent(user string, n int) error {
	return firstInvalid(text("user", user, 1, MaxUser), between("n", n, 1, MaxRecent, "actions"))
}

func checkAll[T any](name string, batch []T, check func(T) error) error {
	if bad := between(name, len(batch), 0, MaxBatch, "elements"); bad != nil {
		return bad
	}
	for i, element := range batch {
		if err := check(element); err != nil {
			if bad, ok := err.(*Invalid); ok {
				bad.Index = i
			}
			return err
		}
	}
	return nil
}

func firstInvalid(checks ...*Invalid) error {
	for _, bad := range checks {
		if bad != nil {
			return bad
		}
	}
	return nil
}

func invalid(field, reason string, args ...any) *Invalid {
	return &Invalid{Field: field, Reason: fmt.Sprintf(reason, args...)}
}

// text refuses what not every home can keep as it is: PostgreSQL has no character zero
// and no text that is not UTF-8.
func text(field, value string, least, most int) *Invalid {
	n := utf8.RuneCountInString(value)
	switch {
	case n < least:
		return invalid(field, "is empty")
	case n > most:
		return invalid(field, "has %d characters; at most %d are stored", n, most)
	case !utf8.ValidString(value):
		return invalid(field, "%q is not UTF-8", value)
	case strings.ContainsRune(value, 0):
		return invalid(field, "%q holds the character zero", value)
	}
	return nil
}

func between(field string, n, least, most int, unit string) *Invalid {
	if n < least || n > most {
		return invalid(field, "is %d %s; give %d to %d", n, unit, least, most)
	}
	return nil
}

func moment(field string, ms int64) *Invalid {
	if ms < minTimeMS || ms > maxTimeMS {
		return invalid(field, "%d ms is outside the years 1 to 9999", ms)
	}
	return nil
}

func offset(minutes int16) *Invalid {
	if minutes < -maxOffset || minutes > maxOffset {
		return invalid("time", "is %d minutes from UTC; no time zone is more than %d away", minutes, maxOffset)
	}
	return nil
}

func position(has bool, lat, lng float64) *Invalid {
	if !has {
		return nil
	}
	if bad := degrees("lat", lat, 90); bad != nil {
		return bad
	}
	return degrees("lng", lng, 180)
}

func degrees(field string, x, most float64) *Invalid {
	if math.IsNaN(x) || x < -most || x > most {
		return invalid(field, "%v is not within -%v to %v degrees", x, most, most)
	}
	return nil
}
