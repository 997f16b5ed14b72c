package media

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/whereto/whereto/poi"
)

// chunk is how many items are encoded between two writes to disk: what a stopped
// run may lose. An endpoint's own cache loses less.
const chunk = 1024

// Matrix holds one vector per place of a catalog.
type Matrix struct {
	Encoder string    // name of the encoder
	Dim     int       // length of a vector
	Data    []float32 // [places, Dim], row by row

	scale []float64 // by which Standardize multiplied each column; nil: 1
}

// Rows returns the number of vectors.
func (m *Matrix) Rows() int { return len(m.Data) / m.Dim }

// Row returns the vector of place i. It aliases the matrix.
func (m *Matrix) Row(i int) []float32 { return m.Data[i*m.Dim : (i+1)*m.Dim : (i+1)*m.Dim] }

// Vectors encodes all places; details[i] belongs to places[i]. Vectors are kept
// below cacheDir under a hash of the encoder's name, the text and the image ("" keeps
// nothing), and equal items are encoded once. progress, if not nil, is told after
// each step how many places have their vector. Places of a name and content seen
// before cost no call; damaged files of the cache are dropped and made again.
func Vectors(ctx context.Context, enc Encoder, places []poi.Place, details []poi.Details, cacheDir string, progress func(done, total int)) (*Matrix, error) {
	if len(places) != len(details) {
		return nil, fmt.Errorf("media: %w: %d places and %d details; give one for each", poi.ErrBadInput, len(places), len(details))
	}
	dim := enc.Dim()
	if dim < 1 || dim > maxDim {
		return nil, fmt.Errorf("media: %w: encoder %s has dimension %d, must be in [1, %d]", ErrEncoder, enc.Name(), dim, maxDim)
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	m := &Matrix{Encoder: enc.Name(), Dim: dim, Data: make([]float32, len(places)*dim)}
	rows := make(map[itemKey][]int, len(places)) // rows that hold the item
	order := make([]itemKey, 0, len(places))     // items by first occurrence
	for i := range places {
		k := keyOf(m.Encoder, itemOf(places[i], details[i]))
		if _, seen := rows[k]; !seen {
			order = append(order, k)
		}
		rows[k] = append(rows[k], i)
	}
	f := &filler{m: m, rows: rows, have: make(map[itemKey]bool, len(order))}
	var store *packs
	if cacheDir != "" {
		var err error
		if store, err = openPacks(cacheDir, m.Encoder, dim); err != nil {
			return nil, fmt.Errorf("media: %w", err)
		}
		if err := store.load(f.put); err != nil {
			return nil, fmt.Errorf("media: %w", err)
		}
	}
	progress(f.done, len(places))
	var missing []itemKey
	for _, k := range order {
		if !f.have[k] {
			missing = append(missing, k)
		}
	}
	for from := 0; from < len(missing); from += chunk {
		part := missing[from:min(from+chunk, len(missing))]
		if err := f.encode(ctx, enc, part, places, details, store); err != nil {
			return nil, err
		}
		progress(f.done, len(places))
	}
	return m, nil
}

func itemOf(p poi.Place, d poi.Details) Item { return Item{Text: Text(p, d), Image: d.Image} }

// itemKey names an item under an encoder by content.
type itemKey [sha256.Size]byte

func keyOf(encoder string, it Item) itemKey {
	h := sha256.New()
	for _, part := range [][]byte{[]byte("whereto-media/1"), []byte(encoder), []byte(it.Text), it.Image} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	return itemKey(h.Sum(nil))
}

// filler puts vectors into the rows that want them.
type filler struct {
	m    *Matrix
	rows map[itemKey][]int
	have map[itemKey]bool
	done int
}

// put is given every vector of the cache, also those of other catalogs.
func (f *filler) put(k itemKey, v []float32) {
	rows := f.rows[k]
	if len(rows) == 0 || f.have[k] {
		return
	}
	f.have[k] = true
	for _, i := range rows {
		copy(f.m.Row(i), v)
	}
	f.done += len(rows)
}

// encode makes the vectors of some items and stores them before it goes on.
func (f *filler) encode(ctx context.Context, enc Encoder, part []itemKey, places []poi.Place, details []poi.Details, store *packs) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("media: stopped with %d of %d places encoded: %w", f.done, len(places), context.Cause(ctx))
	}
	items := make([]Item, len(part))
	for j, k := range part {
		first := f.rows[k][0]
		items[j] = itemOf(places[first], details[first])
	}
	vectors, err := enc.Encode(ctx, items)
	if err != nil {
		var bad *itemError
		if errors.As(err, &bad) && bad.item >= 0 && bad.item < len(part) {
			err = fmt.Errorf("place %s: %w", places[f.rows[part[bad.item]][0]].ID, err)
		}
		return fmt.Errorf("encode places, %d of %d done: %w", f.done, len(places), err)
	}
	if len(vectors) != len(items) {
		return fmt.Errorf("media: %w: %s gave %d vectors for %d items", ErrEncoder, f.m.Encoder, len(vectors), len(items))
	}
	for j, v := range vectors {
		if err := checkVector(v, f.m.Dim); err != nil {
			return fmt.Errorf("media: %w: %s, place %s: %w", ErrEncoder, f.m.Encoder, places[f.rows[part[j]][0]].ID, err)
		}
	}
	if store != nil {
		if err := store.write(part, vectors); err != nil {
			return fmt.Errorf("media: %w", err)
		}
	}
	for j, k := range part {
		f.put(k, vectors[j])
	}
	return nil
}

