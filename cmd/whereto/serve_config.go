package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whereto/whereto/telemetry"
)

// The settings of a service are its flags, and the flags are the one place of their
// names, types and defaults. Each is set by the command line, else by the environment,
// else by the file of --config, else by its default. The file is flat: a key is a flag.
//
// No loader such as koanf or viper does this, because they read a file into a map, where
// the line of a mistake, a key that stands twice and the difference between 5 and "5s"
// are lost before anybody looks. What they would add to a reader that keeps the lines,
// serve_config_file.go, is the loop of layers below.

// envPrefix stands before the names of flags in the environment.
const envPrefix = "WHERETO_"

// Variables that hold secrets. No flag and no file takes them: a command line is seen
// by others, and a file of settings is shown around and kept under version control.
const (
	keysVariable  = envPrefix + "API_KEYS"
	tokenVariable = envPrefix + "ADMIN_TOKEN"
)

// variableOf is the name of a flag in the environment.
func variableOf(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// layer is what sets a setting; the higher wins.
type layer int

const (
	byDefault layer = iota
	byFile
	byEnvironment
	byFlag
)

// provenance is where the setting in force comes from.
type provenance struct {
	layer layer
	where string // as an error names it: serve.yaml:3:7, WHERETO_STORE or --store
	line  int    // of the file
}

// String is the provenance as `config print` tells it.
func (o provenance) String() string {
	switch o.layer {
	case byFile:
		return fmt.Sprintf("file, line %d", o.line)
	case byEnvironment:
		return "environment"
	case byFlag:
		return "flag"
	}
	return "default"
}

// setting is a value on its way to a flag: one text, or the items of a list.
type setting struct {
	text string
	list []string
}

// settingOf is the value of a flag.
func settingOf(f *pflag.Flag) setting {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return setting{list: slices.Clone(list.GetSlice())}
	}
	return setting{text: f.Value.String()}
}

// put gives a value to a flag. The items of a list stay as they are, commas included.
func (v setting) put(f *pflag.Flag) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(v.list)
	}
	return f.Value.Set(v.text)
}

func (v setting) equal(w setting) bool { return v.text == w.text && slices.Equal(v.list, w.list) }

// isSetting reports whether a flag is a setting: neither a question nor the file itself.
func isSetting(f *pflag.Flag) bool { return f.Name != "help" && f.Name != "config" }

// addresses are the flags whose value may hold a password. Each has a second flag, with
// -file behind, that names a file with the value, such as a mounted secret.
var addresses = []string{"store", "vectors"}

// bindFiles adds the second flags.
func bindFiles(f *pflag.FlagSet) {
	for _, name := range addresses {
		if f.Lookup(name) != nil {
			f.String(name+"-file", "", "`FILE` that holds the address of --"+name+", such as a mounted secret")
		}
	}
}

// newSettings is a service with flags of its own, not those of a command.
func newSettings() *serving {
	s := newServing()
	s.flags = pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.bind(s.flags)
	bindGlobals(s.flags)
	return s
}

// commandLine returns the flags that were given.
func commandLine(f *pflag.FlagSet) map[string]setting {
	given := map[string]setting{}
	f.Visit(func(f *pflag.Flag) { given[f.Name] = settingOf(f) })
	return given
}

// settle makes the settings of a command those in force, and checks them.
func (s *serving) settle(cmd *cobra.Command) error {
	s.flags, s.given = cmd.Flags(), commandLine(cmd.Flags())
	return asUsage(cmd, s.layer(os.LookupEnv))
}

// layer puts the file, the environment and the command line upon each other and checks
// what comes of it. All that is wrong is told at once.
func (s *serving) layer(environment func(string) (string, bool)) error {
	s.from = map[string]provenance{}
	var bad faults
	path := s.given["config"].text
	if variable, ok := environment(variableOf("config")); path == "" && ok {
		path = variable
	}
	if path != "" {
		bad = s.fromFile(path)
	}
	s.flags.VisitAll(func(f *pflag.Flag) {
		if value, given := s.given[f.Name]; given {
			s.from[f.Name] = provenance{layer: byFlag, where: "--" + f.Name}
			if err := value.put(f); err != nil {
				bad.add("--"+f.Name, "%w", err)
			}
			return
		}
		name := variableOf(f.Name)
		if text, ok := environment(name); ok && isSetting(f) {
			s.from[f.Name] = provenance{layer: byEnvironment, where: name}
			if err := f.Value.Set(text); err != nil {
				bad.add(name, "%q: %w", shown(text), err)
			}
		}
	})
	if len(bad) == 0 {
		bad = s.faults()
	}
	return bad.err()
}

// inFile returns the flag that names a file with the value of another, if that file is
// in force: where both are set, the higher layer counts.
func (s *serving) inFile(name string) (f *pflag.Flag, twice bool) {
	f = s.flags.Lookup(name + "-file")
	if f == nil || f.Value.String() == "" {
		return nil, false
	}
	own, file := s.from[name].layer, s.from[f.Name].layer
	if own > file {
		return nil, false
	}
	return f, own == file
}

// maxAddress bounds a file with an address.
const maxAddress = 4 << 10

// readAddresses takes the addresses that stand in files of their own. No error shows
// what a file holds.
func (s *serving) readAddresses() error {
	for _, name := range addresses {
		from, _ := s.inFile(name)
		if from == nil {
			continue
		}
		path := from.Value.String()
		text, err := readBounded(path, maxAddress)
		if err != nil {
			return fmt.Errorf("--%s: %w", from.Name, err)
		}
		address := strings.TrimSpace(string(text))
		if address == "" || strings.ContainsAny(address, "\r\n") || !utf8.ValidString(address) {
			return fmt.Errorf("--%s: %s holds no address; want one in one line, such as postgres://...", from.Name, path)
		}
		if err := s.flags.Lookup(name).Value.Set(address); err != nil {
			return fmt.Errorf("--%s: what %s holds does not fit --%s", from.Name, path, name)
		}
	}
	return nil
}

// readBounded reads a file of at most so many bytes.
func readBounded(path string, most int64) (text []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if text, err = io.ReadAll(io.LimitReader(f, most+1)); err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return text, nil
}

// shown is what somebody wrote, in short and without secrets: an address that landed
// under another name, say.
func shown(text string) string {
	const most = 80
	text = telemetry.Redact(text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// faults are what is wrong with settings.
type faults []error

// maxFaults bounds what one error tells.
const maxFaults = 20

func (b *faults) add(where, format string, args ...any) {
	*b = append(*b, fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...)))
}

func (b faults) err() error {
	if len(b) > maxFaults {
		return errors.Join(append(b[:maxFaults:maxFaults], fmt.Errorf("and %d more", len(b)-maxFaults))...)
	}
	return errors.Join(b...)
}
