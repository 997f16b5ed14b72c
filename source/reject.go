package source

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/whereto/whereto/poi"
)

// Reasons of rejects: the keys of Report.ByReason and the values of
// Reject.Reason. They are a promise; scripts may compare them.
const (
	ReasonColumns     = "wrong column count"
	ReasonLong        = "line too long"
	ReasonUTF8        = "invalid UTF-8"
	ReasonQuote       = "unclosed quote"
	ReasonJSON        = "bad JSON"
	ReasonEmpty       = "empty value"
	ReasonControl     = "control character"
	ReasonNumber      = "bad number"
	ReasonNotFinite   = "not a finite number"
	ReasonCoordinates = "coordinates out of range"
	ReasonSwapped     = "latitude and longitude look swapped"
	ReasonZero        = "coordinates are (0, 0)"
	ReasonHalf        = "half a user location"
	ReasonTime        = "bad time"
	ReasonTimeRange   = "time out of range"
	ReasonOffset      = "offset out of range"
	ReasonClicked     = "clicked is neither true nor false"
	ReasonProbability = "not a probability"
	ReasonPosition    = "bad position"
	ReasonRepeated    = "candidate shown twice"
	ReasonMany        = "too many candidates"
	ReasonMixed       = "impression contradicts itself"
	ReasonApart       = "impression is not in one piece"
	ReasonLimit       = "value over its limit"
	ReasonImage       = "not a PNG or JPEG image"
	ReasonCut         = "file is cut"
	ReasonDamaged     = "file is damaged"
)

// Reject is one line of a reject file.
type Reject struct {
	File   string `json:"file"`
	Line   int    `json:"line"`             // from 1, headers counted; the row number in Parquet
	Column int    `json:"column,omitempty"` // from 1; 0 where the format has no columns or the whole line is meant
	Field  string `json:"field,omitempty"`  // the column's name
	Reason string `json:"reason"`           // one of the Reason constants
	Detail string `json:"detail"`           // the value at fault and what was expected
	Raw    string `json:"raw,omitempty"`    // the line's first 200 bytes
}

// String is the reject as one line for people.
func (r Reject) String() string {
	at := fmt.Sprintf("%s:%d", r.File, r.Line)
	if r.Field != "" {
		at += ": " + r.Field
	}
	return fmt.Sprintf("%s: %s: %s", at, r.Reason, r.Detail)
}

// rowError is why a row is bad, before anyone knows which file and line it is.
// A pointer type of its own, not an error: the hot path compares it with nil.
type rowError struct {
	field  field  // noField if the whole line is meant
	reason string // one of the Reason constants
	detail string
}

func bad(f field, reason, format string, args ...any) *rowError {
	return &rowError{field: f, reason: reason, detail: fmt.Sprintf(format, args...)}
}

const maxRaw = 200

// excerpt returns the start of a line as valid UTF-8.
func excerpt(line []byte) string {
	if len(line) > maxRaw {
		line = line[:maxRaw]
	}
	return strings.ToValidUTF8(string(line), "\uFFFD")
}

// quote shows a value of any length in an error message.
func quote(b []byte) string {
	const most = 60
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}

// reject counts a bad row, writes it and stops the run when there are too many.
func (rd *reader) reject(rj Reject) error {
	rd.rep.Rows++
	rd.rep.Bad++
	if rd.rep.ByReason == nil {
		rd.rep.ByReason = map[string]int{}
	}
	rd.rep.ByReason[rj.Reason]++
	if rd.opt.Reject != nil {
		line, err := json.Marshal(rj)
		if err != nil {
			return fmt.Errorf("source: encode reject of %s:%d: %w", rj.File, rj.Line, err)
		}
		if _, err := rd.opt.Reject.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("source: write reject of %s:%d: %w", rj.File, rj.Line, err)
		}
	}
	if rd.opt.MaxBadRows != Unlimited && rd.rep.Bad > rd.opt.MaxBadRows {
		return fmt.Errorf("source: %d bad rows, more than the %d allowed; the last is %s; mend the file or allow more bad rows: %w",
			rd.rep.Bad, rd.opt.MaxBadRows, rj, poi.ErrBadInput)
	}
	return nil
}
