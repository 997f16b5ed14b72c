// Package serve is the HTTP service: it carries requests in the words of package api to
// a Desk and answers back, and knows nothing of models.
//
// Every route stands in one table with who may ask, how large a request may be and in
// which queue it waits; what has no row is answered with 404 without touching a
// handler. Every answer of 400 and above is a problem document (RFC 9457). A request
// passes, in this order: an id, the recovery from faults, the trace, the log and the
// metrics; the key, its rate, its scope; the size of its body; the queue; the handler
// under a deadline. The key comes before the queue, so that strangers take no place in
// it, and so does the body of a question, so that slow senders take none either.
//
// Answers are held until they are whole: a fault on the way becomes a problem document
// and never half an answer.
//
// Nothing secret and nobody's name is logged: lines name the route, not the path, and
// the id of a key, not the key.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whereto/whereto/guard"
	"github.com/whereto/whereto/telemetry"
	"github.com/whereto/whereto/web"
)

// ErrOptions is returned by New and Run for options that cannot work or are unsafe.
var ErrOptions = errors.New("bad options of the service")

// Limits bound what senders can ask for. All must be above 0 unless they say otherwise.
type Limits struct {
	Rate  float64 // requests a second of one key; 0: no limit
	Burst int     // requests of one key at once, with a Rate

	Running  int           // questions at once
	Queue    int           // questions that wait; may be 0
	Patience time.Duration // how long they wait at most
	Bulk     int           // bulks at once; each may take some 100 MB

	Timeout     time.Duration // of an answer
	BulkTimeout time.Duration // of a bulk, from its first byte to its answer
	LoadTimeout time.Duration // to load or activate a model

	HeaderTimeout time.Duration // to send the header of a request
	ReadTimeout   time.Duration // to send a question
	WriteTimeout  time.Duration // to take an answer
	IdleTimeout   time.Duration // of a connection between requests
	HeaderBytes   int
	Connections   int // at once; more wait to be accepted

	DrainDelay      time.Duration // from not ready to not accepting; may be 0
	ShutdownTimeout time.Duration // for the requests under way after that
}

// DefaultLimits suit one machine behind a balancer.
func DefaultLimits() Limits {
	return Limits{
		Rate: 200, Burst: 400,
		Running: 64, Queue: 256, Patience: 2 * time.Second, Bulk: 4,
		Timeout: 10 * time.Second, BulkTimeout: 2 * time.Minute, LoadTimeout: 10 * time.Minute,
		HeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		HeaderBytes: 16 << 10, Connections: 4096,
		DrainDelay: 5 * time.Second, ShutdownTimeout: 20 * time.Second,
	}
}

// Check reports the first limit that cannot work.
func (l *Limits) Check() error {
	for _, d := range []struct {
		name string
		x    time.Duration
	}{{"patience", l.Patience}, {"timeout", l.Timeout}, {"bulk timeout", l.BulkTimeout}, {"load timeout", l.LoadTimeout},
		{"header timeout", l.HeaderTimeout}, {"read timeout", l.ReadTimeout}, {"write timeout", l.WriteTimeout},
		{"idle timeout", l.IdleTimeout}, {"shutdown timeout", l.ShutdownTimeout}} {
		if d.x <= 0 {
			return fmt.Errorf("%w: %s %v: want a time above 0", ErrOptions, d.name, d.x)
		}
	}
	if l.DrainDelay < 0 || l.HeaderBytes < 1 || l.Connections < 1 || l.Rate < 0 {
		return fmt.Errorf("%w: drain delay %v, header of %d bytes, %d connections, rate %v: must be above 0, delay and rate may be 0",
			ErrOptions, l.DrainDelay, l.HeaderBytes, l.Connections, l.Rate)
	}
	_, err := l.gates()
	if err == nil {
		_, err = newRates(l.Rate, l.Burst)
	}
	return err
}

// gates makes the queues.
func (l *Limits) gates() (map[lane]*guard.Gate, error) {
	asked, err := guard.NewGate(l.Running, l.Queue, l.Patience)
	if err != nil {
		return nil, fmt.Errorf("%w: questions: %w", ErrOptions, err)
	}
	// As many bulks may wait as run: their senders are programs that can come again.
	bulks, err := guard.NewGate(l.Bulk, l.Bulk, l.Patience)
	if err != nil {
		return nil, fmt.Errorf("%w: bulks: %w", ErrOptions, err)
	}
	return map[lane]*guard.Gate{questions: asked, bulk: bulks}, nil
}

