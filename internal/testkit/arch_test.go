package testkit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
)

const (
	modulePath   = "github.com/whereto/whereto"
	archDoc      = "docs/ARCHITECTURE.md"
	archMaxLines = 150
)

// Words of the table that stand for a set of packages.
const (
	anyPackage   = "everything"
	configOwners = "every package that owns a Config"
)

// archRow is one line of the table: the packages it names may import these.
type archRow struct {
	names   []string
	imports []string
	words   string // the third cell, for the wildcards
}

// goPackage is what the source of one package folder says. Files of every build
// tag count, so that an import only one engine needs cannot hide.
type goPackage struct {
	imports   map[string]string // of ours, relative to the module -> a file that has it
	hasDoc    bool
	hasConfig bool // declares an exported type named ...Config
}

var backticked = regexp.MustCompile("`([^`]+)`")

// parseArchTable reads the rows "| `pkg` | idea | `a` `b` |" of the document.
func parseArchTable(doc string) []archRow {
	var rows []archRow
	for line := range strings.Lines(doc) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		row := archRow{words: strings.TrimSpace(cells[3])}
		for _, m := range backticked.FindAllStringSubmatch(cells[1], -1) {
			row.names = append(row.names, m[1])
		}
		for _, m := range backticked.FindAllStringSubmatch(cells[3], -1) {
			row.imports = append(row.imports, m[1])
		}
		rows = append(rows, row)
	}
	return rows
}

// archViolations compares rows with packages and says, in words, what differs.
// A row whose folder does not exist is not a difference: the table may be ahead
// of the code, never behind it.
func archViolations(rows []archRow, packages map[string]goPackage) []string {
	var bad []string
	byName := map[string]archRow{}
	for _, row := range rows {
		for _, name := range row.names {
			if _, twice := byName[name]; twice {
				bad = append(bad, "package "+name+" has two rows in "+archDoc)
			}
			byName[name] = row
		}
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		row, listed := byName[name]
		if !listed {
			bad = append(bad, "package "+name+" has no row in "+archDoc+"; add one that says what it may import")
			continue
		}
		pkg := packages[name]
		for _, imported := range slices.Sorted(maps.Keys(pkg.imports)) {
			if !mayImport(row, imported, packages) {
				bad = append(bad, pkg.imports[imported]+" imports "+imported+
					", which the row of "+name+" in "+archDoc+" does not name")
			}
		}
	}
	return bad
}

// mayImport reports whether the row allows the import. The Config wildcard
// includes poi, whose sentinel errors every package wraps.
func mayImport(row archRow, imported string, packages map[string]goPackage) bool {
	switch {
	case slices.Contains(row.imports, imported), strings.Contains(row.words, anyPackage):
		return true
	case strings.Contains(row.words, configOwners):
		return imported == "poi" || packages[imported].hasConfig
	}
	return false
}

// readPackages parses every non-test Go file below root, skipping nested
// modules and folders the go command skips too.
func readPackages(t *testing.T, root string) map[string]goPackage {
	t.Helper()
	packages := map[string]goPackage{}
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() {
			_, noModule := os.Stat(filepath.Join(file, "go.mod"))
			hidden := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
			if file != root && (noModule == nil || hidden || slices.Contains([]string{"testdata", "vendor", "node_modules"}, name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") ||
			strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		pkg := packages[path.Dir(rel)]
		pkg.add(rel, parsed)
		packages[path.Dir(rel)] = pkg
		return nil
	})
	if err != nil {
		t.Fatalf("read the packages of the module: %v", err)
	}
	return packages
}

// add merges one file into the package.
func (p *goPackage) add(file string, parsed *ast.File) {
	if p.imports == nil {
		p.imports = map[string]string{}
	}
	p.hasDoc = p.hasDoc || strings.TrimSpace(parsed.Doc.Text()) != ""
	for _, spec := range parsed.Imports {
		full, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has checked it
		}
		if ours, ok := strings.CutPrefix(full, modulePath+"/"); ok {
			p.imports[ours] = file
		}
	}
	for _, decl := range parsed.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.TYPE {
			continue
		}
		for _, spec := range group.Specs {
			if name := spec.(*ast.TypeSpec).Name; name.IsExported() && strings.HasSuffix(name.Name, "Config") {
				p.hasConfig = true
			}
		}
	}
}

func readArchDoc(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(testkit.ModuleRoot(t), filepath.FromSlash(archDoc)))
	if err != nil {
		t.Fatalf("read %s: %v", archDoc, err)
	}
	return string(doc)
}

func TestImportsMatchTable(t *testing.T) {
	rows, packages := parseArchTable(readArchDoc(t)), readPackages(t, testkit.ModuleRoot(t))
	if len(rows) < 10 || len(packages) < 2 {
		t.Fatalf("found %d rows and %d packages; the table or the walk is broken", len(rows), len(packages))
	}
	for _, bad := range archViolations(rows, packages) {
		t.Error(bad)
	}
	for _, row := range rows {
		for _, name := range row.names {
			if _, ok := packages[name]; !ok {
				t.Logf("row %s of %s has no package yet", name, archDoc)
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for name, pkg := range readPackages(t, testkit.ModuleRoot(t)) {
		if !pkg.hasDoc {
			t.Errorf("package %s has no package comment; say its vocabulary, its promises and how it fails", name)
		}
	}
}

func TestArchitectureIsShort(t *testing.T) {
	if lines := strings.Count(readArchDoc(t), "\n"); lines > archMaxLines {
		t.Errorf("%s has %d lines, want at most %d", archDoc, lines, archMaxLines)
	}
}

// The comparison itself is tested on small tables, so that it cannot pass by
// finding nothing.
func TestArchViolations(t *testing.T) {
	rows := parseArchTable("text\n| package | one idea | may import |\n|---|---|---|\n" +
		"| `a` | first | |\n| `b` | second | `a` |\n| `r` | tree | every package that owns a Config |\n" +
		"| `cmd/x` | main | everything |\n| `s` `w` | two | `a` |\n| `later` | not written | `a` |\n")
	if len(rows) != 6 {
		t.Fatalf("parsed %d rows, want 6: %+v", len(rows), rows)
	}
	uses := func(names ...string) goPackage {
		p := goPackage{imports: map[string]string{}}
		for _, n := range names {
			p.imports[n] = "file.go"
		}
		return p
	}
	owner := uses()
	owner.hasConfig = true
	tests := []struct {
		name     string
		packages map[string]goPackage
		want     int
	}{
		{"all allowed", map[string]goPackage{"a": owner, "b": uses("a"), "r": uses("a", "poi"), "cmd/x": uses("a", "b", "r"), "w": uses("a")}, 0},
		{"extra import", map[string]goPackage{"a": uses("b"), "b": uses()}, 1},
		{"no row", map[string]goPackage{"z": uses()}, 1},
		{"import of a package without Config", map[string]goPackage{"b": uses(), "r": uses("b")}, 1},
		{"two at once", map[string]goPackage{"a": uses("b", "r")}, 2},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if bad := archViolations(rows, tc.packages); len(bad) != tc.want {
				t.Errorf("%d violations, want %d: %v", len(bad), tc.want, bad)
			}
		})
	}
}
