package split

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"

	"github.com/whereto/whereto/poi"
)

// fingerprintVersion changes when the canonical bytes do.
const fingerprintVersion = "whereto dataset 1"

// Fingerprint returns the hex SHA-256 of the data set's canonical bytes: each
// field in order of declaration, numbers little-endian, strings and lists after
// their length as 64 bits. Name is left out, so that the same data under
// another file name compares equal; Fingerprint itself is left out of course.
func Fingerprint(d *poi.Dataset) string {
	f := &canon{h: sha256.New()}
	f.str(fingerprintVersion)
	f.str(d.Protocol)
	f.num(uint64(len(d.Places)))
	for _, p := range d.Places {
		f.str(p.ID)
		f.str(p.Name)
		f.str(p.Category)
		f.num(math.Float64bits(p.Lat))
		f.num(math.Float64bits(p.Lng))
		f.num(bit(p.Closed))
	}
	f.strs(d.Types)
	f.num(uint64(len(d.Users)))
	for _, u := range d.Users {
		f.str(u.ID)
		f.str(u.Profile.Gender)
		f.str(u.Profile.AgeBand)
		f.str(u.Profile.Occupation)
		f.strs(u.Profile.Tags)
		f.num(uint64(len(u.Visits)))
		for _, v := range u.Visits {
			f.visit(v)
		}
	}
	for _, ts := range d.Targets {
		f.num(uint64(len(ts)))
		for _, t := range ts {
			f.num(uint64(uint32(t.User))<<32 | uint64(uint32(t.Pos)))
		}
	}
	f.flush()
	return hex.EncodeToString(f.h.Sum(nil))
}

// canon buffers canonical bytes on their way into a hash.
type canon struct {
	h   hash.Hash
	buf []byte
}

func (f *canon) num(x uint64) {
	f.buf = binary.LittleEndian.AppendUint64(f.buf, x)
	if len(f.buf) >= 1<<15 {
		f.flush()
	}
}

func (f *canon) str(s string) {
	f.num(uint64(len(s)))
	f.buf = append(f.buf, s...)
}

func (f *canon) strs(list []string) {
	f.num(uint64(len(list)))
	for _, s := range list {
		f.str(s)
	}
}

func (f *canon) visit(v poi.Visit) {
	f.num(uint64(uint32(v.POI))<<32 | uint64(uint32(v.Traj)))
	f.num(uint64(v.TimeMS))
	f.num(uint64(uint16(v.OffsetMin))<<48 | uint64(v.Type)<<40 | uint64(v.Status)<<32 |
		bit(v.Intent)<<24 | bit(v.HasUser)<<16 | uint64(v.Tag))
	f.num(uint64(math.Float32bits(v.UserLat))<<32 | uint64(math.Float32bits(v.UserLng)))
}

// flush hands the buffer to the hash, whose Write never fails (hash.Hash).
func (f *canon) flush() {
	f.h.Write(f.buf)
	f.buf = f.buf[:0]
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
