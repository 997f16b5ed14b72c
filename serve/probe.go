package serve

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whereto/whereto/api"
)

// How long the parts of the service are believed to be as they were, and how long one
// of them may think about it. Anybody may ask, so asking must cost nothing.
const (
	readyFor  = time.Second
	readyTime = 2 * time.Second
)

// readiness remembers the last look at the parts.
type readiness struct {
	mu     sync.Mutex
	at     time.Time
	checks []api.Check
	told   string // what the log was told last
}

// checks looks at the parts, or remembers.
func (s *Server) checks(ctx context.Context) []api.Check {
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if s.ready.at.IsZero() || s.now().Sub(s.ready.at) >= readyFor {
		// Others will read the answer, so this sender must not end it by going away.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
		defer cancel()
		s.ready.checks = s.o.Desk.Ready(ctx)
		s.ready.at = s.now()
		s.tellChange(ctx)
	}
	return s.ready.checks
}

// tellChange logs what works no longer, or again: probes ask too often for a line each.
func (s *Server) tellChange(ctx context.Context) {
	var down []string
	for _, c := range s.ready.checks {
		if !c.OK {
			down = append(down, c.Name+": "+c.Reason)
		}
	}
	now := strings.Join(down, "; ")
	switch {
	case now == s.ready.told:
	case now != "":
		s.o.Log.WarnContext(ctx, "not ready", "reason", now)
	default:
		s.o.Log.InfoContext(ctx, "ready again")
	}
	s.ready.told = now
}

const tagProbes = "probes"

// addProbes registers what balancers and people ask about the state of the service.
func (s *Server) addProbes() {
	s.tell(doc{id: "GET /livez", tag: tagProbes, summary: "Is the process alive?"}, nil, live)
	s.tell(doc{id: "GET /readyz", tag: tagProbes, summary: "Does every part work?", text: "Status 503 as long as one does not, and while the service shuts down. ?verbose lists the parts."}, nil, s.readyz)
	s.tell(doc{id: "GET /v2/health/live", tag: tagInference, summary: "Is the process alive?"}, nil, live)
	s.tell(doc{id: "GET /v2/health/ready", tag: tagInference, summary: "Does every part work?"}, nil, s.readyz)
}

func live(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]bool{"live": true})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	checks := slices.Clone(s.checks(r.Context()))
	if s.draining.Load() {
		checks = append(checks, api.Check{Name: "running", Reason: "the service is shutting down"})
	}
	var down []string
	p := refuse(unavailable, "")
	p.wait = 2 * readyFor
	for _, c := range checks {
		if !c.OK {
			down = append(down, c.Name)
			p.Errors = append(p.Errors, Fault{Location: c.Name, Message: c.Reason})
		}
	}
	verbose := r.URL.Query().Has("verbose")
	if len(down) > 0 {
		p.Detail = "not ready: " + strings.Join(down, ", ")
		if !verbose {
			p.Errors = nil
		}
		return p
	}
	answer := struct {
		Ready  bool        `json:"ready"`
		Checks []api.Check `json:"checks,omitempty"`
	}{Ready: true}
	if verbose {
		answer.Checks = checks
	}
	return writeJSON(w, http.StatusOK, answer)
}
