package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// typeNames maps the number types of variables to safetensors names.
var typeNames = map[dtypes.DType]string{
	dtypes.Float64: "F64", dtypes.Int64: "I64", dtypes.Uint64: "U64", dtypes.Float32: "F32", dtypes.Int32: "I32",
	dtypes.Uint32: "U32", dtypes.Uint8: "U8", dtypes.Int8: "I8", dtypes.Bool: "BOOL",
}

func typeOf(name string) (dtypes.DType, bool) {
	for d, n := range typeNames {
		if n == name {
			return d, true
		}
	}
	return dtypes.InvalidDType, false
}

// littleEndian is true where a number in memory is as in the file.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// tensorName is the path of a variable without the leading slash.
func tensorName(v *model.Variable) string { return strings.TrimPrefix(v.Path(), "/") }

// writeStore writes the variables of store that keep accepts (all if nil) as a
// safetensors file. Names are paths without the leading slash.
func writeStore(w io.Writer, store *model.Store, metadata map[string]string, keep func(path string) bool) error {
	if !littleEndian {
		return errors.New("checkpoints are written on little-endian machines only")
	}
	byName := map[string]*model.Variable{}
	var list []TensorInfo
	for v := range store.IterVariables() {
		if keep != nil && !keep(v.Path()) {
			continue
		}
		dtype, ok := typeNames[v.DType()]
		if !ok {
			return fmt.Errorf("variable %s has type %s, which checkpoints do not hold", v.Path(), v.DType())
		}
		if !v.HasValue() {
			return fmt.Errorf("variable %s has no value yet; save after the first step", v.Path())
		}
		info := TensorInfo{Name: tensorName(v), DType: dtype, Shape: v.Shape().Dimensions}
		list = append(list, info)
		byName[info.Name] = v
	}
	sortTensors(list)
	if err := writeHeader(w, metadata, list); err != nil {
		return err
	}
	for _, info := range list {
		value, err := byName[info.Name].Value()
		if err != nil {
			return fmt.Errorf("variable /%s: %w", info.Name, err)
		}
		var writeErr error
		err = value.ConstBytes(func(data []byte) { _, writeErr = w.Write(data) })
		if err = errors.Join(err, writeErr); err != nil {
			return fmt.Errorf("variable /%s: %w", info.Name, err)
		}
	}
	return nil
}

// readTensor makes a new local tensor from a file.
func readTensor(f *TensorFile, name string) (*tensors.Tensor, error) {
	if !littleEndian {
		return nil, errors.New("checkpoints are read on little-endian machines only")
	}
	info, _ := f.Info(name)
	dtype, ok := typeOf(info.DType)
	if !ok {
		return nil, fmt.Errorf("tensor %q: number type %q: %w", name, info.DType, ErrCorrupt)
	}
	if slices.Contains(info.Shape, 0) {
		return nil, fmt.Errorf("tensor %q: empty shape %v: %w", name, info.Shape, ErrCorrupt)
	}
	t := tensors.FromShape(shapes.Make(dtype, info.Shape...))
	var readErr error
	err := t.MutableBytes(func(data []byte) { readErr = f.ReadInto(name, data) })
	if err = errors.Join(err, readErr); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return t, nil
}

// checkAgainst compares a file with the variables of a store that keep accepts.
func checkAgainst(f *TensorFile, store *model.Store, keep func(path string) bool) error {
	var missing, unknown, wrong []string
	want := map[string]bool{}
	for v := range store.IterVariables() {
		if keep != nil && !keep(v.Path()) {
			continue
		}
		name := tensorName(v)
		want[name] = true
		info, ok := f.Info(name)
		switch {
		case !ok:
			missing = append(missing, name)
		case info.DType != typeNames[v.DType()] || !slices.Equal(info.Shape, v.Shape().Dimensions):
			wrong = append(wrong, fmt.Sprintf("%s is %s%v in the file and %s%v in the model", name, info.DType, info.Shape, typeNames[v.DType()], v.Shape().Dimensions))
		}
	}
	for _, name := range f.Names() {
		if !want[name] && (keep == nil || keep("/"+name)) {
			unknown = append(unknown, name)
		}
	}
	if len(missing)+len(unknown)+len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("the checkpoint is of another model: %w;%s%s%s use the recipe in the run folder, or train again",
		ErrMismatch, listed(" not in the file: ", missing), listed(" not in the model: ", unknown), listed(" other shape: ", wrong))
}

// listed prints at most five items after a heading, nothing for none.
func listed(heading string, items []string) string {
	if len(items) == 0 {
		return ""
	}
	shown := items[:min(5, len(items))]
	text := heading + strings.Join(shown, ", ")
	if len(items) > len(shown) {
		text += fmt.Sprintf(" and %d more", len(items)-len(shown))
	}
	return text + ";"
}
