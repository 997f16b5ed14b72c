package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// ErrBadLogging says that the log settings cannot be used.
var ErrBadLogging = errors.New("bad log settings")

// LogOptions are the settings of NewLogger; the zero value is fine.
type LogOptions struct {
	Format   string // json or text; empty: json
	Level    string // debug, info, warn or error; empty: info
	Personal bool   // user ids and positions as they are; otherwise as short hashes
	// Var, if set, takes Level and changes it while the logger is in use.
	Var *slog.LevelVar
}

// NewLogger writes one line per record to w. Values that are secret are replaced
// wherever they stand: by the name they are under, or by what they look like. User ids
// and positions under their own names (user, lat, lng and so on) become hashes under a key of
// this process: equal ones look equal in one process and tell nothing beyond it. Write
// an id as an attribute, not into the message: in free text only its usual forms
// (user "x", user=x, /users/x) are found.
//
// The id of the request and of its trace stand at the top of a line whose context has
// them, whatever groups are open.
func NewLogger(w io.Writer, o LogOptions) (*slog.Logger, error) {
	level := slog.LevelInfo
	switch o.Level {
	case "", "info":
	case "debug":
		level = slog.LevelDebug
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	default:
		return nil, fmt.Errorf("%w: level %q, want debug, info, warn or error", ErrBadLogging, o.Level)
	}
	var from slog.Leveler = level
	if o.Var != nil {
		o.Var.Set(level)
		from = o.Var
	}
	r := newRedactor(o.Personal)
	switch o.Format {
	case "", "json":
		return slog.New(&handler{next: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: from}), r: r}), nil
	case "text":
		return slog.New(&handler{next: slog.NewTextHandler(w, &slog.HandlerOptions{Level: from}), r: r}), nil
	}
	return nil, fmt.Errorf("%w: format %q, want json or text", ErrBadLogging, o.Format)
}

// requestIDKey is the context key of the request id.
type requestIDKey struct{}

// maxRequestID is the longest request id taken from a caller, in bytes.
const maxRequestID = 64

// WithRequestID gives the requests below ctx an id: the caller's, if it is short and
// plain, or else a new one. It returns the id that was taken.
func WithRequestID(ctx context.Context, callers string) (context.Context, string) {
	id := callers
	if !plain(id) {
		var b [12]byte
		rand.Read(b[:]) // never fails
		id = hex.EncodeToString(b[:])
	}
	return context.WithValue(ctx, requestIDKey{}, id), id
}

// RequestID returns the id of the request in ctx, or nothing.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// plain reports whether a caller's request id may be written anywhere as it is.
func plain(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return shared.text(id) == id
}

// handler takes secrets out of records before the next handler formats them. It nests
// groups itself, so that the request id can stay outside of them.
type handler struct {
	next   slog.Handler // no group is ever opened in it
	r      *redactor
	groups []group // open ones, outermost first
}

// group is an open group and the attributes it has already.
type group struct {
	name  string
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, h.r.text(rec.Message), 0)
	if id := RequestID(ctx); id != "" {
		out.AddAttrs(slog.String("request_id", id))
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		out.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	attrs := make([]slog.Attr, 0, rec.NumAttrs())
	under := h.under()
	rec.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.r.attr(a, under, 0))
		return true
	})
	for i := len(h.groups) - 1; i >= 0; i-- {
		g := h.groups[i]
		all := append(g.attrs[:len(g.attrs):len(g.attrs)], attrs...)
		attrs = []slog.Attr{{Key: g.name, Value: slog.GroupValue(all...)}}
	}
	out.AddAttrs(attrs...)
	return h.next.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.r.attr(a, h.under(), 0)
	}
	if len(h.groups) == 0 {
		return &handler{next: h.next.WithAttrs(clean), r: h.r}
	}
	groups := append([]group(nil), h.groups...)
	last := &groups[len(groups)-1]
	last.attrs = append(last.attrs[:len(last.attrs):len(last.attrs)], clean...)
	return &handler{next: h.next, r: h.r, groups: groups}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	groups := append(h.groups[:len(h.groups):len(h.groups)], group{name: h.r.text(name)})
	return &handler{next: h.next, r: h.r, groups: groups}
}

// under is how the names of the open groups mark what stands in them.
func (h *handler) under() mark {
	m := open
	for _, g := range h.groups {
		m = max(m, h.r.markOf(g.name))
	}
	return m
}
