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
	}
	return s.ready.checks
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
