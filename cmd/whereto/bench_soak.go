package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/client"
	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/load"
)

// soak is a long load on a service that is reloaded, killed and restarted meanwhile.
type soak struct {
	cmd      *cobra.Command
	runs     []string
	data     []string
	store    string
	restart  string
	page     string
	cfg      load.Config
	url      string
	args     []string
	child    *exec.Cmd
	gone     chan error
	windows  chan load.Window
	versions []string
}

func newBenchSoakCmd() *cobra.Command {
	s := soak{cfg: load.Default()}
	s.cfg.Duration, s.cfg.VerifyWrites = 30*time.Minute, true
	mix := "recommend=70,rank=5,similar=5,actions=20"
	output := &enum{"table", []string{"table", "json", "markdown"}}
	cmd := &cobra.Command{
		Use:   "soak RUN...",
		Short: "Load a service for long while it is reloaded, killed and restarted; nothing may be lost",
		Long: "Start a service of the runs and load it, writes included. Every fifteenth of the time\n" +
			"another version is activated (give two runs); a third of the way the service is\n" +
			"killed as by a power cut and started again; half way the store is restarted, if\n" +
			"--restart-store says how; two thirds of the way the service is told to stop and\n" +
			"started again. In the end every acknowledged action is looked up. The status is 1\n" +
			"if one is lost or a request failed other than while the service was away.",
		Example: "  whereto bench soak runs/nyc-s1 runs/nyc-s2 --data checkins.tsv.gz --duration 30m --rate 40 --page soak.html",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			s.cmd, s.runs = cmd, args
			if s.cfg.Mix, err = load.ParseMix(mix); err != nil {
				return asUsage(cmd, err)
			}
			r, err := s.run(cmd.Context())
			if err != nil {
				return err
			}
			return s.report(r, output.value)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.data, "data", nil, "where the data of the runs is now, if it has moved")
	f.StringVar(&s.store, "store", "", "store of the service (default: SQLite in a temporary folder)")
	f.StringVar(&s.restart, "restart-store", "", "shell command that restarts the store and returns when it is back")
	f.StringVar(&s.page, "page", "", "write a page with the memory over time")
	f.Float64Var(&s.cfg.Rate, "rate", 40, "requests a second")
	f.DurationVar(&s.cfg.Duration, "duration", s.cfg.Duration, "time that is measured")
	f.Uint64Var(&s.cfg.Seed, "seed", s.cfg.Seed, "of arrivals and requests")
	f.StringVar(&mix, "mix", mix, "weights of the kinds of requests; actions must be among them")
	f.VarP(output, "output", "o", "table, json or markdown")
	return cmd
}

// run starts the service, the load and the trouble.
func (s *soak) run(ctx context.Context) (r *load.Result, err error) {
	dir, err := os.MkdirTemp("", "whereto-soak-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if s.store == "" {
		s.store = "sqlite:" + filepath.Join(dir, "state.db")
	}
	main, admin, err := freePorts()
	if err != nil {
		return nil, err
	}
	s.url, s.cfg.URL, s.cfg.Admin = "http://"+main, "http://"+main, "http://"+admin
	s.args = append([]string{"serve"}, s.runs...)
	s.args = append(s.args, "--listen", main, "--admin-listen", admin, "--rate", "0", "--drain-delay", "0", "--log-level", "error", "--backend", globalsOf(s.cmd).Backend)
	for _, d := range s.data {
		s.args = append(s.args, "--data", d)
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end(syscall.SIGTERM)) }()
	if err := s.learnVersions(ctx); err != nil {
		return nil, err
	}
	if globalsOf(s.cmd).Progress != "none" {
		s.cfg.Progress = func(line string) { fmt.Fprintln(s.cmd.ErrOrStderr(), line) }
	}
	s.windows = make(chan load.Window, 16)
	trouble, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.trouble(trouble) }()
	r, err = load.Run(ctx, s.cfg, s.windows)
	stop()
	return r, errors.Join(err, <-done)
}

// freePorts are two addresses on loopback that nobody listens on.
func freePorts() (a, b string, err error) {
	var names []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		names = append(names, l.Addr().String())
	}
	return names[0], names[1], nil
}

// start starts the service and waits until it is ready.
func (s *soak) start(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	s.child = exec.Command(exe, s.args...)
	s.child.Env = append(os.Environ(), envPrefix+"STORE="+s.store) // an address may hold a password
	s.child.Stderr = s.cmd.ErrOrStderr()
	if err := s.child.Start(); err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	child, gone := s.child, make(chan error, 1)
	s.gone = gone
	go func() { gone <- child.Wait() }()
	c, err := client.New(s.url, client.Options{Retry: client.Retry{Attempts: 1}})
	if err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
		if err := c.Ready(ctx); err == nil {
			return nil
		}
		select {
		case err := <-gone:
			gone <- err
			return fmt.Errorf("the service ended before it was ready: %w", err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.end(syscall.SIGTERM))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.Join(errors.New("the service is not ready after five minutes"), s.end(syscall.SIGKILL))
}

// end ends the service by a signal. That a killed one says so is no error.
func (s *soak) end(signal syscall.Signal) error {
	if s.child == nil {
		return nil
	}
	if err := s.child.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end the service: %w", err)
	}
	err := <-s.gone
	s.child = nil
	if signal == syscall.SIGKILL {
		return nil
	}
	return err
}

// learnVersions asks which versions there are to switch between.
func (s *soak) learnVersions(ctx context.Context) error {
	c, err := client.New(s.url, client.Options{})
	if err != nil {
		return err
	}
	models, err := c.Models(ctx)
	for _, m := range models {
		s.versions = append(s.versions, m.Version)
	}
	return err
}

// trouble does to the service what a month does, until the context ends.
func (s *soak) trouble(ctx context.Context) error {
	begin := time.Now().Add(s.cfg.Warmup)
	step := s.cfg.Duration / 15
	for n := 1; n <= 14; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(begin.Add(time.Duration(n) * step))):
		}
		var err error
		switch {
		case n == 5:
			err = s.away("killed and started again", func() error { return errors.Join(s.end(syscall.SIGKILL), s.start(ctx)) })
		case n == 10:
			err = s.away("told to stop and started again", func() error { return errors.Join(s.end(syscall.SIGTERM), s.start(ctx)) })
		case n == 7 && s.restart != "":
			err = s.away("store restarted", func() error { return exec.CommandContext(ctx, "sh", "-c", s.restart).Run() })
		case len(s.versions) > 1:
			err = s.activate(ctx, s.versions[n%len(s.versions)])
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// away announces the time in which the service cannot answer.
func (s *soak) away(why string, do func() error) error {
	w := load.Window{From: time.Now(), Why: why}
	err := do()
	w.To = time.Now()
	s.windows <- w
	return err
}

func (s *soak) activate(ctx context.Context, version string) error {
	c, err := client.New(s.url, client.Options{})
	if err != nil {
		return err
	}
	_, err = c.Activate(ctx, version)
	return err
}

// report prints the result and fails if something was lost or failed.
func (s *soak) report(r *load.Result, output string) error {
	if s.page != "" {
		if err := file.Write(s.page, func(w io.Writer) error { return r.Page(w) }); err != nil {
			return err
		}
	}
	err := printLoad(s.cmd, r, output)
	failed := 0
	for _, n := range r.Total.Errors {
		failed += n
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d requests failed while the service should have answered: %v", failed, r.Total.Errors))
	}
	return err
}
