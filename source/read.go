package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"github.com/whereto/whereto/poi"
)

// lineParser turns lines into rows; one is made for each file.
type lineParser interface {
	// begin sees the first line; true means it was a header and not a row.
	begin(line []byte) (header bool, err error)
	// parse fills r from a line or says why it cannot. r is zero before.
	parse(line []byte, r *row) *rowError
	// where tells a field's column (from 1, 0 if there are none) and name.
	where(f field) (column int, name string)
	// warnings are doubts to report at the end of the file.
	warnings() []string
}

// reader is the state of one reading over all files.
type reader struct {
	opt  Options
	zone zoneRule
	rep  Report
	sink sink
	tMin int64
	tMax int64
}

// sink is where the rows of lines go: single actions, or impressions of many rows.
type sink interface {
	// check is the rule book of a row; it changes nothing but r.
	check(rd *reader, r *row) *rowError
	// take keeps a row that passed check. It is valid until take returns.
	take(r *row) error
	// endFile ends what may not go on in the next file.
	endFile() error
}

// actionSink passes each row on.
type actionSink struct {
	dup   duplicates
	yield func(*poi.Action) error
}

func (s *actionSink) check(rd *reader, r *row) *rowError {
	if r.Type == "" {
		r.Type = typeCheckin
	}
	e := rd.opt.Limits.check(&r.Action)
	if e == nil && !r.hasOffset {
		r.OffsetMin = rd.zone.offset(r.TimeMS, r.Lng)
	}
	return e
}

func (s *actionSink) take(r *row) error {
	s.dup.add(&r.Action)
	return s.yield(&r.Action)
}

func (s *actionSink) endFile() error { return nil }

// Read reads the files in the order given and calls yield with each good row.
// The action is valid until yield returns; copy it to keep it (its strings may
// be kept). Action.Seq is the number of the row from 0 over all files, bad rows
// counted. An error of yield stops the reading and is returned unchanged.
//
// The Report is filled as far as the reading came, also beside an error.
func Read(ctx context.Context, paths []string, opt Options, yield func(*poi.Action) error) (Report, error) {
	if _, err := ParseFormat(string(opt.Format)); err != nil {
		return Report{}, err
	}
	s := &actionSink{yield: yield}
	rd := &reader{opt: opt, sink: s}
	err := rd.readFiles(paths, string(opt.Format), func(path string) error { return rd.readActions(ctx, path) })
	if w := s.dup.warning(); w != "" {
		rd.rep.Warnings = append(rd.rep.Warnings, w)
	}
	return rd.rep, err
}

// readFiles checks the options and reads the files one after the other; what
// names their kind for messages.
func (rd *reader) readFiles(paths []string, what string, readFile func(path string) error) (err error) {
	if len(paths) == 0 {
		return fmt.Errorf("source: no files to read: %w", poi.ErrBadInput)
	}
	if rd.opt.Limits, err = rd.opt.Limits.withDefaults(); err != nil {
		return err
	}
	if n := rd.opt.MaxBadRows; n < Unlimited {
		return fmt.Errorf("source: MaxBadRows %d: use 0 or more, or -1 for any number: %w", n, poi.ErrBadInput)
	}
	if rd.zone, err = newZoneRule(rd.opt.Zone); err != nil {
		return err
	}
	for _, path := range paths {
		if err = readFile(path); err != nil {
			break
		}
		rd.rep.Files++
	}
	if rd.rep.Good > 0 && rd.sink != nil {
		rd.rep.TimeMin, rd.rep.TimeMax = time.UnixMilli(rd.tMin).UTC(), time.UnixMilli(rd.tMax).UTC()
	}
	if err == nil && rd.rep.Good == 0 {
		err = fmt.Errorf("source: %s: no good row among %d in %d files; is the format really %s? %w",
			paths[0], rd.rep.Rows, rd.rep.Files, what, poi.ErrEmpty)
	}
	return err
}

// ReadAll is Read into memory, for data that fits there.
func ReadAll(ctx context.Context, paths []string, opt Options) ([]poi.Action, Report, error) {
	var all []poi.Action
	rep, err := Read(ctx, paths, opt, func(a *poi.Action) error {
		all = append(all, *a)
		return nil
	})
	return all, rep, err
}

