package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/source"
)

// decode reads YAML into a struct, refusing keys that it does not have.
func decode(data []byte, into any) error {
	var doc, more yaml.Node
	reader := yaml.NewDecoder(bytes.NewReader(data))
	if err := reader.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrRecipe, err)
	} else if err == nil && !errors.Is(reader.Decode(&more), io.EOF) {
		return fmt.Errorf("%w: line %d: more than one document; remove what follows the first", ErrRecipe, more.Line)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	if err := known(doc.Content[0], reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	if err := doc.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	return nil
}

// set applies one path.to.key=value; the value is YAML, so [a, b] is a list.
func set(into any, assignment string) error {
	path, value, ok := strings.Cut(assignment, "=")
	if !ok || path == "" || strings.ContainsAny(value, breaks) {
		return fmt.Errorf("%w: --set %q, want path.to.key=value in one line", ErrRecipe, assignment)
	}
	var b strings.Builder
	parts := strings.Split(path, ".")
	for i, p := range parts {
		fmt.Fprintf(&b, "%s%q:", strings.Repeat("  ", i), p)
		if i+1 < len(parts) {
			b.WriteString("\n")
		}
	}
	fmt.Fprintf(&b, " %s\n", value)
	if err := decode([]byte(b.String()), into); err != nil {
		return fmt.Errorf("--set %s: %w", assignment, err)
	}
	return nil
}

// known checks the keys of a node against a type, recursively.
func known(node *yaml.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice {
		for _, item := range node.Content {
			if err := known(item, t.Elem(), path+"[]"); err != nil {
				return err
			}
		}
		return nil
	}
	if node.Kind == yaml.MappingNode && t.Kind() == reflect.Map {
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if err := scalar(key, t.Key(), path); err != nil {
				return err
			}
			if err := known(node.Content[i+1], t.Elem(), join(path, key.Value)); err != nil {
				return err
			}
		}
		return nil
	}
	if t.Kind() != reflect.Struct || implementsText(t) {
		return scalar(node, t, path)
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("%w: line %d: %s must be a section with keys", ErrRecipe, node.Line, orRoot(path))
	}
	fields := fieldsOf(t)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		f, ok := fields[key.Value]
		if !ok {
			return unknown(key, path, fields)
		}
		if err := known(node.Content[i+1], f, join(path, key.Value)); err != nil {
			return err
		}
	}
	return nil
}

// breaks are the characters that YAML takes for the end of a line.
const breaks = "\r\n\u0085\u2028\u2029"

// scalar refuses what the YAML reader would take in silence: no value for the
// default, a fraction cut to a whole number, NaN and infinity, and text of several
// lines, which it does not always write so that it can read it again.
func scalar(node *yaml.Node, t reflect.Type, path string) error {
	if node.ShortTag() == "!!null" {
		return fmt.Errorf("%w: line %d: %s has no value; give one or remove the key", ErrRecipe, node.Line, path)
	}
	if strings.ContainsAny(node.Value, breaks) {
		return fmt.Errorf("%w: line %d: %s is %q, want text in one line", ErrRecipe, node.Line, path, node.Value)
	}
	if node.ShortTag() != "!!float" || t.Kind() == reflect.String {
		return nil
	}
	var x float64
	if err := node.Decode(&x); err != nil {
		return fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return fmt.Errorf("%w: line %d: %s is %s, want a finite number", ErrRecipe, node.Line, path, node.Value)
	case t.Kind() != reflect.Float64 && x != math.Trunc(x):
		return fmt.Errorf("%w: line %d: %s is %s, want a whole number", ErrRecipe, node.Line, path, node.Value)
	}
	return nil
}

// implementsText is true for structs that YAML reads from a scalar, like times.
func implementsText(t reflect.Type) bool {
	text := reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()
	return reflect.PointerTo(t).Implements(text)
}

// fieldsOf maps YAML names to types, inlined structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(rest, "inline"):
			for k, v := range fieldsOf(f.Type) {
				out[k] = v
			}
		case name == "":
			out[strings.ToLower(f.Name)] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}

func unknown(key *yaml.Node, path string, fields map[string]reflect.Type) error {
	names := make([]string, 0, len(fields))
	for n := range fields {
		names = append(names, n)
	}
	sort.Strings(names)
	return fmt.Errorf("%w: line %d: unknown key %q in %s; nearest is %q (all: %s)", ErrRecipe, key.Line, key.Value, orRoot(path), source.Nearest(key.Value, names), strings.Join(names, ", "))
}

func orRoot(path string) string {
	if path == "" {
		return "the recipe"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
