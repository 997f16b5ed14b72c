package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/run"
)

const (
	maxMetrics = 256 << 20 // bytes of metrics.jsonl: a million evaluations
	maxRecipe  = 64 << 10  // bytes of recipe.yaml shown
)

// loaded is what one run folder holds for the page. Texts ending in Note are
// sentences for what is missing.
type loaded struct {
	dir   string
	label string // unique on the page
	meta  run.Meta
	done  bool

	recipe, recipeNote string
	records            []run.Record
	recordsNote        string
	results            map[string]*eval.Result // by split
	resultNotes        map[string]string       // by split, for the others
	split              string                  // of tally
	tally              *tally                  // nil if there are no predictions
	tallyNote          string
}

// load reads a run. Only a cancelled context is an error.
func load(ctx context.Context, r *run.Run, split string) (*loaded, error) {
	l := &loaded{dir: r.Dir(), meta: r.Meta(), done: r.IsDone(), results: map[string]*eval.Result{}, resultNotes: map[string]string{}}
	l.readRecipe(r)
	l.readRecords(r)
	for _, s := range []string{Test, Validation} {
		l.readResult(r, s)
	}
	l.split = split
	if split == "" {
		l.split = Test
		if !exists(r.Path(predictionsFile(Test))) && exists(r.Path(predictionsFile(Validation))) {
			l.split = Validation
		}
	}
	path := r.Path(predictionsFile(l.split))
	if !exists(path) {
		l.tallyNote = fmt.Sprintf("There are no predictions of the %s split yet. To draw this, run: %s", l.split, l.evalCommand(l.split))
		return l, nil
	}
	t, err := readTally(ctx, path)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		l.tallyNote = fmt.Sprintf("The predictions cannot be drawn: %v. To write them again, run: %s", err, l.evalCommand(l.split))
	case t.n == 0:
		l.tallyNote = fmt.Sprintf("%s has no lines. To write it again, run: %s", filepath.Base(path), l.evalCommand(l.split))
	default:
		l.tally = t
	}
	return l, nil
}

// evalCommand is what the person at the keyboard runs to get results of a split.
func (l *loaded) evalCommand(split string) string {
	return commandLine([]string{"whereto", "eval", l.dir, "--split", split})
}

func predictionsFile(split string) string { return "predictions-" + split + ".jsonl" }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (l *loaded) readRecipe(r *run.Run) {
	text, err := r.ReadFile(run.RecipeFile)
	switch {
	case err != nil:
		l.recipeNote = fmt.Sprintf("The recipe cannot be shown: %v.", err)
	case len(text) > maxRecipe:
		l.recipeNote = fmt.Sprintf("The recipe has %d bytes, at most %d are shown; read %s.", len(text), maxRecipe, r.Path(run.RecipeFile))
	default:
		l.recipe = string(text)
	}
}

func (l *loaded) readRecords(r *run.Run) {
	path := r.Path(run.MetricsFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.recordsNote = "There is no " + run.MetricsFile + " in the run folder: training has not written a line yet."
		return
	case err != nil:
		l.recordsNote = fmt.Sprintf("The record of training cannot be read: %v.", err)
		return
	case info.Size() > maxMetrics:
		l.recordsNote = fmt.Sprintf("%s has %d bytes, at most %d are read; remove old lines.", path, info.Size(), maxMetrics)
		return
	}
	if l.records, err = r.ReadMetrics(); err != nil {
		l.records, l.recordsNote = nil, fmt.Sprintf("The record of training cannot be read: %v.", err)
	}
}

func (l *loaded) readResult(r *run.Run, split string) {
	name := "eval-" + split + ".json"
	again := "To write its result, run: " + l.evalCommand(split)
	if !exists(r.Path(name)) {
		l.resultNotes[split] = fmt.Sprintf("The %s split has not been evaluated. %s", split, again)
		return
	}
	text, err := r.ReadFile(name)
	var res eval.Result
	if err == nil {
		err = json.Unmarshal(text, &res)
	}
	if err == nil && res.Split != split {
		err = fmt.Errorf("it says split %q", res.Split)
	}
	if err == nil && res.N <= 0 {
		err = fmt.Errorf("it says n is %d", res.N)
	}
	if err != nil {
		l.resultNotes[split] = fmt.Sprintf("%s cannot be read: %v. %s", name, err, again)
		return
	}
	l.results[split] = &res
}

// nameRuns gives every run a label: its name, with the folder where two share it.
func nameRuns(runs []*loaded) {
	count := map[string]int{}
	for _, l := range runs {
		l.label = l.meta.Name
		if l.label == "" {
			l.label = filepath.Base(l.dir)
		}
		count[l.label]++
	}
	for _, l := range runs {
		if count[l.label] > 1 {
			l.label = fmt.Sprintf("%s (%s)", l.label, l.dir)
		}
	}
}
