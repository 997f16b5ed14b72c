package recipe

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decode reads YAML into a struct, refusing keys that it does not have.
func decode(data []byte, into any) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%w: %w", ErrRecipe, err)
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
	if !ok || path == "" {
		return fmt.Errorf("%w: --set %q, want path.to.key=value", ErrRecipe, assignment)
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
	if t.Kind() != reflect.Struct || implementsText(t) {
		return nil
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
	best, distance := "", len(key.Value)
	for _, n := range names {
		if d := edits(key.Value, n); d < distance || best == "" {
			best, distance = n, d
		}
	}
	return fmt.Errorf("%w: line %d: unknown key %q in %s; nearest is %q (all: %s)", ErrRecipe, key.Line, key.Value, orRoot(path), best, strings.Join(names, ", "))
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

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
