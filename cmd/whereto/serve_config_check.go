package main

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/whereto/whereto/serve"
	storeopen "github.com/whereto/whereto/store/open"
	"github.com/whereto/whereto/telemetry"
)

// faults checks the settings as far as that needs nothing but them: whether files, the
// store and the ports are there shows when the service starts.
func (s *serving) faults() (bad faults) {
	verdicts := s.verdicts()
	slices.SortStableFunc(verdicts, func(a, b verdict) int { return cmp.Compare(s.from[a.flag].line, s.from[b.flag].line) })
	for _, v := range verdicts {
		if v.err != nil {
			bad.add(s.whereOf(v.flag), "%s", telemetry.Redact(v.err.Error()))
		}
	}
	if len(bad) > 0 {
		return bad
	}
	// The owners of limits have the last word.
	if err := s.limits.Check(); err != nil {
		bad.add("settings", "%w", err)
	}
	if err := s.live.Validate(); err != nil {
		bad.add("settings", "%w", err)
	}
	s.flags.VisitAll(func(f *pflag.Flag) {
		if strings.Contains(f.Value.String(), telemetry.Redacted) {
			bad.add(s.whereOf(f.Name), "its secret was left out when it was printed; put it back, or set %s", variableOf(f.Name))
		}
	})
	for _, name := range addresses {
		if _, twice := s.inFile(name); twice {
			bad.add(s.whereOf(name), "%s-file is set too; remove one of the two", name)
		}
	}
	return bad
}

// whereOf names a setting and where it comes from.
func (s *serving) whereOf(flag string) string {
	switch o := s.from[flag]; o.layer {
	case byFile:
		return o.where + ": " + flag
	case byEnvironment, byFlag:
		return o.where
	}
	return flag
}

// verdict is what is wrong with a setting, nil if nothing is.
type verdict struct {
	flag string
	err  error
}

func (s *serving) verdicts() []verdict {
	l := &s.limits
	var burst error
	if l.Rate > 0 {
		burst = within(l.Burst, 1, 1_000_000)
	}
	return []verdict{
		{"listen", address(s.listen, false)},
		{"admin-listen", address(s.admin, true)},
		{"store", storeopen.Check(s.store)},
		{"vectors", checkVectors(s.vectors)},
		{"origin", serve.CheckOrigins(s.origins)},
		{"log-format", oneOf(s.log.Format, "json", "text")},
		{"log-level", oneOf(s.log.Level, "debug", "info", "warn", "error")},
		{"drain-delay", within(l.DrainDelay, 0, maxTime)},
		{"shutdown-timeout", within(l.ShutdownTimeout, time.Millisecond, maxTime)},
		{"timeout", within(l.Timeout, time.Millisecond, maxTime)},
		{"state-ttl", within(s.ttl, 0, maxTime)},
		{"rate", within(l.Rate, 0, 1e6)},
		{"burst", burst},
		{"running", within(l.Running, 1, 1<<20)},
		{"queue", within(l.Queue, 0, 1<<20)},
		{"batch", within(s.live.Batch, 1, 256)},
		{"threads", within(s.threads, 0, 1024)},
		{"align", within(s.live.Align, 1, 1024)},
		{"past-mb", within(s.pastMB, 0, 1<<20)},
		{"hot-actions", within(s.hot, 1, math.MaxInt32)},
	}
}

// maxTime bounds every time that is a setting.
const maxTime = 24 * time.Hour

// within reports a number that is out of range.
func within[T cmp.Ordered](x, least, most T) error {
	if x >= least && x <= most { // NaN is not
		return nil
	}
	return fmt.Errorf("%v, want %v to %v", x, least, most)
}

// oneOf reports a word that is none of some.
func oneOf(word string, words ...string) error {
	if slices.Contains(words, word) {
		return nil
	}
	return fmt.Errorf("%q, want one of %s", word, strings.Join(words, ", "))
}

// address reports what is no address to listen at; none may be none.
func address(text string, none bool) error {
	if text == "" && none {
		return nil
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q, want host and port, such as 127.0.0.1:8080", text)
	}
	return nil
}
