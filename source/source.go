// Package source turns log files into poi.Actions and writes actions back; and
// the files that go with a log: impressions, places with their details, profiles.
//
// Words: a file is read in one Format; every line that should hold an event is
// a row; a row becomes either one action (good) or one reject (bad). A reject
// names file, line, column, field and reason and goes to Options.Reject; it
// never stops the run unless there are more of them than Options.MaxBadRows. A
// row of a file of impressions is one shown POI.
//
// Promises:
//   - Reading streams. What it keeps does not grow with a file: one line, one
//     impression, a bounded table of repeated strings and a bounded window of
//     row hashes.
//   - An action that Read yields passes Check: ids are not empty, texts are valid
//     UTF-8 without control characters, coordinates and times are in range.
//     WriteActions refuses anything else, so whatever was read can be written and
//     read again without loss. The same holds for the other files.
//   - Rows = Good + Bad in every Report.
//
// How it fails: a file that cannot be opened, is not of its format at all (wrong
// header, not gzip, not Parquet) or has too many bad rows ends Read with an
// error that wraps poi.ErrBadInput or the cause; no good row at all is
// poi.ErrEmpty. The Report is valid in either case. Doubts that are not
// certainties (times out of order, duplicates, a wrong time zone) are Warnings.
//
// The native schemas are described in docs/format: actions.md, impressions.md and
// places.md.
package source

import (
	"fmt"
	"io"
	"strings"
	"time"
	_ "time/tzdata" // Options.Zone must work where the system has no zone files

	"github.com/whereto/whereto/poi"
)

// Format names the layout of a log file.
type Format string

// The formats Read understands. Every text format may be gzip-compressed.
const (
	// TSMC is the Foursquare release of Yang et al. (IEEE TSMC 2015): 8 TAB
	// columns, UTF-8, or ISO-8859-1 line by line where a line is not UTF-8.
	TSMC Format = "tsmc"
	// TSMCCSV is the edition of the same data as CSV with a header.
	TSMCCSV Format = "tsmc-csv"
	// GETNext is the CSV of GETNext (Yang et al., SIGIR 2022), also used for the
	// Gowalla-CA set: times are UTC, categories are printed Python objects.
	GETNext Format = "getnext"
	// Gowalla is the SNAP release (Cho et al., KDD 2011): 5 TAB columns.
	Gowalla Format = "gowalla"
	// Actions is the native schema as CSV, TSV, JSONL or Parquet, told by the
	// file's extension.
	Actions Format = "actions"
)

// Formats lists every format in the order help texts show them.
func Formats() []Format { return []Format{TSMC, TSMCCSV, GETNext, Gowalla, Actions} }

// ParseFormat returns the format of that name; the error of an unknown name
// lists all formats and suggests the nearest.
func ParseFormat(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if name == string(f) {
			return f, nil
		}
		names = append(names, string(f))
	}
	return "", fmt.Errorf("source: unknown format %q, did you mean %q? Formats: %s: %w",
		name, Nearest(name, names), strings.Join(names, ", "), poi.ErrBadInput)
}

// Unlimited as Options.MaxBadRows lets any number of rows be bad.
const Unlimited = -1

// Options says how to read. The zero value is not usable: Format is required.
type Options struct {
	Format Format
	// Zone is the IANA time zone ("America/Los_Angeles") of rows that do not tell
	// their own offset from UTC. Empty means the nautical zone of the POI's
	// longitude: round(lng/15) whole hours, without daylight saving. Daily
	// rhythms come out right to about an hour; set Zone where that matters.
	Zone string
	// MaxBadRows is how many rejects are tolerated: 0 stops at the first,
	// Unlimited never stops.
	MaxBadRows int
	// Reject receives one JSON object a line (type Reject) for each bad row; nil
	// drops them (they are still counted).
	Reject io.Writer
	Limits Limits
}

// Limits bounds what is accepted. Zero fields take the documented default.
type Limits struct {
	LineBytes int       // longest line in bytes; default 1 MiB
	MinTime   time.Time // earliest time accepted; default 2000-01-01 UTC
	MaxTime   time.Time // first time not accepted; default 2100-01-01 UTC
}

// Defaults of Limits.
const defaultLineBytes = 1 << 20

var (
	defaultMinTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	defaultMaxTime = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

func (l Limits) withDefaults() (Limits, error) {
	if l.LineBytes == 0 {
		l.LineBytes = defaultLineBytes
	}
	if l.MinTime.IsZero() {
		l.MinTime = defaultMinTime
	}
	if l.MaxTime.IsZero() {
		l.MaxTime = defaultMaxTime
	}
	if l.LineBytes < 0 || !l.MinTime.Before(l.MaxTime) {
		return l, fmt.Errorf("source: Limits LineBytes %d, MinTime %s, MaxTime %s: LineBytes must be positive and MinTime before MaxTime: %w",
			l.LineBytes, l.MinTime.Format(time.RFC3339), l.MaxTime.Format(time.RFC3339), poi.ErrBadInput)
	}
	return l, nil
}

// Report tells what a Read did.
type Report struct {
	Files    int // files read to their end (or to their cut)
	Rows     int // Good + Bad; headers and blank lines are no rows
	Good     int
	Bad      int
	ByReason map[string]int // rejects by Reject.Reason; nil if none
	Warnings []string       // doubts about a whole file, each a sentence naming it
	// TimeMin and TimeMax span the good rows, UTC; zero if there are none.
	TimeMin, TimeMax time.Time
}

// Nearest returns the candidate with the smallest edit distance to name, the
// first of equals.
func Nearest(name string, candidates []string) string {
	best, bestDist := "", -1
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(name), c); bestDist < 0 || d < bestDist {
			best, bestDist = c, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
