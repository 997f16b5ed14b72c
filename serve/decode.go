package serve

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// decode reads one JSON value and nothing after it. It is stricter than the standard
// library: a name that stands twice, an unknown name, a name in other case and text
// that is not UTF-8 are errors, because each of them is a mistake that would otherwise
// be answered with something else than was meant.
func decode(data []byte, v any) error {
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("byte %d%s: %w", syntax.ByteOffset+1, inside(syntax.JSONPointer), syntax.Err)
	}
	var meaning *json.SemanticError
	if !errors.As(err, &meaning) {
		return err
	}
	field := dotted(meaning.JSONPointer)
	switch {
	case errors.Is(meaning.Err, json.ErrUnknownName):
		name := meaning.JSONPointer.LastToken()
		return fmt.Errorf("%s: %s", cut(field, longestValue), unknown("field", name, jsonNames(meaning.GoType)))
	case meaning.Err != nil:
		return fmt.Errorf("%s: %w", field, meaning.Err)
	}
	return fmt.Errorf("%s: a JSON %s does not fit", field, meaning.JSONKind)
}

func inside(p jsontext.Pointer) string {
	if p == "" {
		return ""
	}
	return ", in " + cut(dotted(p), longestValue)
}

// dotted writes a JSON pointer as fields are named elsewhere: history[3].poi.
func dotted(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		switch _, err := strconv.Atoi(token); {
		case err == nil:
			b.WriteString("[" + token + "]")
		case b.Len() == 0:
			b.WriteString(token)
		default:
			b.WriteString("." + token)
		}
	}
	return b.String()
}

// jsonNames lists the names that a struct takes.
func jsonNames(t reflect.Type) (names []string) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, jsonNames(f.Type)...)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// fieldNames lists the names that the object around a field takes.
func fieldNames(schemas huma.Registry, op *huma.Operation, location string) (names []string) {
	if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return nil
	}
	at := op.RequestBody.Content["application/json"].Schema
	steps := strings.Split(location, ".")
	for i, step := range steps {
		name, index, _ := strings.Cut(step, "[")
		if at = resolved(schemas, at); at == nil {
			return nil
		}
		if i == len(steps)-1 {
			for name := range at.Properties {
				names = append(names, name)
			}
			return names
		}
		if i > 0 { // the first is the body itself
			at = at.Properties[name]
		}
		for range strings.Count(index, "]") {
			if at = resolved(schemas, at); at == nil {
				return nil
			}
			at = at.Items
		}
	}
	return nil
}

func resolved(schemas huma.Registry, s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// unknown says that a name is unknown, and which one may have been meant.
func unknown(what, name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("there is no such %s; did you mean %s?", what, near)
	}
	return "there is no such " + what
}

// nearest returns the name with the fewest changed letters, if those are at most half of
// it, rounded up, or nothing.
func nearest(name string, names []string) string {
	best, least := "", (len(name)+1)/2+1
	if len(name) > 64 {
		return ""
	}
	for _, n := range names {
		d := distance(strings.ToLower(name), strings.ToLower(n))
		if d < least || d == least && best != "" && n < best {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters must be added, removed, changed or swapped with their
// neighbour (optimal string alignment).
func distance(a, b string) int {
	var before, last []int // the two rows above
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
