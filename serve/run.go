package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Run serves on both listeners until the context ends, then drains: /readyz turns to
// 503, so that balancers look elsewhere; after the drain delay nothing is accepted any
// more; what is under way is finished within the shutdown timeout. Admin may be nil.
//
// The error is nil after a whole drain. Requests that did not finish in time are cut
// off, which is an error. The listeners are closed when Run returns.
func (s *Server) Run(ctx context.Context, api, admin net.Listener) error {
	err := s.safe(api, admin)
	if err != nil {
		return errors.Join(err, api.Close(), closed(admin))
	}
	l := &s.o.Limits
	front := s.httpServer(ctx, s.Handler(), l.WriteTimeout)
	failed := make(chan error, 2)
	go func() { failed <- front.Serve(netutil.LimitListener(api, l.Connections)) }()
	back := s.httpServer(ctx, s.AdminHandler(), l.LoadTimeout) // a profile takes a while
	if admin != nil {
		go func() { failed <- back.Serve(admin) }()
	}
	select {
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return errors.Join(err, s.drain(front, err != nil), closeServer(back))
}

// drain ends a server in the way that Run promises; at once if it failed already.
func (s *Server) drain(front *http.Server, failed bool) error {
	l := &s.o.Limits
	s.draining.Store(true)
	if failed {
		return closeServer(front)
	}
	s.o.Log.Info("shutting down: not ready from now on", slog.Duration("delay", l.DrainDelay))
	time.Sleep(l.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), l.ShutdownTimeout)
	defer cancel()
	if err := front.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("shut down: requests were cut off after %v: %w", l.ShutdownTimeout, err), closeServer(front))
	}
	s.o.Log.Info("shut down")
	return nil
}

func closeServer(h *http.Server) error {
	if err := h.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

func closed(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// safe refuses to listen to strangers without asking who they are.
func (s *Server) safe(api, admin net.Listener) error {
	if s.o.Keys == nil && !ours(api.Addr()) {
		return noKeys(api.Addr().String())
	}
	if admin != nil && s.o.AdminToken == "" && !ours(admin.Addr()) {
		return fmt.Errorf("%w: the admin listener at %s would ask for no token; give it one, or an address of this machine such as 127.0.0.1:9090", ErrOptions, admin.Addr())
	}
	return nil
}

// ours reports whether an address can be reached from this machine only.
func ours(a net.Addr) bool { return a.Network() == "unix" || loopback(a.String()) }

// httpServer sets the limits of connections. Requests outlive the context that asks
// the service to end, so that they can be finished.
func (s *Server) httpServer(ctx context.Context, h http.Handler, write time.Duration) *http.Server {
	l := &s.o.Limits
	return &http.Server{Handler: h, ReadHeaderTimeout: l.HeaderTimeout, ReadTimeout: l.ReadTimeout, WriteTimeout: write,
		IdleTimeout: l.IdleTimeout, MaxHeaderBytes: l.HeaderBytes,
		ErrorLog:    slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
}
