package vector

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/whereto/whereto/poi"
)

// The safetensors layout, told in docs/format/vectors.md. Tensors go from the
// widest type to the narrowest, so that each is aligned for readers that map the
// file into memory.
const (
	formatName    = "whereto-vectors"
	formatVersion = "1"
	maxHeader     = 1 << 16 // ours has under 1 KiB; the format allows 100 MB
	chunk         = 1 << 16

	tensorEnds, tensorLat, tensorLng = "id_ends", "lat", "lng"
	tensorVectors, tensorIDs         = "vectors", "ids"
)

// tensor is the header's entry of one tensor.
type tensor struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

var typeBytes = map[string]int64{"I64": 8, "F64": 8, "F32": 4, "U8": 1}

// bytes returns the size that type and shape call for; ok is false for another
// type, a negative or an overflowing shape.
func (t tensor) bytes() (size int64, ok bool) {
	size, ok = typeBytes[t.Type]
	for _, d := range t.Shape {
		if d < 0 || d > 0 && size > math.MaxInt64/d {
			return 0, false
		}
		size *= d
	}
	return size, ok
}

// layout returns the tensors of a set with n rows and idBytes of ids, in the order
// of the file.
func layout(n, dim, idBytes int64, positions bool) (names []string, tensors map[string]tensor) {
	tensors = map[string]tensor{}
	end := int64(0)
	add := func(name, kind string, shape ...int64) {
		t := tensor{Type: kind, Shape: shape}
		size, _ := t.bytes()
		t.Offsets = [2]int64{end, end + size}
		end += size
		names, tensors[name] = append(names, name), t
	}
	add(tensorEnds, "I64", n)
	if positions {
		add(tensorLat, "F64", n)
		add(tensorLng, "F64", n)
	}
	add(tensorVectors, "F32", n, dim)
	add(tensorIDs, "U8", idBytes)
	return names, tensors
}

// WriteSafetensors writes the set in the safetensors format.
func (s *Set) WriteSafetensors(w io.Writer) error {
	if err := s.Validate(); err != nil {
		return err
	}
	idBytes := int64(0)
	for _, id := range s.IDs {
		idBytes += int64(len(id))
	}
	names, tensors := layout(int64(len(s.IDs)), int64(s.Dim), idBytes, s.HasPositions())
	header, err := headerOf(names, tensors)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, chunk) // keeps the first error until Flush
	out.Write(header)
	buf := make([]byte, 0, chunk)
	end := uint64(0)
	for _, id := range s.IDs {
		end += uint64(len(id))
		out.Write(binary.LittleEndian.AppendUint64(buf[:0], end))
	}
	for _, column := range [][]float64{s.Lat, s.Lng} {
		for _, x := range column {
			out.Write(binary.LittleEndian.AppendUint64(buf[:0], math.Float64bits(x)))
		}
	}
	for part := range slices.Chunk(s.Data, chunk/4) {
		buf = buf[:0]
		for _, x := range part {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		out.Write(buf)
	}
	for _, id := range s.IDs {
		out.WriteString(id)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	return nil
}

// headerOf returns the length and the JSON, padded with spaces so that the data
// begins at a multiple of 8.
func headerOf(names []string, tensors map[string]tensor) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `{"__metadata__":{"format":%q,"version":%q}`, formatName, formatVersion)
	for _, name := range names {
		entry, err := json.Marshal(tensors[name])
		if err != nil {
			return nil, fmt.Errorf("write safetensors: header of %s: %w", name, err)
		}
		fmt.Fprintf(&b, ",%q:%s", name, entry)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(b.Len())), b.String()...), nil
}

// ReadSafetensors reads a set of size bytes. It takes the layout of
// WriteSafetensors and no other.
func ReadSafetensors(r io.Reader, size int64) (*Set, error) {
	in := bufio.NewReaderSize(r, chunk)
	tensors, data, err := readHeader(in, size)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w: %w", poi.ErrBadInput, err)
	}
	n, dim := tensors[tensorVectors].Shape[0], tensors[tensorVectors].Shape[1]
	idBytes := tensors[tensorIDs].Shape[0]
	_, positions := tensors[tensorLat]
	_, want := layout(n, dim, idBytes, positions)
	if len(want) != len(tensors) {
		return nil, fmt.Errorf("safetensors: %w: %d tensors, want %d; see docs/format/vectors.md", poi.ErrBadInput, len(tensors), len(want))
	}
	for name, w := range want {
		t, ok := tensors[name]
		if !ok || t.Type != w.Type || !slices.Equal(t.Shape, w.Shape) || t.Offsets != w.Offsets {
			return nil, fmt.Errorf("safetensors: %w: tensor %q is %+v, want %+v; see docs/format/vectors.md", poi.ErrBadInput, name, t, w)
		}
	}
	if end := want[tensorIDs].Offsets[1]; end != data {
		return nil, fmt.Errorf("safetensors: %w: %d bytes of data, the header tells of %d; was the file cut?", poi.ErrBadInput, data, end)
	}
	s := &Set{Dim: int(dim)}
	if err := s.readData(in, n, idBytes, positions); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return s, s.Validate()
}

