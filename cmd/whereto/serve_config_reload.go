package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/pflag"
)

// reloader reads the settings of a running service again. The log level and the rate of
// keys change at once; everything else is built into what runs and waits for a restart.
type reloader struct {
	mu    sync.Mutex
	given map[string]setting // of the command line
	now   map[string]setting // in force
	level *slog.LevelVar
	rate  func(perSecond float64, burst int) error
}

func newReloader(s *serving) *reloader {
	r := &reloader{given: s.given, now: map[string]setting{}, level: s.log.Var}
	s.flags.VisitAll(func(f *pflag.Flag) { r.now[f.Name] = settingOf(f) })
	return r
}

// reload puts in force what can be, and returns the names of other settings that
// changed. If anything is wrong, nothing changes. A level that was set by hand stays
// unless the setting itself changed.
func (r *reloader) reload(context.Context) (restart []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := newSettings()
	next.given = r.given
	if err := next.layer(os.LookupEnv); err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(next.log.Level)); err != nil {
		return nil, err
	}
	changed := map[string]setting{}
	next.flags.VisitAll(func(f *pflag.Flag) {
		v := settingOf(f)
		if v.equal(r.now[f.Name]) || !isSetting(f) {
			return
		}
		switch f.Name {
		case "log-level", "rate", "burst":
			changed[f.Name] = v
		default:
			restart = append(restart, f.Name)
		}
	})
	_, rate := changed["rate"]
	if _, burst := changed["burst"]; rate || burst {
		if err := r.rate(next.limits.Rate, next.limits.Burst); err != nil {
			return nil, err
		}
	}
	if _, ok := changed["log-level"]; ok {
		r.level.Set(level)
	}
	for name, v := range changed {
		r.now[name] = v
	}
	return restart, nil
}

// onHangup calls reload at every SIGHUP until stopped.
func onHangup(ctx context.Context, reload func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				reload(ctx)
			}
		}
	}()
	return func() { signal.Stop(hangup); cancel(); <-done }
}
