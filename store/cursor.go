package store

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// List names what a cursor goes through, so that a cursor of one list is refused by
// another.
type List byte

// Lists with cursors.
const (
	ListActions List = 'a'
	ListUsers   List = 'u'
	ListPOIs    List = 'p'
)

// Position is the last row of a page: the next page begins above it. A home that lists
// by name alone leaves the rest at zero.
type Position struct {
	Name   string // user or POI
	TimeMS int64
	Seq    int64 // order of arrival
}

const cursorVersion = 1

// Encode returns the cursor of a position. The filter is what was asked for besides the
// page: a cursor given with another filter is refused.
//
//	version (1 byte)  list (1)  CRC-32 of the filter (4, big endian)
//	time, order of arrival (varints)  name  CRC-32 of all before (4)
//
// in base64 for URLs, without padding.
func (p Position) Encode(list List, filter string) string {
	b := []byte{cursorVersion, byte(list)}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(filter)))
	b = binary.AppendVarint(b, p.TimeMS)
	b = binary.AppendVarint(b, p.Seq)
	b = append(b, p.Name...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// DecodeCursor returns the position of a cursor, or ErrBadCursor. The empty cursor, the
// beginning of a list, has none.
func DecodeCursor(list List, filter, cursor string) (p Position, begin bool, err error) {
	if cursor == "" {
		return Position{}, true, nil
	}
	refuse := func(why string) (Position, bool, error) {
		return Position{}, false, fmt.Errorf("%w: %s; begin the list again without one", ErrBadCursor, why)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	switch {
	case err != nil || len(b) < 12:
		return refuse("it was not given out by this service")
	case b[0] != cursorVersion:
		return refuse(fmt.Sprintf("it is of version %d, this is %d", b[0], cursorVersion))
	case binary.BigEndian.Uint32(b[len(b)-4:]) != crc32.ChecksumIEEE(b[:len(b)-4]):
		return refuse("it was changed on its way")
	case List(b[1]) != list:
		return refuse("it belongs to another list")
	case binary.BigEndian.Uint32(b[2:]) != crc32.ChecksumIEEE([]byte(filter)):
		return refuse("it belongs to the same list with another filter")
	}
	rest := b[6 : len(b)-4]
	for _, into := range []*int64{&p.TimeMS, &p.Seq} {
		x, n := binary.Varint(rest)
		if n <= 0 {
			return refuse("it is damaged")
		}
		*into, rest = x, rest[n:]
	}
	p.Name = string(rest)
	if text("cursor", p.Name, 0, MaxUser) != nil {
		return refuse("it names what cannot be stored")
	}
	return p, false, nil
}

// BoxFilter is the filter of POIsPage as text.
func BoxFilter(b *Box) string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("%v %v %v %v", b.South, b.West, b.North, b.East)
}

// NextPage cuts rows, of which one more than limit was asked for, to the page, and
// returns the cursor of the next: empty if there is none.
func NextPage[T any](rows []T, limit int, list List, filter string, at func(T) Position) ([]T, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], at(rows[limit-1]).Encode(list, filter)
}
