package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/whereto/whereto/guard"
	"github.com/whereto/whereto/telemetry"
)

// step is a handler that leaves it to others to say what its error means.
type step func(http.ResponseWriter, *http.Request) error

// visit is one request on its way.
type visit struct {
	row   *row
	admit func(*http.Request, *visit) error
	key   guard.Key
	cause error // of a fault of ours, for the log
}

type visitKey struct{}

// visitOf returns the request of a context, nil outside of one.
func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// lost is the row of all addresses that have none.
var lost = &row{path: "other", name: "other", need: public}

// serve finds the row of a request. The mux answers some requests by itself: with a
// redirect to a tidier path, or with 404 and 405 as plain text. None of that is ours.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.preflight(w, r) {
		return
	}
	h, pattern := s.board.mux.Handler(r)
	if s.board.rows[pattern] != nil && tidy(r.URL.EscapedPath()) {
		s.board.mux.ServeHTTP(w, r) // sets the path values
		return
	}
	s.visitor(lost, func(w http.ResponseWriter, r *http.Request) error {
		if pattern == "" && tidy(r.URL.EscapedPath()) {
			probe := &refusal{header: http.Header{}}
			h.ServeHTTP(probe, r)
			if probe.status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", probe.header.Get("Allow"))
				return refuse(noMethod, "the address takes %s", probe.header.Get("Allow"))
			}
		}
		return refuse(noRoute, "the service has no such route")
	}).ServeHTTP(w, r)
}

// refusal takes the mux's own answer.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) Write(p []byte) (int, error) { return len(p), nil }
func (r *refusal) WriteHeader(status int)      { r.status = status }

// tidy reports whether a path is as it is stored: no empty or dotted segments, and text.
func tidy(escaped string) bool {
	clean := path.Clean(escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	return clean == escaped
}

// visitor is what every request passes on its way to a handler.
func (s *Server) visitor(row *row, next step) http.Handler {
	inner := s.enter(row, next, s.admit, s.o.Metrics.Answered)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.o.Metrics.Arrived()
		inner.ServeHTTP(w, r)
	})
}

// enter is visitor with another door, or another book.
func (s *Server) enter(row *row, next step, admit func(*http.Request, *visit) error, answered func(route, method string, status int, took time.Duration)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ctx, id := telemetry.WithRequestID(r.Context(), r.Header.Get("X-Request-Id"))
		ctx, span := s.o.Tracing.Request(ctx, r.Header, r.Method, row.path)
		v := &visit{row: row, admit: admit}
		ctx = context.WithValue(ctx, visitKey{}, v)
		r = r.WithContext(ctx)
		a := &answer{w: w, pass: row.page, problem: func(status int) []byte {
			return refuse(kindOfStatus(status), "").fill(ctx).text()
		}}
		s.head(a.Header(), r, id)
		s.guarded(a, r, v, next)
		a.finish()
		status := a.status
		if errors.Is(r.Context().Err(), context.Canceled) && status >= 500 {
			status = statusGone
		}
		took := time.Since(start)
		answered(row.name, r.Method, status, took)
		span.Status(status)
		span.Fail(v.cause)
		span.End()
		s.note(r, v, a, status, took)
	})
}

// head sets what every answer says.
func (s *Server) head(h http.Header, r *http.Request, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	s.allowOrigin(h, r)
	if s.draining.Load() {
		h.Set("Connection", "close") // the next request finds another machine
	}
}

// guarded runs a handler and turns errors and faults into problems.
func (s *Server) guarded(a *answer, r *http.Request, v *visit, next step) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		if fault == http.ErrAbortHandler {
			panic(fault) // asks for the connection to be cut
		}
		v.cause = fmt.Errorf("panic: %v", fault)
		s.o.Log.LogAttrs(r.Context(), slog.LevelError, "fault in a handler", slog.String("route", v.row.path),
			slog.String("fault", fmt.Sprint(fault)), slog.String("stack", string(debug.Stack())))
		problemOf(r.Context(), v.cause).write(a)
	}()
	if err := s.pass(a, r, v, next); err != nil {
		s.fail(r.Context(), err).write(a)
	}
}

// fail makes an error a problem, counts it and remembers its cause for the log.
func (s *Server) fail(ctx context.Context, err error) *Problem {
	p := problemOf(ctx, err)
	s.count(p, err)
	if v := visitOf(ctx); v != nil && p.Status >= 500 {
		v.cause = p.cause
	}
	return p
}

