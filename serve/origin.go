package serve

import (
	"net/http"
	"slices"
	"strings"
)

// Scripts of pages elsewhere may ask only if their site is listed. Keys travel in
// headers that a page must set itself, so no cookie can be misused.

// allowOrigin lets a listed site read the answer.
func (s *Server) allowOrigin(h http.Header, r *http.Request) {
	if len(s.o.Origins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.Contains(s.o.Origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	}
}

// preflight answers a browser that asks whether a script may ask; it reports whether it
// did.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request) bool {
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" || !slices.Contains(s.o.Origins, r.Header.Get("Origin")) {
		return false
	}
	asks := r.Clone(r.Context())
	asks.Method = method
	if _, pattern := s.board.mux.Handler(asks); s.board.rows[pattern] == nil {
		return false
	}
	h := w.Header()
	s.allowOrigin(h, r)
	h.Set("Access-Control-Allow-Methods", method)
	h.Set("Access-Control-Allow-Headers", strings.Join([]string{"Authorization", "Content-Type", "X-API-Key", "X-Request-Id"}, ", "))
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
