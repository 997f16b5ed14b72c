package run

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
)

// Limits of a safetensors header, far above any model of ours. The first is the
// limit of the reference implementation.
const (
	maxHeader  = 100 << 20
	maxTensors = 1 << 20
	maxRank    = 16
)

// elementSize lists the number types of checkpoint files by their safetensors name.
var elementSize = map[string]int64{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "U8": 1, "I8": 1, "BOOL": 1}

// TensorInfo describes one tensor of a file.
type TensorInfo struct {
	Name  string
	DType string // "F32", "I64", ... as in elementSize
	Shape []int  // empty for a scalar
}

// Bytes returns the size of the tensor's data, or an error for an unknown type
// or a shape whose size does not fit.
func (t TensorInfo) Bytes() (int64, error) {
	size, ok := elementSize[t.DType]
	if !ok {
		return 0, fmt.Errorf("tensor %q: number type %q is not supported: %w", t.Name, t.DType, ErrCorrupt)
	}
	if len(t.Shape) > maxRank {
		return 0, fmt.Errorf("tensor %q: rank %d, at most %d: %w", t.Name, len(t.Shape), maxRank, ErrCorrupt)
	}
	for _, d := range t.Shape {
		if d < 0 || (d > 0 && size > math.MaxInt64/int64(d)) {
			return 0, fmt.Errorf("tensor %q: bad shape %v: %w", t.Name, t.Shape, ErrCorrupt)
		}
		size *= int64(d)
	}
	return size, nil
}

// headerEntry is the JSON of one tensor.
type headerEntry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// sortTensors orders tensors as files hold them: widest numbers first, so that
// every tensor is aligned to its type, then by name.
func sortTensors(list []TensorInfo) {
	slices.SortFunc(list, func(a, b TensorInfo) int {
		if d := elementSize[b.DType] - elementSize[a.DType]; d != 0 {
			return int(d)
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// writeHeader writes the length and JSON of a safetensors file; the data of the
// tensors must follow in the order of list (see sortTensors).
func writeHeader(w io.Writer, metadata map[string]string, list []TensorInfo) error {
	entries := make(map[string]any, len(list)+1)
	if len(metadata) > 0 {
		entries["__metadata__"] = metadata
	}
	var at int64
	for _, t := range list {
		if t.Name == "" || t.Name == "__metadata__" || entries[t.Name] != nil {
			return fmt.Errorf("tensor name %q is empty, reserved or used twice", t.Name)
		}
		size, err := t.Bytes()
		if err != nil {
			return err
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		entries[t.Name] = headerEntry{DType: t.DType, Shape: shape, Offsets: [2]int64{at, at + size}}
		at += size
	}
	text, err := json.Marshal(entries) // keys sorted: the same input gives the same bytes
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	if len(text) > maxHeader {
		return fmt.Errorf("header of %d tensors is %d bytes, at most %d", len(list), len(text), maxHeader)
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// TensorFile is an opened safetensors file: a checked header over a reader.
type TensorFile struct {
	Metadata map[string]string
	r        io.ReaderAt
	data     int64 // offset of the first data byte
	entries  map[string]headerEntry
}

// OpenTensors reads and checks the header of a safetensors file of the given
// size: known types, sizes that match shapes, and data that covers the rest of
// the file without holes or overlaps. Errors wrap ErrCorrupt.
func OpenTensors(r io.ReaderAt, size int64) (*TensorFile, error) {
	var lead [8]byte
	if size < int64(len(lead)) {
		return nil, fmt.Errorf("safetensors: file of %d bytes has no header: %w", size, ErrCorrupt)
	}
	if _, err := r.ReadAt(lead[:], 0); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	n := binary.LittleEndian.Uint64(lead[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("safetensors: header of %d bytes in a file of %d (limit %d): %w", n, size, maxHeader, ErrCorrupt)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	f := &TensorFile{r: r, data: 8 + int64(n), entries: map[string]headerEntry{}}
	if err := f.parseHeader(text); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if err := f.checkCover(size - f.data); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

// parseHeader decodes key by key, because a map would hide a name used twice.
func (f *TensorFile) parseHeader(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return fmt.Errorf("header is not a JSON object: %w", ErrCorrupt)
	}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return fmt.Errorf("header: bad key: %w", ErrCorrupt)
		}
		if name == "__metadata__" {
			if f.Metadata != nil {
				return fmt.Errorf("header: two __metadata__: %w", ErrCorrupt)
			}
			f.Metadata = map[string]string{}
			if err := dec.Decode(&f.Metadata); err != nil {
				return fmt.Errorf("header: __metadata__: %w: %v", ErrCorrupt, err)
			}
			continue
		}
		var e headerEntry
		if err := dec.Decode(&e); err != nil {
			return fmt.Errorf("header: tensor %q: %w: %v", name, ErrCorrupt, err)
		}
		if _, dup := f.entries[name]; dup || name == "" || len(f.entries) >= maxTensors {
			return fmt.Errorf("header: tensor name %q is empty, used twice, or beyond %d tensors: %w", name, maxTensors, ErrCorrupt)
		}
		f.entries[name] = e
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("header: %w: %v", ErrCorrupt, err)
	}
	if len(bytes.TrimRight(text[dec.InputOffset():], " ")) > 0 {
		return fmt.Errorf("header: text after the JSON object: %w", ErrCorrupt)
	}
	return nil
}

// checkCover verifies that the tensors tile [0, size).
func (f *TensorFile) checkCover(size int64) error {
	names := f.Names()
	sort.SliceStable(names, func(i, j int) bool {
		a, b := f.entries[names[i]].Offsets, f.entries[names[j]].Offsets
		return a[0] < b[0] || (a[0] == b[0] && a[1] < b[1])
	})
	var at int64
	for _, name := range names {
		e := f.entries[name]
		want, err := TensorInfo{Name: name, DType: e.DType, Shape: e.Shape}.Bytes()
		if err != nil {
			return err
		}
		if e.Offsets[0] != at || e.Offsets[1] < at || e.Offsets[1]-at != want {
			return fmt.Errorf("tensor %q: %s%v is %d bytes at %d, header says %v: %w", name, e.DType, e.Shape, want, at, e.Offsets, ErrCorrupt)
		}
		at = e.Offsets[1]
	}
	if at != size {
		return fmt.Errorf("tensors end at byte %d of %d: %w", at, size, ErrCorrupt)
	}
	return nil
}

// Names returns the names of all tensors, sorted.
func (f *TensorFile) Names() []string {
	names := make([]string, 0, len(f.entries))
	for name := range f.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Info describes a tensor; ok is false if there is none of that name.
func (f *TensorFile) Info(name string) (info TensorInfo, ok bool) {
	e, ok := f.entries[name]
	return TensorInfo{Name: name, DType: e.DType, Shape: e.Shape}, ok
}

// ReadInto fills dst, whose length must be the tensor's size in bytes, with its
// little-endian data.
func (f *TensorFile) ReadInto(name string, dst []byte) error {
	e, ok := f.entries[name]
	if !ok {
		return fmt.Errorf("no tensor %q in the file", name)
	}
	if int64(len(dst)) != e.Offsets[1]-e.Offsets[0] {
		return fmt.Errorf("tensor %q: %d bytes wanted, the file holds %d", name, len(dst), e.Offsets[1]-e.Offsets[0])
	}
	if len(dst) == 0 {
		return nil
	}
	n, err := f.r.ReadAt(dst, f.data+e.Offsets[0])
	if n == len(dst) {
		return nil
	}
	return fmt.Errorf("tensor %q: %w", name, err)
}