// Iterate is Read as an iterator, made for WriteActions: it yields each good row
// (valid for one step) and, last, the error if there was one. rep is filled when
// the iteration ends, also when the consumer ends it early.
func Iterate(ctx context.Context, paths []string, opt Options, rep *Report) iter.Seq2[*poi.Action, error] {
	return func(yield func(*poi.Action, error) bool) {
		errStop := errors.New("consumer stopped")
		var err error
		*rep, err = Read(ctx, paths, opt, func(a *poi.Action) error {
			if !yield(a, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop {
			yield(nil, err)
		}
	}
}

// Each iterates over actions in memory, for WriteActions.
func Each(actions []poi.Action) iter.Seq2[*poi.Action, error] {
	return func(yield func(*poi.Action, error) bool) {
		for i := range actions {
			if !yield(&actions[i], nil) {
				return
			}
		}
	}
}

// encoding is how a file of the native schema is written.
type encoding string

const (
	encCSV     encoding = ".csv"
	encTSV     encoding = ".tsv"
	encJSONL   encoding = ".jsonl"
	encParquet encoding = ".parquet"
)

// encodingOf tells a native file's encoding by its extension.
func encodingOf(path string) (enc encoding, gz bool, err error) {
	name := strings.ToLower(filepath.Base(path))
	if gz = strings.HasSuffix(name, ".gz"); gz {
		name = strings.TrimSuffix(name, ".gz")
	}
	switch ext := encoding(filepath.Ext(name)); ext {
	case encCSV, encTSV, encJSONL:
		return ext, gz, nil
	case ".ndjson":
		return encJSONL, gz, nil
	case encParquet:
		if !gz {
			return encParquet, false, nil
		}
		return "", gz, fmt.Errorf("source: %s: Parquet is compressed inside; leave .gz out: %w", path, poi.ErrBadInput)
	}
	return "", gz, fmt.Errorf("source: %s: the extension tells no encoding; use .csv, .tsv, .jsonl (each with or without .gz) or .parquet: %w", path, poi.ErrBadInput)
}

func (rd *reader) readActions(ctx context.Context, path string) error {
	var p lineParser
	switch rd.opt.Format {
	case TSMC:
		p = newTable(tsmcLayout)
	case TSMCCSV:
		p = newTable(tsmcCSVLayout)
	case GETNext:
		p = newTable(getnextLayout)
	case Gowalla:
		p = newTable(gowallaLayout)
	case Actions:
		enc, _, err := encodingOf(path)
		if err != nil {
			return err
		}
		switch enc {
		case encParquet:
			return readRows(ctx, rd, path, actionSchema, parquetAccept(rd, (*parquetInput).fill))
		case encJSONL:
			p = newJSONParser()
		case encTSV:
			p = newTable(actionsLayout('\t'))
		default:
			p = newTable(actionsLayout(','))
		}
	}
	return rd.readLines(ctx, path, p)
}

func (rd *reader) readLines(ctx context.Context, path string, p lineParser) error {
	in, err := openLines(path, rd.opt.Limits.LineBytes)
	if err != nil {
		return err
	}
	defer in.Close()
	fs := newFileStats(path)
	var r row
	first := true
	for {
		line, err := in.next()
		if err == io.EOF {
			break
		}
		if in.n&1023 == 0 && ctx.Err() != nil {
			return fmt.Errorf("source: read %s: %w", path, ctx.Err())
		}
		if err != nil && err != errLong {
			fs.notes = append(fs.notes, p.warnings()...)
			return rd.broken(fs, in.n, line, err)
		}
		if len(line) == 0 {
			continue
		}
		if first && err == nil {
			header, err := p.begin(line)
			if err != nil {
				return fmt.Errorf("source: %s: %w", path, err)
			}
			first = false
			if header {
				continue
			}
		}
		r = row{}
		var e *rowError
		if err == errLong {
			e = bad(noField, ReasonLong, "more than %d bytes; is it a text file?", rd.opt.Limits.LineBytes)
		} else if e = p.parse(line, &r); e != nil && in.open {
			e.detail += "; the file ends here without a line end, it was probably cut"
		}
		if err := rd.accept(fs, &r, e, in.n, line, p.where); err != nil {
			return err
		}
	}
	fs.notes = append(fs.notes, p.warnings()...)
	return rd.finish(fs)
}

// broken handles a compressed stream that ends too early or is damaged: one
// reject, and what came before stays. Any other failure stops the run.
func (rd *reader) broken(fs *fileStats, n int, line []byte, err error) error {
	reason := brokenGzip(err)
	if reason == "" {
		return fmt.Errorf("source: read %s after line %d: %w", fs.path, n, err)
	}
	if err := rd.finish(fs); err != nil {
		return err
	}
	return rd.reject(Reject{File: fs.path, Line: max(n, 1), Reason: reason, Raw: excerpt(line),
		Detail: fmt.Sprintf("%v: nothing after this line can be read; the rows before it are kept, fetch the file again for the rest", err)})
}

// accept checks a parsed row and passes it on, or rejects it for e.
func (rd *reader) accept(fs *fileStats, r *row, e *rowError, line int, raw []byte, where func(field) (int, string)) error {
	if e == nil {
		e = rd.sink.check(rd, r)
	}
	if e != nil {
		col, name := where(e.field)
		return rd.reject(Reject{File: fs.path, Line: line, Column: col, Field: name,
			Reason: e.reason, Detail: e.detail, Raw: excerpt(raw)})
	}
	r.Seq = int64(rd.rep.Rows)
	located := r.Lat != 0 || r.Lng != 0 // not so in impressions of an unknown position
	fs.add(r, located && (r.hasOffset || rd.zone.loc != nil))
	if rd.rep.Good == 0 || r.TimeMS < rd.tMin {
		rd.tMin = r.TimeMS
	}
	if rd.rep.Good == 0 || r.TimeMS > rd.tMax {
		rd.tMax = r.TimeMS
	}
	rd.rep.Rows++
	rd.rep.Good++
	return rd.sink.take(r)
}

// finish ends a file: its warnings go to the report.
func (rd *reader) finish(fs *fileStats) error {
	for _, w := range fs.warnings() {
		rd.rep.Warnings = append(rd.rep.Warnings, fs.path+": "+w)
	}
	if rd.sink == nil {
		return nil
	}
	return rd.sink.endFile()
}
