package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/guard"
	"github.com/whereto/whereto/telemetry"
)

const problemType = "application/problem+json"

// kind is one kind of problem. Its name is part of the interface: clients compare it.
type kind struct {
	name   string
	status int
	title  string
	help   string // what to do, for people
}

// The kinds. Every answer of 400 and above is one of them.
var (
	malformed   = &kind{"malformed", 400, "The request cannot be read", "The body is no JSON, holds a name twice, or the address holds bytes that are no text. The detail says where."}
	noKey       = &kind{"unauthorized", 401, "An API key is needed", "Send a key as Authorization: Bearer KEY or X-API-Key: KEY. The key may be missing, mistyped or expired."}
	forbidden   = &kind{"forbidden", 403, "The API key may not do this", "The key's role, scenes or area do not reach. Ask whoever runs the service for another key."}
	foreign     = &kind{"foreign", 403, "The request comes from a foreign page", "A service that asks for no key answers only programs of its own machine and its own pages. Give it keys, or ask it by the name localhost."}
	notFound    = &kind{"not-found", 404, "There is no such thing", "What the path names does not exist, or exists no more."}
	noRoute     = &kind{"no-route", 404, "There is no such address", "The service has no route of this name. They are all listed in /openapi.json and at /docs."}
	noMethod    = &kind{"no-method", 405, "The address takes another method", "The header Allow lists the methods it takes."}
	tooSlow     = &kind{"too-slow", 408, "The request did not arrive in time", "The body was sent too slowly. Send smaller bodies, or over a better connection."}
	conflict    = &kind{"conflict", 409, "Not now", "Something else is under way, such as the loading of the same version, or the version is in use. Ask again when it is done."}
	tooLarge    = &kind{"too-large", 413, "The request is too large", "Every route has a limit of bytes and lines. Nothing was stored. Send less at once."}
	wrongType   = &kind{"media-type", 415, "The body is of a kind the route does not take", "Send JSON (application/json), or lines of JSON (application/x-ndjson) where the route takes bulks, and not compressed."}
	wrongRange  = &kind{"range", 416, "The file has no such part", "The header Content-Range tells the size of the file."}
	invalid     = &kind{"invalid", 422, "The request makes no sense", "Every entry of errors names a field, what was given and why it is refused."}
	tooMany     = &kind{"busy", 429, "Too many requests", "Wait as long as the header Retry-After says, in seconds, and ask again."}
	internal    = &kind{"internal", 500, "The service made a mistake", "Whoever runs the service finds the cause in its log under the request id."}
	unavailable = &kind{"unavailable", 503, "A part of the service is down", "Wait as long as the header Retry-After says, in seconds, and ask again. /readyz?verbose says which part."}
	late        = &kind{"late", 504, "The answer took too long", "The request was given up. Ask for less, or when there is less to do."}
	full        = &kind{"full", 507, "There is no room to store anything", "Whoever runs the service must make room on its disk."}
)

var kinds = []*kind{malformed, noKey, forbidden, foreign, notFound, noRoute, noMethod, tooSlow, conflict, tooLarge,
	wrongType, wrongRange, invalid, tooMany, internal, unavailable, late, full}

// kindOfStatus names the problem where only a status is known.
func kindOfStatus(status int) *kind {
	for _, k := range []*kind{malformed, noKey, forbidden, notFound, noMethod, tooSlow, conflict, tooLarge, wrongType, wrongRange, invalid, tooMany, unavailable, late, full} {
		if k.status == status {
			return k
		}
	}
	if status < 500 {
		return invalid
	}
	return internal
}

// Fault is one thing wrong with a request.
type Fault struct {
	Location string `json:"location" doc:"path of the field, such as body.history[3].poi, query.limit or path.user"`
	Message  string `json:"message" doc:"why it is refused"`
	Value    any    `json:"value,omitempty" doc:"what was given, if it is short"`
}

// Problem is the document of an answer of 400 and above (RFC 9457).
type Problem struct {
	Type      string  `json:"type" doc:"kind of the problem; stable, relative to the service"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail,omitempty" doc:"what happened this time"`
	Errors    []Fault `json:"errors,omitempty" doc:"what is wrong with the request"`
	RequestID string  `json:"request_id" doc:"names the request in the log of the service"`
	Message   string  `json:"error,omitempty" doc:"title and detail, on routes of the Open Inference Protocol"`

	kind  *kind
	wait  time.Duration // 0: none
	cause error         // for the log only
}

// Error says what the sender is told.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// Unwrap returns what the log is told.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of problem documents.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders are the headers that go with the problem.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(guard.RetryAfter(p.wait)))
	}
	if p.kind == noKey {
		h.Set("WWW-Authenticate", `Bearer realm="whereto"`)
	}
	return h
}