// pass lets a request through to its handler, or says why not.
func (s *Server) pass(a *answer, r *http.Request, v *visit, next step) error {
	if err := v.admit(r, v); err != nil {
		return err
	}
	if v.row == lost {
		return next(a, r)
	}
	if !utf8.ValidString(r.URL.Path) || !validQuery(r) {
		return refuse(malformed, "the address is not UTF-8")
	}
	control := http.NewResponseController(a)
	// Whoever takes an answer too slowly is cut off; the handler's own time is not his.
	limit := s.o.Limits.timeout(v.row.span)
	deadline := s.o.Limits.ReadTimeout + s.o.Limits.Patience + limit + s.o.Limits.WriteTimeout
	if err := control.SetWriteDeadline(time.Now().Add(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		a.Header().Set("Accept-Encoding", "identity")
		return refuse(wrongType, "the body is compressed (%s); send it plain", cut(coding, 40))
	}
	if err := s.takeBody(a.w, r, v.row, control); err != nil {
		return err
	}
	if gate := s.gates[v.row.lane]; gate != nil {
		s.o.Metrics.WaitStarted()
		release, err := gate.Acquire(r.Context())
		s.o.Metrics.WaitEnded()
		if err != nil {
			return err
		}
		defer release()
	}
	if v.row.page {
		return next(a, r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	return next(a, r.WithContext(ctx))
}

// admit checks who asks, and how often.
func (s *Server) admit(r *http.Request, v *visit) error {
	if v.row.need == public {
		return nil
	}
	who := "key " // rates are kept by key, or by address where there are none
	if s.o.Keys == nil {
		if err := s.local(r); err != nil {
			return err
		}
		v.key = guard.Key{ID: "nobody", Role: guard.Admin}
		who = "from " + remote(r)
	} else {
		key, err := s.o.Keys.Check(r.Header)
		if err != nil {
			return err
		}
		v.key = key
		if err := key.May(v.row.need.role()); err != nil {
			return err
		}
		if !v.row.scoped {
			if err := key.Covers("", nil, nil); err != nil {
				return err
			}
		}
		who += key.ID
	}
	rates := s.rates.Load()
	if rates == nil {
		return nil
	}
	if wait := rates.Take(who); wait > 0 {
		return &rateError{guard.BusyError{Wait: wait, Why: fmt.Sprintf("more than %g requests a second", rates.perSecond)}}
	}
	return nil
}

// rateError tells a rate from a full queue, for the metrics.
type rateError struct{ busy guard.BusyError }

func (e *rateError) Error() string { return e.busy.Error() }
func (e *rateError) Unwrap() error { return &e.busy }

// local protects a service without keys from pages of other sites in a browser of this
// machine: they can send requests here, also under a name of their own that leads here.
func (s *Server) local(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !loopbackHost(strings.Trim(host, "[]")) {
		return refuse(foreign, "the header Host names another machine")
	}
	if err := s.origin.Check(r); err != nil {
		return refuse(foreign, "a page of another site sent the request")
	}
	return nil
}

// takeBody reads the body of a question before it waits; a bulk is read as it comes.
func (s *Server) takeBody(w http.ResponseWriter, r *http.Request, row *row, control *http.ResponseController) error {
	wait := s.o.Limits.ReadTimeout
	if row.lane == bulk {
		wait = s.o.Limits.BulkTimeout
	}
	if err := control.SetReadDeadline(time.Now().Add(wait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if r.ContentLength > row.body {
		return &http.MaxBytesError{Limit: row.body}
	}
	r.Body = http.MaxBytesReader(w, r.Body, row.body)
	if row.lane == bulk {
		return nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	// From here on nothing is awaited from the sender. A deadline that passed while the
	// handler works would look like a sender who went away.
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// bodyError says why a body could not be read.
func bodyError(err error) error {
	var size *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &size):
		return err
	case errors.As(err, &timeout) && timeout.Timeout():
		return refuse(tooSlow, "the body did not arrive in time")
	}
	return refuse(malformed, "the body broke off")
}

// count counts refusals for the metrics.
func (s *Server) count(p *Problem, err error) {
	var rate *rateError
	switch {
	case p.kind == noKey:
		s.o.Metrics.Refused(telemetry.RefusedKey)
	case p.kind == forbidden, p.kind == foreign:
		s.o.Metrics.Refused(telemetry.RefusedRole)
	case errors.As(err, &rate):
		s.o.Metrics.Refused(telemetry.RefusedRate)
	case p.kind == tooMany:
		s.o.Metrics.Refused(telemetry.RefusedBusy)
	case p.kind == tooLarge:
		s.o.Metrics.Refused(telemetry.RefusedSize)
	case p.kind == late, p.kind == tooSlow:
		s.o.Metrics.Refused(telemetry.RefusedTimeout)
	}
}

// note writes the line of a request.
func (s *Server) note(r *http.Request, v *visit, a *answer, status int, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case status >= 500 && v.row.need == public:
		level = slog.LevelDebug // not ready: told once, where it is found
	case status >= 500:
		level = slog.LevelError
	case v.row.need == public && v.row.name != lost.name && status < 400:
		level = slog.LevelDebug // probes and pages
	}
	attrs := []slog.Attr{slog.String("method", cut(r.Method, 20)), slog.String("route", v.row.path), slog.Int("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int("bytes", a.bytes), slog.String("remote", remote(r))}
	if v.key.ID != "" {
		attrs = append(attrs, slog.String("caller", v.key.ID))
	}
	if v.cause != nil {
		attrs = append(attrs, slog.String("error", v.cause.Error()))
	}
	s.o.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// remote is the address of the sender without the port.
func remote(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// validQuery reports whether the query is text once its escapes are read.
func validQuery(r *http.Request) bool {
	for name, values := range r.URL.Query() {
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return false
		}
	}
	return true
}

// cut shortens what a sender wrote.
func cut(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
