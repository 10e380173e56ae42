package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"radiusd/config"
)

// traces send spans to where admin.traces says. Nil: there are none.
type traces struct{ provider *trace.TracerProvider }

// openTraces makes them; nil without admin.traces. program is the service's name. Nothing
// is connected yet, and a receiver that is away costs no more than the spans.
func openTraces(ctx context.Context, cfg *config.Config, program string, log *slog.Logger) (*traces, error) {
	if cfg.Admin.Traces == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(cfg.Admin.Traces), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("admin.traces: %w", err)
	}
	// The SDK knows no other way to say that spans were lost.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not delivered", "error", oneLine(err)) }))
	return &traces{trace.NewTracerProvider(
		trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", program), attribute.String("service.version", readBuild().Version))),
	)}, nil
}

// tracer is the provider for those who make spans; nil: there are no traces.
func (t *traces) tracer() oteltrace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// close sends what is left, as far as that is quick.
func (t *traces) close(log *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("the last traces are not delivered", "error", oneLine(err))
	}
}
