package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Schema is the part of JSON Schema that answers here need, so that it can be both
// sent to a server and checked by us. It marshals to JSON Schema. Objects allow no
// property beyond Properties, and every property is required.
type Schema struct {
	Type        string             // "object", "array", "string", "integer", "number" or "boolean"
	Description string             // for the model
	Properties  map[string]*Schema // of an object
	Items       *Schema            // of an array
	MinItems    int                // of an array
	MaxItems    int                // of an array; 0: maxList
	MaxLength   int                // characters of a string; 0: maxText
	Enum        []string           // allowed values of a string
	Min, Max    *float64           // of a number; nil: no bound
}

// Bounds of schemas and answers.
const (
	maxList  = 10_000
	maxDepth = 16
)

// Between returns the bounds of a number, for Min and Max.
func Between(low, high float64) (least, most *float64) { return &low, &high }

// Validate returns ErrInput for a schema that no answer could fit or that does not
// make sense.
func (s *Schema) Validate() error { return s.validate("answer", 0) }

func (s *Schema) validate(path string, depth int) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: schema of %s: %s", ErrInput, path, fmt.Sprintf(format, args...))
	}
	if s == nil || depth > maxDepth {
		return bad("missing, or deeper than %d levels", maxDepth)
	}
	if !slices.Contains([]string{"object", "array", "string", "integer", "number", "boolean"}, s.Type) {
		return bad("type %q is not supported", s.Type)
	}
	if (s.Type == "object") != (len(s.Properties) > 0) || (s.Type == "array") != (s.Items != nil) {
		return bad("properties belong to objects and items to arrays, and they need them")
	}
	if s.MinItems < 0 || s.MinItems > maxList || s.MaxItems < 0 || s.MaxItems > maxList || (s.MaxItems > 0 && s.MinItems > s.MaxItems) || s.MaxLength < 0 {
		return bad("bounds [%d, %d] of items or %d of length make no sense", s.MinItems, s.MaxItems, s.MaxLength)
	}
	if s.Min != nil && s.Max != nil && !(*s.Min <= *s.Max) {
		return bad("minimum %v above maximum %v", *s.Min, *s.Max)
	}
	if s.Items != nil {
		return s.Items.validate(path+"[]", depth+1)
	}
	for name, p := range s.Properties {
		if err := p.validate(path+"."+name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON writes JSON Schema; equal schemas give equal bytes.
func (s *Schema) MarshalJSON() ([]byte, error) {
	m := map[string]any{"type": s.Type}
	if s.Description != "" {
		m["description"] = s.Description
	}
	switch s.Type {
	case "object":
		names := make([]string, 0, len(s.Properties))
		for name := range s.Properties {
			names = append(names, name)
		}
		slices.Sort(names)
		m["properties"], m["required"], m["additionalProperties"] = s.Properties, names, false
	case "array":
		m["items"] = s.Items
		if s.MinItems > 0 {
			m["minItems"] = s.MinItems
		}
		if s.MaxItems > 0 {
			m["maxItems"] = s.MaxItems
		}
	case "string":
		if len(s.Enum) > 0 {
			m["enum"] = s.Enum
		}
		if s.MaxLength > 0 {
			m["maxLength"] = s.MaxLength
		}
	case "integer", "number":
		if s.Min != nil {
			m["minimum"] = *s.Min
		}
		if s.Max != nil {
			m["maximum"] = *s.Max
		}
	}
	return json.Marshal(m)
}

// Check returns an error that names the first place where a JSON text does not fit.
func (s *Schema) Check(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the JSON value")
	}
	return s.check("answer", v)
}

func (s *Schema) check(path string, v any) error {
	switch s.Type {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not an object", path)
		}
		for name, p := range s.Properties {
			x, ok := m[name]
			if !ok {
				return fmt.Errorf("%s has no %q", path, name)
			}
			if err := p.check(path+"."+name, x); err != nil {
				return err
			}
		}
		if len(m) > len(s.Properties) {
			return fmt.Errorf("%s has properties beyond its schema", path)
		}
		return nil
	case "array":
		list, ok := v.([]any)
		most := s.MaxItems
		if most == 0 {
			most = maxList
		}
		if !ok || len(list) < s.MinItems || len(list) > most {
			return fmt.Errorf("%s is not a list of %d to %d items", path, s.MinItems, most)
		}
		for i, x := range list {
			if err := s.Items.check(fmt.Sprintf("%s[%d]", path, i), x); err != nil {
				return err
			}
		}
		return nil
	}
	return s.checkScalar(path, v)
}

func (s *Schema) checkScalar(path string, v any) error {
	switch s.Type {
	case "string":
		t, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s is not a string", path)
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, t) {
			return fmt.Errorf("%s is not one of %s", path, strings.Join(s.Enum, ", "))
		}
		if s.MaxLength > 0 && utf8.RuneCountInString(t) > s.MaxLength {
			return fmt.Errorf("%s is longer than %d characters", path, s.MaxLength)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return fmt.Errorf("%s is not true or false", path)
		}
	default:
		n, ok := v.(json.Number)
		if !ok {
			return fmt.Errorf("%s is not a number", path)
		}
		x, err := n.Float64()
		if err != nil || (s.Type == "integer" && x != float64(int64(x))) {
			return fmt.Errorf("%s = %s is not a number of type %s", path, n, s.Type)
		}
		if (s.Min != nil && x < *s.Min) || (s.Max != nil && x > *s.Max) {
			return fmt.Errorf("%s = %s is outside its bounds", path, n)
		}
	}
	return nil
}
