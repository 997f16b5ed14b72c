package source

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/whereto/whereto/poi"
)

// lines yields the lines of a plain or gzip file, however long, within a fixed
// amount of memory.
type lines struct {
	file *os.File
	in   *bufio.Reader
	long []byte // assembles a line longer than in's buffer
	max  int
	n    int // number of the line last returned, from 1
	// open says the last line returned had no line end: the file may be cut.
	open bool
}

// errLong says a line was longer than the limit; its start was returned.
var errLong = errors.New("line too long")

const readBuffer = 64 << 10

// openFile opens path for reading; a directory is an error that says so.
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a directory; name the files in it: %w", path, poi.ErrBadInput)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("source: open: %w", err)
	}
	return f, nil
}

// openLines opens a text file; gzip is told by its first two bytes, whatever
// the name, but a name ending in .gz must be gzip.
func openLines(path string, maxLine int) (*lines, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	l, err := newLines(f, path, maxLine)
	if err != nil {
		f.Close()
		return nil, err
	}
	l.file = f
	return l, nil
}

func newLines(r io.Reader, path string, maxLine int) (*lines, error) {
	in := bufio.NewReaderSize(r, readBuffer)
	magic, err := in.Peek(2)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("source: read %s: %w", path, err)
	}
	switch {
	case string(magic) == "\x1f\x8b":
		gz, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("source: %s: its gzip header cannot be read (%v); fetch the file again: %w", path, err, poi.ErrBadInput)
		}
		in = bufio.NewReaderSize(gz, readBuffer)
	case strings.HasSuffix(path, ".gz"):
		return nil, fmt.Errorf("source: %s: the name says gzip, the content is not (starts with %q); rename or compress it: %w", path, magic, poi.ErrBadInput)
	}
	// A failing Peek here returns its error again on the first read.
	start, _ := in.Peek(3)
	if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("source: %s: the file is UTF-16; convert it to UTF-8: %w", path, poi.ErrBadInput)
	}
	if string(start) == "\xef\xbb\xbf" {
		if _, err := in.Discard(3); err != nil {
			return nil, fmt.Errorf("source: read %s: %w", path, err)
		}
	}
	return &lines{in: in, max: maxLine}, nil
}

// next returns the next line without its line end; valid until the next call.
// io.EOF after the last; errLong with a line's start; any other error is the
// reader's, with what came of the broken line.
func (l *lines) next() ([]byte, error) {
	l.open = false
	line, err := l.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = l.assemble(line)
	}
	if len(line) == 0 && err != nil {
		return nil, err // io.EOF, or a cut between two lines
	}
	l.n++
	switch {
	case err == nil:
		line = line[:len(line)-1]
	case err == io.EOF:
		l.open = true
	default:
		return line, err
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > l.max {
		return line, errLong
	}
	return line, nil
}

// assemble collects a line that does not fit the buffer, keeping no more than
// max bytes and a few (the line's length then shows that it was longer).
func (l *lines) assemble(first []byte) ([]byte, error) {
	l.long = append(l.long[:0], first...)
	for {
		part, err := l.in.ReadSlice('\n')
		if len(l.long) <= l.max {
			l.long = append(l.long, part...)
		} else if err == nil {
			l.long = append(l.long, '\n') // next takes one byte off
		}
		if err != bufio.ErrBufferFull {
			return l.long, err
		}
	}
}

func (l *lines) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// brokenGzip tells how a compressed stream broke, or "" if err is no such break
// but a failure of the machine that must stop the run.
func brokenGzip(err error) string {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ReasonCut
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return ReasonDamaged
	}
	return ""
}