// readHeader returns the tensors, vectors and ids among them with the right number
// of axes and within the limits, and how many bytes of data follow.
func readHeader(in io.Reader, size int64) (tensors map[string]tensor, data int64, err error) {
	var length [8]byte
	if size < 8 {
		return nil, 0, fmt.Errorf("%d bytes, too short for a header", size)
	}
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, 0, fmt.Errorf("read the header's length: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || n > uint64(size-8) {
		return nil, 0, fmt.Errorf("a header of %d bytes in a file of %d, want at most %d", n, size, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, 0, fmt.Errorf("read the header: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, 0, fmt.Errorf("the header is not JSON: %w", err)
	}
	var meta map[string]string
	if err := json.Unmarshal(raw["__metadata__"], &meta); err != nil || meta["format"] != formatName || meta["version"] != formatVersion {
		return nil, 0, fmt.Errorf("__metadata__ is %q, want format %s of version %s; see docs/format/vectors.md", raw["__metadata__"], formatName, formatVersion)
	}
	delete(raw, "__metadata__")
	tensors = map[string]tensor{}
	for name, entry := range raw {
		var t tensor
		if err := json.Unmarshal(entry, &t); err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors[name] = t
	}
	v, ids := tensors[tensorVectors].Shape, tensors[tensorIDs].Shape
	data = size - 8 - int64(n)
	switch {
	case len(v) != 2 || len(ids) != 1:
		return nil, 0, fmt.Errorf("tensors vectors and ids have shapes %v and %v, want two axes and one", v, ids)
	case v[0] < 1 || v[0] > MaxRows || v[1] < 1 || v[1] > MaxDim || v[0]*v[1] > MaxCells:
		return nil, 0, fmt.Errorf("vectors have shape %v, want 1 to %d rows of 1 to %d", v, MaxRows, MaxDim)
	case v[0]*v[1] > data/4 || ids[0] < v[0] || ids[0] > data:
		return nil, 0, fmt.Errorf("%d bytes of data cannot hold vectors %v and %d bytes of ids", data, v, ids[0])
	}
	return tensors, data, nil
}

// readData fills the set from the tensors in the order of the file.
func (s *Set) readData(in io.Reader, n, idBytes int64, positions bool) error {
	ends := make([]int64, n)
	if err := readNumbers(in, ends, 8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) }); err != nil {
		return err
	}
	if positions {
		s.Lat, s.Lng = make([]float64, n), make([]float64, n)
	}
	for _, column := range [][]float64{s.Lat, s.Lng} {
		if err := readNumbers(in, column, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }); err != nil {
			return err
		}
	}
	s.Data = make([]float32, n*int64(s.Dim))
	if err := readNumbers(in, s.Data, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }); err != nil {
		return err
	}
	text := make([]byte, idBytes)
	if _, err := io.ReadFull(in, text); err != nil {
		return fmt.Errorf("%w: the ids end early: %w", poi.ErrBadInput, err)
	}
	s.IDs = make([]string, n)
	all, from := string(text), int64(0)
	for i, to := range ends {
		if to <= from || to > idBytes || i == len(ends)-1 && to != idBytes {
			return fmt.Errorf("%w: id_ends[%d] is %d after %d, of %d bytes", poi.ErrBadInput, i, to, from, idBytes)
		}
		s.IDs[i], from = all[from:to], to
	}
	return nil
}

// readNumbers fills dst from width bytes a number.
func readNumbers[T any](in io.Reader, dst []T, width int, number func([]byte) T) error {
	buf := make([]byte, min(chunk, len(dst)*width))
	for part := range slices.Chunk(dst, chunk/width) {
		b := buf[:len(part)*width]
		if _, err := io.ReadFull(in, b); err != nil {
			return fmt.Errorf("%w: the data end early: %w", poi.ErrBadInput, err)
		}
		for i := range part {
			part[i] = number(b[i*width:])
		}
	}
	return nil
}