// refuse makes a problem of a kind.
func refuse(k *kind, detail string, args ...any) *Problem {
	return &Problem{kind: k, Detail: fmt.Sprintf(detail, args...)}
}

// fill fills in what does not depend on the kind.
func (p *Problem) fill(ctx context.Context) *Problem {
	p.Type, p.Title, p.Status = "/problems/"+p.kind.name, p.kind.title, p.kind.status
	p.RequestID = telemetry.RequestID(ctx)
	if v := visitOf(ctx); v != nil && strings.HasPrefix(v.row.path, "/v2") {
		p.Message = strings.TrimSuffix(p.Title+": "+p.Detail, ": ")
	}
	return p
}

// problemOf says what an error means to the sender. Of a fault of ours it tells
// nothing but that there was one.
func problemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p.fill(ctx)
	}
	p = &Problem{cause: err}
	var busy *guard.BusyError
	var size *http.MaxBytesError
	switch {
	case errors.As(err, &busy):
		p.kind, p.wait, p.Detail = tooMany, busy.Wait, busy.Error()
	case errors.As(err, &size):
		p.kind, p.Detail = tooLarge, fmt.Sprintf("the body is longer than %d bytes", size.Limit)
	case errors.Is(err, guard.ErrRole), errors.Is(err, guard.ErrScope):
		p.kind, p.Detail = forbidden, err.Error()
	case errors.Is(err, guard.ErrNoKey), errors.Is(err, guard.ErrBadKey), errors.Is(err, guard.ErrExpired):
		p.kind, p.Detail = noKey, err.Error()
	default:
		p.ofDesk(ctx, err)
	}
	return p.fill(ctx)
}

// ofDesk sorts an error of the desk.
func (p *Problem) ofDesk(ctx context.Context, err error) {
	p.Detail, p.wait = err.Error(), desk.Wait(err)
	switch desk.KindOf(err) {
	case desk.Invalid:
		p.kind = invalid
		for _, f := range desk.Fields(err) {
			p.Errors = append(p.Errors, Fault{Location: locate(ctx, f.Field), Message: f.Reason, Value: shortened(f.Value)})
		}
	case desk.NotFound:
		p.kind = notFound
	case desk.Conflict:
		p.kind = conflict
	case desk.Busy:
		p.kind, p.Detail = tooMany, "the model has more to do than it can"
	case desk.Unavailable:
		p.kind, p.Detail = unavailable, "the store or the model does not answer"
	case desk.Full:
		p.kind, p.Detail = full, "nothing can be stored"
	case desk.Late:
		p.kind, p.Detail = late, "the time for the request is over"
	default:
		p.kind, p.Detail = internal, "an unexpected fault; see the log for the request id"
	}
}

// locate turns a field as the desk names it into a place of the request.
func locate(ctx context.Context, field string) string {
	v := visitOf(ctx)
	switch {
	case v == nil:
		return field
	case strings.Contains(v.row.path, "{"+field+"}"):
		return "path." + field
	case v.row.body == noBody:
		return "query." + field
	}
	return "body." + field
}

// longestValue is the longest value, in characters, that an answer repeats.
const longestValue = 100

// shortened keeps a value that says something in little room.
func shortened(value any) any {
	switch v := value.(type) {
	case string:
		if v == "" || len(v) > longestValue {
			return nil
		}
		return v
	case bool, int, int64, float64:
		return v
	}
	return nil
}

// write puts a problem into an answer.
func (p *Problem) write(a *answer) {
	if a.sent {
		return // half of a file is out: the sender sees that it broke off
	}
	a.drop()
	a.pass = false
	for name, values := range p.GetHeaders() {
		a.Header()[name] = values
	}
	a.Header().Set("Content-Type", problemType)
	a.WriteHeader(p.Status)
	a.body.Write(p.text())
}

// text is the document; what stands in it can always be encoded.
func (p *Problem) text() []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		p.Errors = nil // a value that JSON cannot say
		return p.text()
	}
	return []byte(b.String())
}

// problemPage explains a kind of problem to a person.
func problemPage(w http.ResponseWriter, r *http.Request) error {
	for _, k := range kinds {
		if k.name != r.PathValue("name") {
			continue
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		_, err := fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>\n<h1>%s</h1>\n<p>HTTP status %d.</p>\n<p>%s</p>\n</html>\n",
			html.EscapeString(k.title), html.EscapeString(k.title), k.status, html.EscapeString(k.help))
		return err
	}
	return refuse(notFound, "there is no kind of problem of this name")
}
