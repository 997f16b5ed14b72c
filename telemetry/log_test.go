package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"
)

// newLog returns a logger and what it wrote.
func newLog(t testing.TB, o LogOptions) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	l, err := NewLogger(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	return l, &out
}

// lineOf parses the one JSON line of a log.
func lineOf(t testing.TB, out *bytes.Buffer) map[string]any {
	t.Helper()
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return line
}

func TestNewLoggerSettings(t *testing.T) {
	for _, tc := range []struct {
		o   LogOptions
		bad bool
	}{
		{LogOptions{}, false},
		{LogOptions{Format: "text", Level: "debug"}, false},
		{LogOptions{Format: "xml"}, true},
		{LogOptions{Level: "loud"}, true},
		{LogOptions{Level: "INFO"}, true},
	} {
		if _, err := NewLogger(&bytes.Buffer{}, tc.o); errors.Is(err, ErrBadLogging) != tc.bad {
			t.Errorf("%+v: %v, want an error: %v", tc.o, err, tc.bad)
		}
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "": 3, "info": 3, "warn": 2, "error": 1} {
		l, out := newLog(t, LogOptions{Level: level, Format: "text"})
		l.Debug("a")
		l.Info("a")
		l.Warn("a")
		l.Error("a")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("level %q wrote %d lines, want %d", level, got, want)
		}
	}
}

// Groups and attributes come out as every slog handler must write them.
func TestHandlerKeepsTheRules(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out.Reset()
		l, err := NewLogger(&out, LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l.Handler()
	}, func(t *testing.T) map[string]any { return lineOf(t, &out) })
}

func TestTextHides(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"nothing here, 12:30 on port 8080", "nothing here, 12:30 on port 8080"},
		{"key wt_abcdefgh0123 is gone", "key [redacted] is gone"},
		{"open postgres://app:s3cr@t/x@db:5432/w?sslmode=off", "open postgres://[redacted]@db:5432/w?sslmode=off"},
		{"redis://:pw@host", "redis://[redacted]@host"},
		{"https://tiles.example/city.pmtiles", "https://tiles.example/city.pmtiles"},
		{"Bearer abc.def-ghi rejected", "Bearer [redacted] rejected"},
		{"bearer Bearer abc", "bearer [redacted] [redacted]"},
		{"Authorization: Basic dXNlcjpwdw==\nHost: x", "Authorization:[redacted]"},
		{"host=db password='a b c' port=5432", "host=db password=[redacted] port=5432"},
		{`{"password": "a \" b", "n": 1}`, `{"password": [redacted], "n": 1}`},
		{`{\"password\": \"a b\", \"n\": 1}`, `{\"password\": [redacted], \"n\": 1}`},
		{"X-Api-Key=hunter2", "X-Api-Key=[redacted]"},
		{"apiKey: hunter2 ok", "apiKey: [redacted] ok"},
		{"?api_key%3Dhunter2", "?api_key%3D[redacted]"},
		{`parse "postgres://u:p/w@h": invalid port ":p" after host`, `parse "postgres://[redacted]@h": invalid port [redacted] after host`},
		{"map[X-Api-Key:[a b] Accept:[x]]", "map[X-Api-Key:[redacted] Accept:[x]]"},
		{`x="password="a`, `x="password=[redacted]`},
		{"password authentication failed", "password authentication failed"},
		{`secret="never ends and ends`, `secret=[redacted]`},
	} {
		if got := newRedactor(false).text(tc.in); got != tc.want {
			t.Errorf("%s\n got %s\nwant %s", tc.in, got, tc.want)
		}
	}
}

