package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/telemetry"
)

// print writes the settings in force as a file that --config takes, with where each
// comes from. A password is left out, and a file that lacks one is refused where it
// would count, so that a service never starts with half an address.
func (s *serving) print(w io.Writer) error {
	var out bytes.Buffer
	out.WriteString("# Settings of `whereto serve`, and where each comes from.\n")
	var failed error
	s.flags.VisitAll(func(f *pflag.Flag) {
		if !isSetting(f) {
			return
		}
		if from, _ := s.inFile(f.Name); from != nil {
			fmt.Fprintf(&out, "# %s: as the file of %s says\n", f.Name, from.Name)
			return
		}
		value := nodeOf(f)
		line, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: f.Name}, value}})
		failed = errors.Join(failed, err)
		comment := s.from[f.Name].String()
		if strings.Contains(value.Value, telemetry.Redacted) {
			comment += "; the password is left out: put it back, or set " + variableOf(f.Name)
		}
		fmt.Fprintf(&out, "%s # %s\n", bytes.TrimSpace(line), comment)
	})
	if failed != nil {
		return failed
	}
	_, err := w.Write(out.Bytes())
	return err
}

// nodeOf is the value of a flag as YAML.
func nodeOf(f *pflag.Flag) *yaml.Node {
	v := settingOf(f)
	if _, list := f.Value.(pflag.SliceValue); list {
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, item := range v.list {
			n.Content = append(n.Content, textNode(withoutSecret(item)))
		}
		return n
	}
	if kind := f.Value.Type(); kind == "bool" || strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "float") {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.text}
	}
	return textNode(withoutSecret(v.text))
}

// harmless is text that means nothing else in YAML, but for words such as true, which
// the writer puts in quotes itself.
var harmless = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/._:@+-]*$`)

// textNode is text, in one line and in quotes unless it is harmless.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if !harmless.MatchString(text) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// withoutSecret takes the password out of an address, and leaves one without a password
// as it is. An address that cannot be read for sure is left out whole.
func withoutSecret(text string) string {
	scheme, _, isURL := strings.Cut(text, "://")
	if !isURL {
		return telemetry.Redact(text)
	}
	u, err := url.Parse(text)
	if err != nil || strings.Contains(u.Host+u.Path+u.RawQuery+u.Fragment, "@") {
		return scheme + "://" + telemetry.Redacted // an @ there may end a password
	}
	query, err := url.QueryUnescape(u.RawQuery)
	hidden := err != nil || telemetry.Redact(query) != query
	name := ""
	if u.User != nil {
		name = url.User(u.User.Username()).String()
		if _, has := u.User.Password(); has {
			name += ":" + telemetry.Redacted
		}
		name += "@"
	}
	if !strings.Contains(name, telemetry.Redacted) && !hidden {
		return text
	}
	out := scheme + "://" + name + u.Host + u.EscapedPath()
	switch {
	case hidden:
		out += "?" + telemetry.Redacted
	case u.RawQuery != "":
		out += "?" + u.RawQuery
	}
	return out
}
