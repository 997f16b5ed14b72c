package media

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/whereto/whereto/file"
)

// packs are the files that keep vectors of one encoder. A pack is
//
//	"WTPACK01"  dim, count (4 bytes each, little endian)
//	count x { key (32)  dim x float32 }
//	SHA-256 of everything before
//
// and is named by that hash. Packs appear whole or not at all and never change, so
// several processes may write at once; the worst that happens is work done twice.
type packs struct {
	dir string
	dim int
}

const (
	packMagic = "WTPACK01"
	packHead  = len(packMagic) + 8
	packEnd   = ".vectors"
	maxPack   = 256 << 20
)

// errPack is why a pack is dropped.
var errPack = errors.New("damaged file of vectors")

// load gives every vector on disk to put, and removes damaged packs.
func (p *packs) load(put func(itemKey, []float32)) error {
	names, err := filepath.Glob(filepath.Join(p.dir, "*"+packEnd))
	if err != nil {
		return fmt.Errorf("read the cache of vectors: %w", err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err == nil && info.Size() <= maxPack {
			var data []byte
			if data, err = os.ReadFile(name); err == nil && decodePack(data, p.dim, put) == nil {
				continue
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the cache of vectors: %w", err)
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop a damaged file of vectors: %w; remove %s by hand", err, name)
		}
	}
	return nil
}

// write stores vectors as a new pack.
func (p *packs) write(keys []itemKey, vectors [][]float32) error {
	data := encodePack(keys, vectors, p.dim)
	name := hex.EncodeToString(data[len(data)-sha256.Size:][:16]) + packEnd
	return file.Write(filepath.Join(p.dir, name), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func encodePack(keys []itemKey, vectors [][]float32, dim int) []byte {
	b := make([]byte, 0, packHead+len(keys)*(sha256.Size+4*dim)+sha256.Size)
	b = append(b, packMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(dim))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(keys)))
	for i, k := range keys {
		b = append(b, k[:]...)
		for _, x := range vectors[i] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodePack checks all of a pack before it gives the first vector away. The slice
// given to put is reused.
func decodePack(data []byte, dim int, put func(itemKey, []float32)) error {
	if len(data) < packHead+sha256.Size || string(data[:len(packMagic)]) != packMagic {
		return fmt.Errorf("%w: no pack", errPack)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return fmt.Errorf("%w: checksum differs", errPack)
	}
	if d := binary.LittleEndian.Uint32(body[len(packMagic):]); d != uint32(dim) {
		return fmt.Errorf("%w: dimension %d, want %d", errPack, d, dim)
	}
	count := uint64(binary.LittleEndian.Uint32(body[len(packMagic)+4:]))
	size := uint64(sha256.Size + 4*dim)
	body = body[packHead:]
	if uint64(len(body)) != count*size {
		return fmt.Errorf("%w: %d bytes for %d vectors", errPack, len(body), count)
	}
	v := make([]float32, dim)
	for _, deliver := range []bool{false, true} {
		for rest := body; len(rest) > 0; rest = rest[size:] {
			for j := range v {
				v[j] = math.Float32frombits(binary.LittleEndian.Uint32(rest[sha256.Size+4*j:]))
			}
			if deliver {
				put(itemKey(rest[:sha256.Size]), v)
			} else if err := checkVector(v, dim); err != nil {
				return fmt.Errorf("%w: %w", errPack, err)
			}
		}
	}
	return nil
}