func TestTextHashesPeople(t *testing.T) {
	r := newRedactor(false)
	ann := r.hash("ann")
	for _, tc := range []struct{ in, want string }{
		{`unknown user "ann"`, `unknown user "` + ann + `"`},
		{"user=ann, k=3", "user=" + ann + ", k=3"},
		{`{"user":"ann"}`, `{"user":"` + ann + `"}`},
		{"GET /v1/users/ann/actions", "GET /v1/users/" + ann + "/actions"},
		{"route /v1/users/{user}/actions", "route /v1/users/{user}/actions"},
		{"user 395: no visit", "user " + r.hash("395") + ": no visit"},
		{"lat=40.7 lng: -73.9", "lat=" + r.hash("40.7") + " lng: " + r.hash("-73.9")},
		{"user has no visit", "user has no visit"},
		{"flat=3", "flat=3"},
	} {
		if got := r.text(tc.in); got != tc.want {
			t.Errorf("%s\n got %s\nwant %s", tc.in, got, tc.want)
		}
		if got := newRedactor(true).text(tc.in); got != tc.in {
			t.Errorf("with personal data allowed %s became %s", tc.in, got)
		}
	}
}

func TestLongTextIsCutAtASpace(t *testing.T) {
	long := strings.Repeat("word ", maxText) + "end"
	if got := newRedactor(false).text(long); len(got) > maxText+len("[cut]") || !strings.HasSuffix(got, "word [cut]") {
		t.Errorf("%d bytes, ends with %q", len(got), got[len(got)-20:])
	}
	half := strings.Repeat("x", maxText-20) + " redis://:" + strings.Repeat("p", 40) + "@host"
	if got := newRedactor(false).text(half); strings.Contains(got, "p") {
		t.Errorf("half a password stayed: %q", got[len(got)-30:])
	}
	many := strings.Repeat("a_token=1 ", 500) + "tail"
	if got := newRedactor(false).text(many); strings.Contains(got, "tail") || !strings.HasSuffix(got, hidden) {
		t.Errorf("beyond %d finds all is hidden, got %q", maxFinds, got[len(got)-30:])
	}
}

func TestAttributesAreMarkedByName(t *testing.T) {
	l, out := newLog(t, LogOptions{})
	l.Info("m", "api_key", 12, "DSN", "host=x", "user", "ann", "lat", 40.7, "for_user", "ann", "places", 3, "user_id", "",
		slog.Group("token", "a", "x"), slog.Group("position", "a", 1.5), "model", "nyc")
	line := lineOf(t, out)
	for k, want := range map[string]any{"api_key": hidden, "DSN": hidden, "token": hidden, "places": 3., "user_id": "", "model": "nyc"} {
		if line[k] != want {
			t.Errorf("%s: got %v, want %v", k, line[k], want)
		}
	}
	user, _ := line["user"].(string)
	if len(user) != 13 || line["for_user"] != user || strings.Contains(out.String(), "ann") || strings.Contains(out.String(), "40.7") {
		t.Errorf("people can be told: %s", out)
	}
	if g := line["position"].(map[string]any); g["a"] == 1.5 {
		t.Errorf("group position: %v", g)
	}
	l, out = newLog(t, LogOptions{Personal: true})
	l.Info("m", "user", "ann", "lat", 40.7, "password", "x")
	if line := lineOf(t, out); line["user"] != "ann" || line["lat"] != 40.7 || line["password"] != hidden {
		t.Errorf("with personal data allowed: %v", line)
	}
}

func TestIdsOfRequestAndTraceStandAtTheTop(t *testing.T) {
	l, out := newLog(t, LogOptions{})
	ctx, id := WithRequestID(t.Context(), "abc-1")
	ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	l.WithGroup("g").With("a", 1).WithGroup("h").InfoContext(ctx, "m", "b", 2)
	line := lineOf(t, out)
	if id != "abc-1" || line["request_id"] != "abc-1" || line["trace_id"] != "01000000000000000000000000000000" || line["span_id"] != "0200000000000000" {
		t.Errorf("%v", line)
	}
	g := line["g"].(map[string]any)
	if h := g["h"].(map[string]any); g["a"] != 1. || h["b"] != 2. {
		t.Errorf("%v", line)
	}
}

func TestWithRequestID(t *testing.T) {
	for _, tc := range []struct {
		callers string
		kept    bool
	}{
		{"abc", true}, {"0f-A_z.9", true}, {"", false}, {"a b", false}, {"a\nb", false}, {"é", false},
		{strings.Repeat("a", maxRequestID), true}, {strings.Repeat("a", maxRequestID+1), false}, {"wt_abcdefgh01", false},
	} {
		ctx, id := WithRequestID(t.Context(), tc.callers)
		if (id == tc.callers) != tc.kept || id == "" || RequestID(ctx) != id {
			t.Errorf("%q became %q, want it kept: %v", tc.callers, id, tc.kept)
		}
	}
	if id := RequestID(t.Context()); id != "" {
		t.Errorf("a context without an id has %q", id)
	}
}

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