func checkVector(v []float32, dim int) error {
	if len(v) != dim {
		return fmt.Errorf("%d numbers, want %d", len(v), dim)
	}
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("number %d is %v", i, x)
		}
	}
	return nil
}

// openPacks makes the folder of one encoder's packs below dir.
func openPacks(dir, encoder string, dim int) (*packs, error) {
	sum := sha256.Sum256([]byte(encoder))
	path := filepath.Join(dir, hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("open the cache of vectors: %w; choose a folder that can be written", err)
	}
	return &packs{dir: path, dim: dim}, nil
}

// groupPrior is how many rows of zeros a group is thought to have besides its own, so
// that a place alone keeps most of its vector.
const groupPrior = 2

// Relative takes from every row the mean of its group. group has a key for each row.
func Relative[K comparable](m *Matrix, group []K) {
	sums, count := map[K][]float64{}, map[K]int{}
	for i, g := range group {
		if sums[g] == nil {
			sums[g] = make([]float64, m.Dim)
		}
		count[g]++
		for k, x := range m.Row(i) {
			sums[g][k] += float64(x)
		}
	}
	for i, g := range group {
		n := float64(count[g] + groupPrior)
		for k, sum := range sums[g] {
			m.Data[i*m.Dim+k] -= float32(sum / n)
		}
	}
}

// Standardize centres every column and scales it to the deviation at which the mean
// square length of a row is one. Columns that never vary become zero.
func (m *Matrix) Standardize() {
	rows := len(m.Data) / m.Dim
	mean, square := make([]float64, m.Dim), make([]float64, m.Dim)
	for i, x := range m.Data {
		mean[i%m.Dim] += float64(x) / float64(rows)
	}
	for i, x := range m.Data {
		d := float64(x) - mean[i%m.Dim]
		square[i%m.Dim] += d * d / float64(rows)
	}
	m.scale = make([]float64, m.Dim)
	for c, s := range square {
		if s >= minVariance {
			m.scale[c] = 1 / math.Sqrt(s*float64(m.Dim))
		}
	}
	for i, x := range m.Data {
		m.Data[i] = float32((float64(x) - mean[i%m.Dim]) * m.scale[i%m.Dim])
	}
}

// Instead returns what row i would be if the encoder had given its place the vector v
// and not own: what was taken from the row and its scale stay.
func (m *Matrix) Instead(i int, own, v []float32) []float32 {
	out := make([]float32, m.Dim)
	for c, x := range m.Row(i) {
		d := float64(v[c]) - float64(own[c])
		if m.scale != nil {
			d *= m.scale[c]
		}
		out[c] = float32(float64(x) + d)
	}
	return out
}

// minVariance is what rounding may leave of a column that does not vary.
const minVariance = 1e-12
