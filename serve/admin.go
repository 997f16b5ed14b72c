package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/whereto/whereto/guard"
)

// The admin listener is for those who run the service: metrics, profiles, reloading.
// It takes a token, or only programs of this machine.

// adminRows lists its routes; public ones are for probes.
func adminRows() []row {
	rows := []row{
		{method: "GET", path: "/livez", name: "livez", need: public},
		{method: "GET", path: "/readyz", name: "readyz", need: public},
		{method: "GET", path: "/metrics", name: "metrics", need: admin, page: true},
		{method: "POST", path: "/reload", name: "reload", need: admin, span: slow},
		{method: "GET", path: "/loglevel", name: "loglevel", need: admin},
		{method: "PUT", path: "/loglevel", name: "loglevel", need: admin, body: 100},
		{method: "GET", path: "/debug/pprof/{$}", name: "pprof", need: admin, page: true, span: slow},
	}
	for _, name := range profiles {
		rows = append(rows, row{method: "GET", path: "/debug/pprof/" + name, name: "pprof", need: admin, page: true, span: slow})
	}
	return rows
}

// profiles are those of net/http/pprof but cmdline: a command line may hold secrets.
var profiles = []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate", "profile", "symbol", "trace"}

// adminRoutes makes the handler of the admin listener.
func (s *Server) adminRoutes() (http.Handler, error) {
	b, err := newBoard(adminRows(), s.adminVisitor)
	if err != nil {
		return nil, err
	}
	b.handle("GET /livez", live)
	b.handle("GET /readyz", s.readyz)
	b.handle("GET /metrics", plain(s.o.Metrics.Handler().ServeHTTP))
	b.handle("POST /reload", s.reload)
	b.handle("GET /loglevel", s.level)
	b.handle("PUT /loglevel", s.setLevel)
	b.handle("GET /debug/pprof/{$}", plain(pprof.Index))
	for _, name := range profiles {
		h := pprof.Handler(name).ServeHTTP
		switch name {
		case "profile":
			h = pprof.Profile
		case "symbol":
			h = pprof.Symbol
		case "trace":
			h = pprof.Trace
		}
		b.handle("GET /debug/pprof/"+name, plain(h))
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := b.mux.Handler(r); b.rows[pattern] != nil {
			b.mux.ServeHTTP(w, r)
			return
		}
		s.adminVisitor(lost, func(http.ResponseWriter, *http.Request) error {
			return refuse(noRoute, "the admin listener has no such route")
		}).ServeHTTP(w, r)
	}), nil
}

// adminVisitor keeps the requests of the admin listener out of the metrics of the
// service.
func (s *Server) adminVisitor(row *row, next step) http.Handler {
	return s.enter(row, next, s.admitAdmin, func(string, string, int, time.Duration) {})
}

// admitAdmin asks for the token, or for a program of this machine.
func (s *Server) admitAdmin(r *http.Request, v *visit) error {
	if v.row.need == public {
		return nil
	}
	v.key = guard.Key{ID: "operator", Role: guard.Admin}
	if s.o.AdminToken == "" {
		return s.local(r)
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(s.o.AdminToken)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return fmt.Errorf("%w: the admin listener asks for its token as Authorization: Bearer TOKEN", guard.ErrBadKey)
	}
	return nil
}

// Reload reads again the keys and whatever else may have changed, and logs what came of
// it. What cannot be read leaves the old in force. It returns what changed and needs a
// restart.
func (s *Server) Reload(ctx context.Context) (restart []string, err error) {
	if s.o.Keys != nil {
		err = s.o.Keys.Reload(ctx)
	}
	if s.o.Reload != nil {
		var bad error
		restart, bad = s.o.Reload(ctx)
		err = errors.Join(err, bad)
	}
	switch {
	case err != nil:
		s.o.Log.LogAttrs(ctx, slog.LevelError, "reload", slog.String("error", err.Error()))
	case len(restart) > 0:
		s.o.Log.LogAttrs(ctx, slog.LevelWarn, "reloaded; some settings that changed need a restart", slog.String("restart", strings.Join(restart, " ")))
	default:
		s.o.Log.LogAttrs(ctx, slog.LevelInfo, "reloaded")
	}
	return restart, err
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	restart, err := s.Reload(r.Context())
	if err != nil {
		return refuse(conflict, "%v", err) // whoever may reload may know
	}
	return writeJSON(w, http.StatusOK, struct {
		Reloaded bool     `json:"reloaded"`
		Restart  []string `json:"restart,omitempty"` // settings that changed and need one
	}{true, restart})
}

func (s *Server) level(w http.ResponseWriter, _ *http.Request) error {
	if s.o.Level == nil {
		return refuse(notFound, "the log level is fixed")
	}
	return writeJSON(w, http.StatusOK, map[string]string{"level": strings.ToLower(s.o.Level.Level().String())})
}

// setLevel reads a level, such as debug, from the body.
func (s *Server) setLevel(w http.ResponseWriter, r *http.Request) error {
	if s.o.Level == nil {
		return refuse(notFound, "the log level is fixed")
	}
	text, err := io.ReadAll(r.Body) // a hundred bytes at most
	if err != nil {
		return bodyError(err)
	}
	var level slog.Level
	if err := level.UnmarshalText(bytes.TrimSpace(text)); err != nil {
		return refuse(invalid, "%q is no level; want debug, info, warn or error", cut(string(text), 20))
	}
	s.o.Level.Set(level)
	return s.level(w, r)
}