type valuer struct{ v slog.Value }

func (v valuer) LogValue() slog.Value { return v.v }

type marshaler struct{ s string }

func (m marshaler) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]string{"a": m.s}) }

type textual struct{ s string }

func (m textual) MarshalText() ([]byte, error) { return []byte(m.s), nil }

type deep struct {
	Body  []byte
	Next  *deep
	Any   any
	Text  string `json:"-"`
	inner string
}

// carriers put a text into every kind of value a log can hold.
var carriers = map[string]func(s string) any{
	"string":   func(s string) any { return s },
	"bytes":    func(s string) any { return []byte(s) },
	"error":    func(s string) any { return fmt.Errorf("open: %w", errors.New(s)) },
	"joined":   func(s string) any { return errors.Join(errors.New("a"), errors.New(s)) },
	"stringer": func(s string) any { return stringer{s} },
	"pointer":  func(s string) any { return &s },
	"json":     func(s string) any { return marshaler{s} },
	"raw json": func(s string) any { b, _ := json.Marshal([]string{s}); return json.RawMessage(b) },
	"text":     func(s string) any { return textual{s} },
	"struct":   func(s string) any { return deep{Body: []byte(s), Text: s, inner: s, Next: &deep{Any: []any{s}}} },
	"map":      func(s string) any { return map[string]any{"a": s, s: 1} },
	"list":     func(s string) any { return [][]string{{s}} },
	"header":   func(s string) any { return http.Header{"X-Note": {s}} },
	"query":    func(s string) any { return url.Values{"q": {s}} },
	"valuer":   func(s string) any { return valuer{slog.StringValue(s)} },
	"valuers": func(s string) any {
		return valuer{slog.AnyValue(valuer{slog.AnyValue([]any{valuer{slog.StringValue(s)}})})}
	},
	"grouped": func(s string) any { return valuer{slog.GroupValue(slog.String("a", s), slog.Any(s, errors.New(s)))} },
	"list of valuers": func(s string) any {
		return []slog.LogValuer{valuer{slog.GroupValue(slog.Any("a", stringer{s}))}}
	},
}

// shapes are the looks of secrets that need no name.
var shapes = map[string]func(secret string) string{
	"key":       func(s string) string { return "wt_" + s },
	"bearer":    func(s string) string { return "Bearer " + s },
	"url":       func(s string) string { return "postgres://app:" + s + "@db/where" },
	"dsn":       func(s string) string { return "host=db password=" + s },
	"quoted":    func(s string) string { return `{"api_key": "` + s + `"}` },
	"header":    func(s string) string { return "Authorization: Basic " + s },
	"parameter": func(s string) string { return "/v1/x?token=" + s },
}

func keysOf[V any](m map[string]V) *rapid.Generator[string] {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	return rapid.SampledFrom(sortedStrings(ks))
}

