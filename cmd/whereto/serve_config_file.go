package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/source"
)

// maxSettings bounds a file of settings.
const maxSettings = 64 << 10

// fromFile puts the settings of a file into the flags.
func (s *serving) fromFile(path string) (bad faults) {
	text, err := readBounded(path, maxSettings)
	if err != nil {
		bad.add("settings", "%w", err)
		return bad
	}
	var doc, more yaml.Node
	reader := yaml.NewDecoder(bytes.NewReader(text))
	if err := reader.Decode(&doc); errors.Is(err, io.EOF) {
		return nil // nothing but comments
	} else if err != nil {
		bad.add(path, "%w; want lines such as drain-delay: 5s", err)
		return bad
	}
	if err := reader.Decode(&more); !errors.Is(err, io.EOF) {
		bad.add(path, "more than one YAML document; remove what follows the first ---")
		return bad
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		bad.add(placeOf(path, root), "want settings, a line each, such as drain-delay: 5s")
		return bad
	}
	first := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if line, twice := first[key.Value]; twice {
			bad.add(placeOf(path, key), "%s stands in line %d already; keep one", shown(key.Value), line)
			continue
		}
		first[key.Value] = key.Line
		f := s.flags.Lookup(key.Value)
		if key.Kind != yaml.ScalarNode || f == nil || !isSetting(f) {
			bad.add(placeOf(path, key), "%s", noSetting(s.flags, key, value))
			continue
		}
		at := placeOf(path, value)
		s.from[f.Name] = provenance{layer: byFile, where: at, line: key.Line}
		v, err := read(f, value)
		if err == nil {
			err = v.put(f)
		}
		if err != nil {
			bad.add(at, "%s: %w", f.Name, err)
		}
	}
	return bad
}

// placeOf names a place as compilers do, so that editors find it.
func placeOf(path string, n *yaml.Node) string {
	return fmt.Sprintf("%s:%d:%d", path, n.Line, n.Column)
}

// noSetting says of a key that is none what was probably meant.
func noSetting(flags *pflag.FlagSet, key, value *yaml.Node) string {
	text := fmt.Sprintf("there is no setting %q", shown(key.Value))
	switch {
	case key.Kind != yaml.ScalarNode:
		return "a name is one word; want lines such as drain-delay: 5s"
	case key.Value == "<<":
		return text + ": YAML's merge keys are not read; write the settings out"
	}
	// As a variable of the environment, or in the manner of other programs.
	name := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(key.Value), strings.ToLower(envPrefix)), "_", "-")
	switch name {
	case "api-keys", "api-key", "admin-token":
		return fmt.Sprintf("%s: secrets have no place here; set %s or %s in the environment, or name a file of hashed keys with keys", text, tokenVariable, keysVariable)
	case "config":
		return text + ": a file of settings names no other"
	case "run", "runs", "bundle", "bundles", "model":
		return text + ": runs and bundles are named on the command line, a shelf of bundles with models"
	}
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if isSetting(f) {
			names = append(names, f.Name)
		}
	})
	if value.Kind == yaml.MappingNode {
		for i := 0; i < len(value.Content); i += 2 {
			if flat := name + "-" + value.Content[i].Value; slices.Contains(names, flat) {
				return fmt.Sprintf("%s; settings are not nested: write %s: ...", text, flat)
			}
		}
	}
	return fmt.Sprintf("%s; did you mean %s? `whereto config print` lists all", text, source.Nearest(name, names))
}

// read takes the value of a flag from YAML. A value of another type is an error even
// where the flag could make something of its text: 5 for a time may be seconds or
// milliseconds, and a file should say which.
func read(f *pflag.Flag, n *yaml.Node) (setting, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.ShortTag() == "!!null" {
		return setting{}, errors.New("there is no value; give one or remove the line")
	}
	if _, list := f.Value.(pflag.SliceValue); list {
		if n.Kind != yaml.SequenceNode {
			return setting{}, fmt.Errorf("want a list, such as [%s]", shown(orWord(n, "a, b")))
		}
		var v setting
		for _, item := range n.Content {
			text, err := scalar("string", item)
			if err != nil {
				return setting{}, fmt.Errorf("item %d: %w", len(v.list)+1, err)
			}
			v.list = append(v.list, text)
		}
		return v, nil
	}
	text, err := scalar(f.Value.Type(), n)
	return setting{text: text}, err
}

// orWord is the text of a scalar, or a word for what has none.
func orWord(n *yaml.Node, word string) string {
	if n.Kind == yaml.ScalarNode && n.Value != "" {
		return n.Value
	}
	return word
}

// scalar takes one value of a type as pflag names it.
func scalar(kind string, n *yaml.Node) (string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return "", errors.New("want one value, not a list or a section; settings are not nested")
	}
	tag, text := n.ShortTag(), shown(n.Value)
	switch {
	case kind == "bool":
		if tag != "!!bool" {
			return "", fmt.Errorf("%q, want true or false, without quotes", text)
		}
		return strconv.FormatBool(strings.EqualFold(n.Value, "true")), nil
	case strings.HasPrefix(kind, "int"):
		var x int64
		if err := n.Decode(&x); tag != "!!int" || err != nil {
			return "", fmt.Errorf("%q, want a whole number, without unit and quotes", text)
		}
		return strconv.FormatInt(x, 10), nil
	case strings.HasPrefix(kind, "float"):
		var x float64
		if err := n.Decode(&x); tag != "!!int" && tag != "!!float" || err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return "", fmt.Errorf("%q, want a number, without unit and quotes", text)
		}
		return strconv.FormatFloat(x, 'g', -1, 64), nil
	case kind == "duration":
		if tag == "!!int" && n.Value != "0" || tag == "!!float" {
			return "", fmt.Errorf("%s has no unit; write %[1]sms, %[1]ss or %[1]sm", text)
		}
		if _, err := time.ParseDuration(n.Value); err != nil {
			return "", fmt.Errorf("%q, want a time with its unit (ms, s, m or h), such as 500ms, 5s or 1m30s", text)
		}
		return n.Value, nil
	}
	if tag != "!!str" {
		return "", fmt.Errorf("%s is no text; if it is meant so, write \"%[1]s\"", text)
	}
	if strings.ContainsFunc(n.Value, func(c rune) bool { return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' }) {
		return "", fmt.Errorf("%q, want text in one line", text)
	}
	return n.Value, nil
}
