// Package recipes carries the recipe files shipped with whereto, so that a
// binary alone can train them by name. A name is a file's name without ".yaml".
// The files are tested to parse; what a recipe reaches is in its head comment.
//
// Read fails with fs.ErrNotExist for a name that is not shipped.
package recipes

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// ext is the ending of recipe files.
const ext = ".yaml"

// Names lists the shipped recipes in alphabetical order.
func Names() []string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // the embedded folder is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ext)
	}
	slices.Sort(names) // "nyc" before "nyc-paper", which file names would reverse
	return names
}

// Read returns the text of a shipped recipe.
func Read(name string) ([]byte, error) {
	if strings.ContainsAny(name, `/\`) {
		return nil, fmt.Errorf("shipped recipe %q: %w; a name has no folders", name, fs.ErrNotExist)
	}
	text, err := files.ReadFile(name + ext)
	if err != nil {
		return nil, fmt.Errorf("shipped recipe %q: %w; there are: %s", name, fs.ErrNotExist, strings.Join(Names(), ", "))
	}
	return text, nil
}

// About returns the first line of a recipe's head comment, "" if there is none.
func About(text []byte) string {
	line, _, _ := strings.Cut(string(text), "\n")
	about, ok := strings.CutPrefix(line, "#")
	if !ok {
		return ""
	}
	return strings.TrimSpace(about)
}
