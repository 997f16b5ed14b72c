// Package table prints tables of results: aligned text for a terminal, Markdown for a
// document. It knows cells, not figures. It fails only where the writer does.
package table

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is a caption, a line of heads and lines of as many cells.
type Table struct {
	Caption string
	Head    []string
	Body    [][]string
	Left    int // leading columns that hold names, at least 1; numbers follow
}

// Text prints names aligned to the left and numbers to the right.
func (t *Table) Text(w io.Writer) error {
	widths := make([]int, len(t.Head))
	for _, line := range t.lines() {
		for c, cell := range line {
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, t.Caption)
	for _, line := range t.lines() {
		var b strings.Builder
		for c, cell := range line {
			pad := strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell))
			if c > 0 {
				b.WriteString("  ")
			}
			if c < max(t.Left, 1) {
				b.WriteString(cell + pad)
			} else {
				b.WriteString(pad + cell)
			}
		}
		fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
	}
	return out.Flush()
}

// Markdown prints the caption and a Markdown table.
func (t *Table) Markdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s\n\n", t.Caption)
	left := max(t.Left, 1)
	for i, line := range t.lines() {
		for _, cell := range line {
			fmt.Fprintf(out, "| %s ", strings.ReplaceAll(cell, "|", `\|`))
		}
		fmt.Fprintln(out, "|")
		if i == 0 {
			fmt.Fprintln(out, strings.Repeat("|---", left)+strings.Repeat("|---:", len(t.Head)-left)+"|")
		}
	}
	return out.Flush()
}

func (t *Table) lines() [][]string { return slices.Insert(slices.Clone(t.Body), 0, t.Head) }
