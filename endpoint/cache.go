package endpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/whereto/whereto/file"
)

// Key names a cache entry by what was asked.
type Key [sha256.Size]byte

// KeyOf hashes a kind of question, a model and the normalised inputs. Each part is
// hashed with its length, so that no two lists of parts are alike.
func KeyOf(kind, model string, inputs ...string) Key {
	h := sha256.New()
	for _, s := range append([]string{"whereto/1", kind, model}, inputs...) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return Key(h.Sum(nil))
}

// Kind says what an entry holds.
type Kind byte

// Kinds of cache entries.
const (
	JSON   Kind = 'J' // one JSON value
	Vector Kind = 'V' // finite float32 numbers, little endian
)

const (
	cacheMagic = "WTCACHE1"
	cacheHead  = len(cacheMagic) + 1 + sha256.Size + 8 // magic, kind, key, length of the value
	maxEntry   = 64 << 20
)

// errDamaged is why an entry is dropped.
var errDamaged = errors.New("damaged cache entry")

// Cache keeps values in one file each, below a folder. An entry is
//
//	"WTCACHE1"  kind (1 byte)  key (32)  length of the value (8, little endian)
//	value  SHA-256 of everything before
//
// Files appear whole or not at all. Several goroutines and processes may share the
// folder; two that store the same key store the same answer.
type Cache struct {
	dir     string
	corrupt atomic.Int64
}

// OpenCache makes the folder if it is missing.
func OpenCache(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the cache: %w; choose a folder that can be written", err)
	}
	return &Cache{dir: dir}, nil
}

// Corrupt returns how many damaged entries were dropped.
func (c *Cache) Corrupt() int64 { return c.corrupt.Load() }

// path spreads entries over 256 folders.
func (c *Cache) path(k Key) string {
	name := hex.EncodeToString(k[:])
	return filepath.Join(c.dir, name[:2], name[2:])
}

// Get returns the value stored under a key. A damaged entry is dropped and counts
// as absent.
func (c *Cache) Get(k Key, kind Kind) (value []byte, ok bool, err error) {
	path := c.path(k)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the cache: %w", err)
	}
	if info.Mode().IsRegular() && info.Size() <= maxEntry {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // dropped by another process just now
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("read the cache: %w", err)
		}
		if value, err = decodeEntry(data, k, kind); err == nil {
			return value, true, nil
		}
	}
	return nil, false, c.drop(path)
}

// drop removes a damaged entry.
func (c *Cache) drop(path string) error {
	c.corrupt.Add(1)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop a damaged cache entry: %w; remove %s by hand", err, path)
	}
	return nil
}

// Put stores a value, replacing what is there.
func (c *Cache) Put(k Key, kind Kind, value []byte) error {
	data := encodeEntry(k, kind, value)
	if _, err := decodeEntry(data, k, kind); err != nil {
		return fmt.Errorf("write the cache: %w", err)
	}
	path := c.path(k)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the cache: %w", err)
	}
	return file.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func encodeEntry(k Key, kind Kind, value []byte) []byte {
	b := make([]byte, 0, cacheHead+len(value)+sha256.Size)
	b = append(b, cacheMagic...)
	b = append(b, byte(kind))
	b = append(b, k[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	b = append(b, value...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeEntry returns the value of an entry that is whole, of the key and kind
// wanted, and holds what its kind promises.
func decodeEntry(data []byte, k Key, kind Kind) ([]byte, error) {
	if len(data) < cacheHead+sha256.Size || len(data) > maxEntry || string(data[:len(cacheMagic)]) != cacheMagic {
		return nil, fmt.Errorf("%w: %d bytes that are no entry of at most %d", errDamaged, len(data), maxEntry)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return nil, fmt.Errorf("%w: checksum differs", errDamaged)
	}
	head, value := body[len(cacheMagic):cacheHead], body[cacheHead:]
	if Kind(head[0]) != kind || !bytes.Equal(head[1:1+len(k)], k[:]) {
		return nil, fmt.Errorf("%w: it belongs to another key or kind", errDamaged)
	}
	if n := binary.LittleEndian.Uint64(head[1+len(k):]); n != uint64(len(value)) {
		return nil, fmt.Errorf("%w: %d bytes of %d", errDamaged, len(value), n)
	}
	switch kind {
	case JSON:
		if !json.Valid(value) {
			return nil, fmt.Errorf("%w: not JSON", errDamaged)
		}
	case Vector:
		if _, err := decodeVector(value); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: unknown kind %q", errDamaged, kind)
	}
	return value, nil
}

func encodeVector(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func decodeVector(b []byte) ([]float32, error) {
	if len(b) == 0 || len(b)%4 != 0 {
		return nil, fmt.Errorf("%w: a vector of %d bytes", errDamaged, len(b))
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	if err := finite(v); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return v, nil
}
