// Package report turns finished or running runs into one self-contained HTML
// page: facts, result tables, charts and a map of errors.
//
// Words. A run is a folder as package run keeps it. A figure is one chart with
// its numbers as a table below it; a note is the sentence that stands where a
// figure or table would, when a file for it is absent or broken. A tally is
// what is kept of a file of predictions: bins, never rows.
//
// Promises. The page asks the network for nothing, not even a font, and its
// content security policy says so. It reads without JavaScript; a small script
// adds quicker tooltips. Every text of a run is escaped. Charts are drawn as
// SVG by templates of our own and not by a plotting library, because then text,
// colours and sizes follow the page: light and dark mode, phone and screen,
// tooltips and tables for those who do not see the picture. Files of
// predictions are streamed; memory does not grow with them. Results of
// different data, protocol or split never share a table or a chart.
//
// Failure. A folder that is no run is an error, as is a page that cannot be
// written; the old page stays then. Anything else that is missing or broken
// becomes a note on the page that says what is wrong and what to do.
package report

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/sheet"
)

// MaxRuns is the most runs on one page: beyond it the colours of lines repeat
// too often to be told apart.
const MaxRuns = 24

// ErrInput is returned for an impossible request: no runs, too many, or an
// unknown split. A folder that is no run gives the errors of package run.
var ErrInput = errors.New("report input")

// Splits that Options may name.
const (
	Test       = "test"
	Validation = "validation"
)

// Options of a page. The zero value is good.
type Options struct {
	// Split whose predictions are drawn: Test, Validation, or "" for Test where
	// a run has it and Validation elsewhere. Tables show every split there is.
	Split string
	// Now is the time printed on the page; zero means the present.
	Now time.Time
}

//go:embed *.html
var files embed.FS

var pages = sheet.Parse(files)

// Write writes the page of the runs in the folders dirs to w.
func Write(ctx context.Context, w io.Writer, dirs []string, opt Options) error {
	p, err := build(ctx, dirs, opt)
	if err != nil {
		return err
	}
	if err := pages.ExecuteTemplate(w, "page.html", p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// WriteFile is Write to a file, which appears whole or not at all.
func WriteFile(ctx context.Context, path string, dirs []string, opt Options) error {
	p, err := build(ctx, dirs, opt) // before the file: bad input should touch nothing
	if err != nil {
		return err
	}
	err = file.Write(path, func(w io.Writer) error {
		return pages.ExecuteTemplate(w, "page.html", p)
	})
	if err != nil {
		return fmt.Errorf("report: %w; choose another place with --out", err)
	}
	return nil
}

// DefaultPath is where the page of these runs goes when nobody says where: into
// the folder of a single run, else into the present folder.
func DefaultPath(dirs []string) string {
	if len(dirs) == 1 {
		return filepath.Join(dirs[0], "report.html")
	}
	return "report.html"
}

// build reads the runs and lays out the page.
func build(ctx context.Context, dirs []string, opt Options) (*page, error) {
	switch {
	case len(dirs) == 0:
		return nil, fmt.Errorf("report: %w: no run folder given", ErrInput)
	case len(dirs) > MaxRuns:
		return nil, fmt.Errorf("report of %d runs: %w: at most %d fit one page; make several", len(dirs), ErrInput, MaxRuns)
	case opt.Split != "" && opt.Split != Test && opt.Split != Validation:
		return nil, fmt.Errorf("report: %w: split is %q, want %s or %s", ErrInput, opt.Split, Test, Validation)
	}
	if opt.Now.IsZero() {
		opt.Now = time.Now()
	}
	seen := map[string]string{}
	for _, dir := range dirs {
		key := dir
		if abs, err := filepath.Abs(dir); err == nil {
			key = abs
		}
		if _, twice := seen[key]; twice {
			return nil, fmt.Errorf("report: %w: run folder %s is given twice", ErrInput, dir)
		}
		seen[key] = dir
	}
	var runs []*loaded
	for _, dir := range dirs {
		r, err := run.Open(dir)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		l, err := load(ctx, r, opt.Split)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("report of %s: %w", dir, err)
		}
		runs = append(runs, l)
	}
	nameRuns(runs)
	return layOut(runs, opt.Now), nil
}
