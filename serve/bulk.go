package serve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/whereto/whereto/api"
)

// Limits of a bulk, beside api.MaxBulk.
const (
	maxLine     = 64 << 10 // bytes
	maxRejected = 100      // rejected lines that an answer lists
)

// A bulk is whole in memory before anything is stored, and stored by one call that
// stores all of it or nothing. So an answer of 400 and above always means that nothing
// was stored, and one of 200 names every line that was not.

// lines checks the lines of bulks against the schemas of their types.
type lines struct {
	schemas     huma.Registry
	action, poi *huma.Schema
}

func newLines(schemas huma.Registry) lines {
	return lines{schemas: schemas,
		action: schemas.Schema(reflect.TypeFor[api.Action](), true, "Action"),
		poi:    schemas.Schema(reflect.TypeFor[api.POI](), true, "POI")}
}

// batch is what a bulk holds.
type batch[T any] struct {
	items []T
	at    []int // line of each item, from 1
	lines int
	done  api.BulkResponse
}

func (b *batch[T]) reject(line int, field, reason string) {
	b.done.Refused++
	if len(b.done.Rejected) < maxRejected {
		b.done.Rejected = append(b.done.Rejected, api.Rejected{Line: line, Field: field, Reason: reason})
	}
}

// merge adds what became of the items that were handed on.
func (b *batch[T]) merge(of *api.BulkResponse) *api.BulkResponse {
	b.done.Accepted, b.done.Duplicate = of.Accepted, of.Duplicate
	b.done.Refused += of.Refused
	for _, r := range of.Rejected {
		if r.Line >= 1 && r.Line <= len(b.at) {
			r.Line = b.at[r.Line-1]
		}
		b.done.Rejected = append(b.done.Rejected, r)
	}
	slices.SortStableFunc(b.done.Rejected, func(x, y api.Rejected) int { return x.Line - y.Line })
	if len(b.done.Rejected) > maxRejected {
		b.done.Rejected = b.done.Rejected[:maxRejected]
	}
	return &b.done
}

// readBatch reads a bulk, line by line or element by element. Check adds what is wrong
// with an item beyond its schema.
func readBatch[T any](r *http.Request, schemas huma.Registry, schema *huma.Schema, check func(*T, *faults) error) (*batch[T], error) {
	b := &batch[T]{done: api.BulkResponse{Rejected: []api.Rejected{}}}
	path := huma.NewPathBuffer(nil, 0)
	take := func(line int, text []byte) error {
		if b.lines++; b.lines > api.MaxBulk {
			return refuse(tooLarge, "more than %d lines; nothing was stored", api.MaxBulk)
		}
		if len(text) > maxLine {
			b.reject(line, "", fmt.Sprintf("is longer than %d bytes", maxLine))
			return nil
		}
		var item T
		field, reason := readLine(schemas, schema, path, text, &item)
		if reason == "" {
			var f faults
			if err := check(&item, &f); err != nil {
				return err
			}
			if len(f.list) > 0 {
				field, reason = f.list[0].Location, f.list[0].Message
			}
		}
		if reason != "" {
			b.reject(line, field, reason)
			return nil
		}
		b.items, b.at = append(b.items, item), append(b.at, line)
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Header.Get("Content-Type") == "", err == nil && kind == "application/x-ndjson":
		err = eachLine(r.Body, take)
	case err == nil && kind == "application/json":
		err = eachElement(r.Body, take)
	default:
		return nil, refuse(wrongType, "send lines as Content-Type: application/x-ndjson, or an array as application/json")
	}
	if err == nil && b.lines == 0 {
		err = refuse(invalid, "the body is empty: there is nothing to store")
	}
	return b, err
}

// eachLine reads lines of JSON; empty lines count but hold nothing. Of a line that is
// too long only the beginning is kept, enough to tell that it is.
func eachLine(body io.Reader, take func(line int, text []byte) error) error {
	in := bufio.NewReaderSize(body, 32<<10)
	var text []byte
	for line := 1; ; {
		part, err := in.ReadSlice('\n')
		if room := maxLine + len("\r\n") + 1 - len(text); room > 0 {
			text = append(text, part[:min(room, len(part))]...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return bodyError(err)
		}
		if whole := bytes.TrimRight(text, "\r\n"); len(bytes.TrimSpace(whole)) > 0 {
			if err := take(line, whole); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		text, line = text[:0], line+1
	}
}

// eachElement reads the elements of one JSON array.
func eachElement(body io.Reader, take func(element int, text []byte) error) error {
	in := jsontext.NewDecoder(body)
	start, err := in.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil // empty
	case err != nil:
		return arrayError(err)
	case start.Kind() != '[':
		return refuse(invalid, "the body is no array; send lines as Content-Type: application/x-ndjson")
	}
	for element := 1; in.PeekKind() != ']'; element++ {
		text, err := in.ReadValue()
		if err != nil {
			return arrayError(err)
		}
		if err := take(element, text); err != nil {
			return err
		}
	}
	if _, err := in.ReadToken(); err != nil {
		return arrayError(err)
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return refuse(malformed, "something follows the array; nothing was stored")
	}
	return nil
}

func arrayError(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(malformed, "byte %d%s: %v; nothing was stored", syntax.ByteOffset+1, inside(syntax.JSONPointer), syntax.Err)
	}
	return bodyError(err)
}

// readLine reads and checks one line; reason is empty if nothing is wrong with it.
func readLine(schemas huma.Registry, schema *huma.Schema, path *huma.PathBuffer, text []byte, item any) (field, reason string) {
	var parsed any
	if err := decode(text, &parsed); err != nil {
		return "", err.Error()
	}
	path.Reset()
	var found huma.ValidateResult
	huma.Validate(schemas, schema, path, huma.ModeWriteToServer, parsed, &found)
	if len(found.Errors) > 0 {
		said, ok := found.Errors[0].(*huma.ErrorDetail)
		if !ok {
			return "", found.Errors[0].Error()
		}
		if said.Message == "unexpected property" {
			return said.Location, unknown("field", said.Location, jsonNames(reflect.TypeOf(item).Elem()))
		}
		return said.Location, said.Message
	}
	if err := decode(text, item); err != nil {
		return "", err.Error()
	}
	return "", ""
}
