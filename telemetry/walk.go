package telemetry

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"unicode/utf8"
)

// walker turns any Go value into plain maps, lists, texts, numbers and flags that may
// be written. It looks inside by reflection, because a value that is formatted first
// can hide a secret, such as bytes as base64.
type walker struct {
	r    *redactor
	left int // parts that may still be looked at
}

// walk returns what may be written of a value under a name with a mark.
func (w *walker) walk(v any, m mark, depth int) any {
	w.left--
	switch {
	case m == secret:
		return hidden
	case v == nil:
		return nil
	case depth > maxDepth || w.left < 0:
		return "[too deep]"
	}
	switch t := v.(type) {
	case slog.LogValuer:
		return w.logValue(slog.AnyValue(t).Resolve(), m, depth)
	case error:
		return w.r.marked(safely(t.Error), m)
	case json.Marshaler:
		if parsed, ok := parsed(t); ok {
			return w.walk(parsed, m, depth+1)
		}
		return unwritable(v)
	case encoding.TextMarshaler:
		return w.r.marked(safely(func() string { b, _ := t.MarshalText(); return string(b) }), m)
	case fmt.Stringer:
		return w.r.marked(safely(t.String), m)
	}
	return w.kind(reflect.ValueOf(v), m, depth)
}

// logValue writes what a LogValuer stands for.
func (w *walker) logValue(v slog.Value, m mark, depth int) any {
	switch v.Kind() {
	case slog.KindAny:
		if _, again := v.Any().(slog.LogValuer); again { // Resolve gave up on it
			return unwritable(v.Any())
		}
		return w.walk(v.Any(), m, depth+1)
	case slog.KindGroup:
		out := map[string]any{}
		for _, a := range v.Group() {
			out[w.r.text(a.Key)] = w.logValue(a.Value.Resolve(), max(m, w.r.markOf(a.Key)), depth+1)
			if w.left < 0 || depth > maxDepth {
				break
			}
		}
		return out
	}
	w.left--
	return w.r.value(v, m, depth).Any()
}

// kind writes a value without methods that say how.
func (w *walker) kind(v reflect.Value, m mark, depth int) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return w.walk(v.Elem().Interface(), m, depth+1)
	case reflect.String:
		return w.r.marked(v.String(), m)
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		if m == personal {
			return w.r.hash(fmt.Sprint(v.Interface()))
		}
		return v.Interface()
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return w.bytes(v, m)
		}
		out := []any{}
		for i := 0; i < v.Len() && w.left > 0; i++ {
			out = append(out, w.walk(v.Index(i).Interface(), m, depth+1))
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for it := v.MapRange(); it.Next() && w.left > 0; {
			key := safely(func() string { return fmt.Sprint(it.Key().Interface()) })
			out[w.r.text(key)] = w.walk(it.Value().Interface(), max(m, w.r.markOf(key)), depth+1)
		}
		return out
	case reflect.Struct:
		return w.fields(v, m, depth)
	}
	return unwritable(v.Interface()) // functions, channels, complex numbers
}

// fields writes the exported fields of a struct under their names in JSON. Either name
// can mark the value.
func (w *walker) fields(v reflect.Value, m mark, depth int) any {
	out := map[string]any{}
	for i := 0; i < v.NumField() && w.left > 0; i++ {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			name = f.Name
		}
		out[name] = w.walk(v.Field(i).Interface(), max(m, w.r.markOf(f.Name), w.r.markOf(name)), depth+1)
	}
	return out
}

// bytes writes bytes that are text as text, and says only the length of others.
func (w *walker) bytes(v reflect.Value, m mark) any {
	b := make([]byte, v.Len())
	for i := range b {
		b[i] = byte(v.Index(i).Uint())
	}
	if !utf8.Valid(b) {
		return fmt.Sprintf("[%d bytes]", len(b))
	}
	return w.r.marked(string(b), m)
}

// parsed reads back what a value writes as JSON.
func parsed(v json.Marshaler) (out any, ok bool) {
	text := safely(func() string {
		b, err := v.MarshalJSON()
		if err != nil {
			return ""
		}
		return string(b)
	})
	return out, json.Unmarshal([]byte(text), &out) == nil
}

func unwritable(v any) string { return fmt.Sprintf("[%T]", v) }

// safely calls a method of a logged value. A panic there, as of a nil pointer, must
// not end the request that only wanted to log.
func safely(text func() string) (s string) {
	defer func() {
		if recover() != nil {
			s = "[panic]"
		}
	}()
	return text()
}
