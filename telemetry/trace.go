package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names this program's spans.
const scope = "github.com/whereto/whereto"

// w3c reads and writes the traceparent and tracestate headers.
var w3c = propagation.TraceContext{}

// ErrBadTracing says that the tracing settings cannot be used.
var ErrBadTracing = errors.New("bad tracing settings")

// Tracing sends spans to a collector. The zero value is off: its methods do nothing
// and allocate nothing.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// OpenTracing starts tracing if a collector is named by endpoint or, where that is empty, by
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT; without one it is
// off. Endpoint is the collector's base URL, such as http://127.0.0.1:4318: spans go to
// its path v1/traces by OTLP over HTTP. OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER=none
// switch it off; OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and
// _ARG, and OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _CERTIFICATE and the like count as the
// standard says. Without a sampler, every request is traced that comes with no trace of
// its own; one that does is traced if its caller traces it.
//
// Settings that cannot be used are ErrBadTracing. A collector that does not answer is no error:
// log gets a warning, spans are dropped.
func OpenTracing(version, endpoint string, log *slog.Logger) (*Tracing, error) {
	options, on, err := exporterOptions(endpoint)
	if err != nil || !on {
		return &Tracing{}, err
	}
	sampler, err := samplerOf(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return &Tracing{}, err
	}
	// The library tells of failed exports here and nowhere else.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "error", err) }))
	exporter, err := otlptracehttp.New(context.Background(), options...)
	if err != nil {
		return &Tracing{}, fmt.Errorf("%w: open the exporter: %w", ErrBadTracing, err)
	}
	t, err := newTracing(version, sdk.WithBatcher(exporter), sdk.WithSampler(sampler))
	if err != nil {
		return &Tracing{}, errors.Join(err, exporter.Shutdown(context.Background()))
	}
	return t, nil
}

func newTracing(version string, options ...sdk.TracerProviderOption) (*Tracing, error) {
	ours := resource.NewSchemaless(attribute.String("service.name", "whereto"), attribute.String("service.version", version))
	res, err := resource.Merge(ours, resource.Environment()) // the environment wins
	if err != nil {
		return nil, fmt.Errorf("%w: OTEL_RESOURCE_ATTRIBUTES: %w", ErrBadTracing, err)
	}
	p := sdk.NewTracerProvider(append(options, sdk.WithResource(res))...)
	return &Tracing{provider: p, tracer: p.Tracer(scope)}, nil
}

// exporterOptions checks the settings that say where spans go; on is false for nowhere.
func exporterOptions(endpoint string) (options []otlptracehttp.Option, on bool, err error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, false, nil
	}
	switch e := os.Getenv("OTEL_TRACES_EXPORTER"); e {
	case "", "otlp":
	case "none":
		return nil, false, nil
	default:
		return nil, false, fmt.Errorf("%w: OTEL_TRACES_EXPORTER is %q, want otlp or none", ErrBadTracing, e)
	}
	name, value := "the OTLP endpoint", endpoint
	for _, env := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if value == "" {
			name, value = env, os.Getenv(env)
		}
	}
	if value == "" {
		return nil, false, nil
	}
	for _, env := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(env); p != "" && p != "http/protobuf" && p != "http/json" {
			return nil, false, fmt.Errorf("%w: %s is %q, want http/protobuf or http/json", ErrBadTracing, env, p)
		}
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.User != nil {
		// The value is not quoted: what fails to parse may hold a password.
		return nil, false, fmt.Errorf("%w: %s is no plain http or https URL such as http://127.0.0.1:4318; a key for the collector goes into OTEL_EXPORTER_OTLP_HEADERS", ErrBadTracing, name)
	}
	if name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" {
		return nil, true, nil // the exporter reads it, path and all
	}
	return []otlptracehttp.Option{otlptracehttp.WithEndpointURL(u.JoinPath("v1/traces").String())}, true, nil
}

// samplerOf reads the standard names of samplers. The library would pass over a mistake.
func samplerOf(name, arg string) (sdk.Sampler, error) {
	ratio := 1.0
	if arg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("%w: OTEL_TRACES_SAMPLER_ARG is %q, want a ratio from 0 to 1", ErrBadTracing, arg)
		}
	}
	switch name {
	case "", "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(ratio)), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	case "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample()), nil
	case "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	}
	return nil, fmt.Errorf("%w: OTEL_TRACES_SAMPLER is %q, want parentbased_traceidratio, traceidratio, parentbased_always_on, parentbased_always_off, always_on or always_off", ErrBadTracing, name)
}

// On reports whether spans are recorded at all.
func (t *Tracing) On() bool { return t.tracer != nil }

// Request begins the span of one HTTP request, as a part of the caller's trace where
// the headers name one. It is named by method and route: a path may hold a user id.
func (t *Tracing) Request(ctx context.Context, h http.Header, method, route string) (context.Context, Span) {
	if t.tracer == nil {
		return ctx, Span{}
	}
	method = methodName(method)
	ctx = w3c.Extract(ctx, propagation.HeaderCarrier(h))
	ctx, s := t.tracer.Start(ctx, method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route)))
	return ctx, recording(s)
}

// Pass writes the trace of a context into the headers of an outgoing request.
func Pass(ctx context.Context, h http.Header) { w3c.Inject(ctx, propagation.HeaderCarrier(h)) }

// Close sends the spans that wait, for as long as the context allows.
func (t *Tracing) Close(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// Span is one piece of work under way. The zero value does nothing.
type Span struct{ span trace.Span }

// StageSpan begins the span of a stage of the request in the context. Outside a traced request
// it does nothing and allocates nothing.
func StageSpan(ctx context.Context, s Stage) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, s.String())
	return ctx, recording(span)
}

// recording drops spans that nobody will see, so that filling them costs nothing.
func recording(s trace.Span) Span {
	if !s.IsRecording() {
		return Span{}
	}
	return Span{s}
}

// Count says a number of the work, such as candidates or the beam's width.
func (s Span) Count(what string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int("whereto."+what, n))
	}
}

// Status records the HTTP status of a request; one of 500 or more marks the span as failed.
func (s Span) Status(status int) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= 500 {
		s.span.SetStatus(codes.Error, "")
	}
}

// Fail marks the span as failed, with the error's text less secrets and personal data.
// A nil error changes nothing.
func (s Span) Fail(err error) {
	if s.span != nil && err != nil {
		s.span.SetStatus(codes.Error, shared.text(safely(err.Error)))
	}
}

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
