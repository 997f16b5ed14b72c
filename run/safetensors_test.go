package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"pgregory.net/rapid"
)

// golden is what the reference implementation (Python safetensors 0.8.0) writes
// for {"b": float32 [[1.5, -2]], "a": int64 [3, 4]} with metadata {"format": "x"}.
const golden = "\x90\x00\x00\x00\x00\x00\x00\x00" +
	`{"__metadata__":{"format":"x"},"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[16,24]}}  ` +
	"\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc0?\x00\x00\x00\xc0"

func goldenStore(t *testing.T) *model.Store {
	t.Helper()
	s := model.NewStore()
	for path, v := range map[string]*tensors.Tensor{"b": tensors.FromValue([][]float32{{1.5, -2}}), "a": tensors.FromValue([]int64{3, 4})} {
		if _, err := s.CreateVariable(path, v); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestGoldenBytes(t *testing.T) {
	var b bytes.Buffer
	if err := writeStore(&b, goldenStore(t), map[string]string{"format": "x"}, nil); err != nil {
		t.Fatal(err)
	}
	if b.String() != golden {
		t.Errorf("bytes\n%q, want\n%q", b.String(), golden)
	}
	f, err := OpenTensors(strings.NewReader(golden), int64(len(golden)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Metadata["format"] != "x" || !slices.Equal(f.Names(), []string{"a", "b"}) {
		t.Errorf("metadata %v, names %v", f.Metadata, f.Names())
	}
	info, ok := f.Info("b")
	if !ok || info.DType != "F32" || !slices.Equal(info.Shape, []int{1, 2}) {
		t.Errorf("b is %+v", info)
	}
	if _, ok := f.Info("c"); ok {
		t.Error("found a tensor that is not there")
	}
	x, err := readTensor(f, "b")
	if err != nil || !slices.Equal(tensors.MustCopyFlatData[float32](x), []float32{1.5, -2}) {
		t.Errorf("b holds %v, %v", x, err)
	}
}

// tensorFile builds a file of a header text and size bytes of data.
func tensorFile(header string, size int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, size)...)
}

func TestOpenTensorsRefuses(t *testing.T) {
	ok := `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	if _, err := OpenTensors(bytes.NewReader(tensorFile(ok, 8)), int64(len(tensorFile(ok, 8)))); err != nil {
		t.Fatalf("the good file: %v", err)
	}
	for name, data := range map[string][]byte{
		"empty":           nil,
		"short":           {1, 2, 3},
		"huge header":     append(bytes.Repeat([]byte{0xff}, 8), '{', '}'),
		"header too long": binary.LittleEndian.AppendUint64(nil, 100),
		"not json":        tensorFile("hello", 0),
		"array":           tensorFile("[]", 0),
		"cut json":        tensorFile(`{"a":`, 0),
		"trailing":        tensorFile(ok+"{}", 8),
		"twice":           tensorFile(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"two metadata":    tensorFile(`{"__metadata__":{},"__metadata__":{}}`, 0),
		"metadata type":   tensorFile(`{"__metadata__":{"a":1}}`, 0),
		"no name":         tensorFile(`{"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8),
		"type":            tensorFile(`{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}`, 8),
		"unknown key":     tensorFile(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8),
		"negative":        tensorFile(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8),
		"overflow":        tensorFile(`{"a":{"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16]}}`, 16),
		"rank":            tensorFile(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}`, 8),
		"size":            tensorFile(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8),
		"hole":            tensorFile(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"overlap":         tensorFile(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"backwards":       tensorFile(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8),
		"data missing":    tensorFile(ok, 4),
		"data left":       tensorFile(ok, 12),
		"three offsets":   tensorFile(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}} `, 12),
	} {
		if _, err := OpenTensors(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

func TestWriteHeaderRefuses(t *testing.T) {
	for name, list := range map[string][]TensorInfo{
		"twice":    {{Name: "a", DType: "F32", Shape: []int{1}}, {Name: "a", DType: "F32", Shape: []int{1}}},
		"reserved": {{Name: "__metadata__", DType: "F32"}},
		"empty":    {{DType: "F32"}},
		"type":     {{Name: "a", DType: "C64"}},
	} {
		if err := writeHeader(&bytes.Buffer{}, nil, list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Any set of tensors comes back as it was, and every tensor is aligned.
func TestHeaderRoundTrip(t *testing.T) {
	types := []string{"F64", "I64", "U64", "F32", "I32", "U8"}
	rapid.Check(t, func(t *rapid.T) {
		var list []TensorInfo
		var data []byte
		for i := range rapid.IntRange(0, 6).Draw(t, "tensors") {
			list = append(list, TensorInfo{Name: fmt.Sprintf("%s%d", rapid.StringMatching(`[a-z/"é]{0,5}`).Draw(t, "name"), i),
				DType: rapid.SampledFrom(types).Draw(t, "type"), Shape: rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape")})
		}
		sortTensors(list)
		var b bytes.Buffer
		if err := writeHeader(&b, map[string]string{"k": "v"}, list); err != nil {
			t.Fatal(err)
		}
		start := b.Len()
		for _, info := range list {
			n, _ := info.Bytes()
			if size := elementSize[info.DType]; (int64(b.Len()) % size) != 0 {
				t.Fatalf("%v starts at %d", info, b.Len())
			}
			part := bytes.Repeat([]byte{byte(len(data))}, int(n))
			data = append(data, part...)
			b.Write(part)
		}
		if start%8 != 0 {
			t.Fatalf("data start at %d", start)
		}
		f, err := OpenTensors(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range list {
			got, ok := f.Info(info.Name)
			n, _ := info.Bytes()
			dst := make([]byte, n)
			if err := f.ReadInto(info.Name, dst); err != nil || !ok || got.DType != info.DType || !slices.Equal(got.Shape, info.Shape) {
				t.Fatalf("%+v came back as %+v, %v", info, got, err)
			}
			if !bytes.Equal(dst, data[:n]) {
				t.Fatalf("%+v: other data", info)
			}
			data = data[n:]
		}
	})
}

func TestReadIntoRefuses(t *testing.T) {
	f, err := OpenTensors(strings.NewReader(golden), int64(len(golden)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.ReadInto("a", make([]byte, 3)); err == nil {
		t.Error("a wrong length was accepted")
	}
	if err := f.ReadInto("z", nil); err == nil {
		t.Error("an unknown name was accepted")
	}
	if f, err = OpenTensors(strings.NewReader(golden[:len(golden)-1]), int64(len(golden))); err == nil {
		err = f.ReadInto("b", make([]byte, 8))
	}
	if err == nil {
		t.Error("a file shorter than its size was read")
	}
}

// Whatever the bytes, the reader gives an error or tensors that tile the file.
func FuzzOpenTensors(f *testing.F) {
	f.Add([]byte(golden))
	f.Add(tensorFile(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 4))
	f.Add(tensorFile(`{}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := OpenTensors(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not wrap ErrCorrupt", err)
			}
			return
		}
		total := 8 + int64(binary.LittleEndian.Uint64(data))
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			n, err := info.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if err := file.ReadInto(name, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != int64(len(data)) {
			t.Fatalf("tensors cover %d of %d bytes", total, len(data))
		}
	})
}