// A secret put anywhere never comes out: in the message, as a key, a value, under a
// name that says so, in groups, in every kind of value, in both formats.
func TestSecretsNeverComeOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9]{12,20}`).Draw(t, "secret")
		noise := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`x="`, "bearer ", "key=", "password: ", "http://", "token='", `\`, `{"a":"`}))
		text := noise.Draw(t, "before") + shapes[keysOf(shapes).Draw(t, "shape")](secret) + noise.Draw(t, "after")
		value := carriers[keysOf(carriers).Draw(t, "carrier")]
		named := rapid.SampledFrom([]string{"password", "X-API-Key", "authorization", "db_dsn", "refreshToken", "key"}).Draw(t, "name")

		var out bytes.Buffer
		l, err := NewLogger(&out, LogOptions{Format: rapid.SampledFrom([]string{"json", "text"}).Draw(t, "format"), Personal: rapid.Bool().Draw(t, "personal")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, _ := WithRequestID(context.Background(), text)
		switch rapid.IntRange(0, 8).Draw(t, "where") {
		case 0:
			l.InfoContext(ctx, text)
		case 1:
			l.InfoContext(ctx, "m", "a", value(text))
		case 2:
			l.InfoContext(ctx, "m", text, 1)
		case 3:
			l.With("a", value(text)).InfoContext(ctx, "m")
		case 4:
			l.WithGroup(text).InfoContext(ctx, "m", "a", 1)
		case 5:
			l.WithGroup("g").With(slog.Group("h", "a", value(text))).InfoContext(ctx, "m", slog.Group("i", slog.Group("j", "a", value(text))))
		case 6:
			l.InfoContext(ctx, "m", named, value(secret))
		case 7:
			l.WithGroup(named).With("a", value(secret)).InfoContext(ctx, "m", "b", value(secret))
		case 8:
			l.InfoContext(ctx, "m", "a", map[string]any{"b": map[string]any{named: value(secret)}})
		}
		if out.Len() == 0 || strings.Contains(out.String(), secret) {
			t.Fatalf("%q came out: %s", secret, &out)
		}
	})
}

// What hides secrets must not hide everything.
func TestOrdinaryValuesComeOut(t *testing.T) {
	for name, value := range carriers {
		l, out := newLog(t, LogOptions{})
		l.Info("m", "a", value("ordinary-text"))
		if !strings.Contains(out.String(), "ordinary-text") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// A value that cannot be written harms neither the caller nor the rest of the line.
func TestValuesThatMisbehave(t *testing.T) {
	type loop struct{ Next *loop }
	round := &loop{}
	round.Next = round
	var nilErr *url.Error
	endless := &struct{ V slog.LogValuer }{}
	for name, v := range map[string]any{"cycle": round, "nil error": error(nilErr), "function": func() {}, "channel": make(chan int),
		"wide": make([]int, 100_000), "invalid bytes": []byte{0xff, 0xfe}, "nil in an interface": endless} {
		l, out := newLog(t, LogOptions{})
		l.Info("m", "a", v, "b", 7)
		if line := lineOf(t, out); line["b"] != 7. || out.Len() > 4*maxText {
			t.Errorf("%s: %d bytes: %.200s", name, out.Len(), out)
		}
	}
}

func TestLogConcurrently(t *testing.T) {
	l, out := newLog(t, LogOptions{})
	l = l.WithGroup("g").With("a", 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				l.With("b", i).Info("m", "password", "hunter2hunter2", "c", "Bearer hunter2hunter2")
			}
		})
	}
	wg.Wait()
	if n := strings.Count(out.String(), "\n"); n != 400 || strings.Contains(out.String(), "hunter2") {
		t.Errorf("%d lines, want 400; secret out: %v", n, strings.Contains(out.String(), "hunter2"))
	}
}

// FuzzText puts secrets between any two texts.
func FuzzText(f *testing.F) {
	f.Add("", "")
	f.Add(`x="`, `"`)
	f.Add("bearer ", "@")
	f.Add(strings.Repeat("key=", 80), " user 7")
	f.Fuzz(func(t *testing.T, before, after string) {
		const body = "S3cretS3cretS3cret"
		if strings.Contains(before+after, body) {
			t.Skip("the noise holds the secret itself")
		}
		for name, shape := range shapes {
			if got := shared.text(before + shape(body) + after); strings.Contains(got, body) {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
}

func BenchmarkLogLine(b *testing.B) {
	l, out := newLog(b, LogOptions{})
	ctx, _ := WithRequestID(b.Context(), "")
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		l.InfoContext(ctx, "answered", "route", "/v1/recommend", "status", 200, "user", "395", "took_ms", 12.5, "error", "deadline: 20 ms")
	}
}

// TestLevelChanges: a logger with a variable level follows it.
func TestLevelChanges(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	l, err := NewLogger(&b, LogOptions{Level: "warn", Var: level})
	if err != nil {
		t.Fatal(err)
	}
	l.Info("one")
	level.Set(slog.LevelInfo)
	l.Info("two")
	if got := b.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") {
		t.Errorf("logged %s", got)
	}
}