// rates is how much each key may ask.
type rates struct {
	*guard.Rates
	perSecond float64
}

// newRates makes rates; nil without a limit.
func newRates(perSecond float64, burst int) (*rates, error) {
	if perSecond == 0 {
		return nil, nil
	}
	const names = 100_000 // keys, or addresses where nobody needs a key
	r, err := guard.NewRates(perSecond, burst, names)
	if err != nil {
		return nil, fmt.Errorf("%w: rate of a key: %w", ErrOptions, err)
	}
	return &rates{r, perSecond}, nil
}

// Options say what a service is made of.
type Options struct {
	Desk    Desk
	Keys    *guard.Ring // nil: nobody is asked for a key, which is allowed on loopback only
	Address string      // host:port where it will listen; without keys it must be loopback
	Limits  Limits
	Metrics *telemetry.Metrics // made with RouteNames
	Tracing *telemetry.Tracing // nil: off
	Log     *slog.Logger
	Level   *slog.LevelVar // of Log, changed by /loglevel on the admin listener; nil: cannot be changed
	Web     web.Options
	Origins []string // of pages elsewhere whose scripts may ask, such as https://maps.example; none if empty
	Version string   // of the program

	AdminToken string // asked for on the admin listener; without one it must be loopback
	// Reload reads again what may have changed, beside the keys, and returns what did but
	// needs a restart; nil: nothing.
	Reload func(context.Context) (restart []string, err error)
}

// Server is a service that is ready to run.
type Server struct {
	o        Options
	api      huma.API
	board    *board
	admin    http.Handler
	gates    map[lane]*guard.Gate
	rates    atomic.Pointer[rates] // nil: no limit
	lines    lines
	ready    readiness
	draining atomic.Bool
	started  time.Time
	now      func() time.Time
	origin   *http.CrossOriginProtection
}

// New builds the service. It listens to nothing yet.
func New(o Options) (*Server, error) {
	if o.Desk == nil || o.Metrics == nil || o.Log == nil {
		return nil, fmt.Errorf("%w: it needs a desk, metrics and a log", ErrOptions)
	}
	if o.Tracing == nil {
		o.Tracing = &telemetry.Tracing{}
	}
	if err := errors.Join(o.Limits.Check(), o.Web.Check(), CheckOrigins(o.Origins)); err != nil {
		return nil, err
	}
	if o.Keys == nil && !loopback(o.Address) {
		return nil, noKeys(o.Address)
	}
	s := &Server{o: o, started: time.Now(), now: time.Now, origin: http.NewCrossOriginProtection()}
	var err error
	if s.gates, err = o.Limits.gates(); err != nil {
		return nil, err
	}
	if err := s.SetRate(o.Limits.Rate, o.Limits.Burst); err != nil {
		return nil, err
	}
	if s.board, err = newBoard(table(), s.visitor); err != nil {
		return nil, err
	}
	s.api = newAPI(s.board, o.Version, s.o.Metrics)
	s.addQuestions()
	s.addPeople()
	s.addPlaces()
	s.addModels()
	s.addInference()
	s.addProbes()
	if err := s.addPages(); err != nil {
		return nil, err
	}
	if err := s.board.check(); err != nil {
		return nil, err
	}
	s.admin, err = s.adminRoutes()
	return s, err
}

// SetRate changes the rate and burst of every key while the service runs; 0 requests a
// second: no limit. Every key begins anew, with all of its burst.
func (s *Server) SetRate(perSecond float64, burst int) error {
	r, err := newRates(perSecond, burst)
	if err == nil {
		s.rates.Store(r)
	}
	return err
}

// Handler serves the routes of the table.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// AdminHandler serves metrics, profiles, reloading and the log level. It belongs on a
// listener of its own.
func (s *Server) AdminHandler() http.Handler { return s.admin }

// loopback reports whether only this machine can reach an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return loopbackHost(host)
}

func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func noKeys(address string) error {
	return fmt.Errorf("%w: it would listen at %q and ask nobody for a key; give it keys, or an address of this machine such as 127.0.0.1:8080", ErrOptions, address)
}

// CheckOrigins reports the first origin that is not one of a site.
func CheckOrigins(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != o || strings.Contains(u.Host, "*") {
			return fmt.Errorf("%w: origin %q: want scheme, host and port of one site, such as https://maps.example", ErrOptions, o)
		}
	}
	return nil
}
