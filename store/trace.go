package store

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/XSAM/otelsql"
	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
)

// Statements become spans only within a span, that of a request: the sinks and the change
// feed have none and are not traced. Spans hold the statements' text, never arguments.

// postgresTracer makes spans of what pgx does.
func postgresTracer(provider trace.TracerProvider) pgx.QueryTracer {
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(provider), otelpgx.WithMeterProvider(noop.NewMeterProvider()),
		otelpgx.WithDisableConnectionDetailsInAttributes())
}

// openSQLiteFile opens a database file; provider may be nil.
func openSQLiteFile(file string, provider trace.TracerProvider) (*sql.DB, error) {
	if provider == nil {
		return sql.Open("sqlite", file)
	}
	return otelsql.Open("sqlite", file, otelsql.WithTracerProvider(provider), otelsql.WithMeterProvider(noop.NewMeterProvider()),
		otelsql.WithAttributes(attribute.String("db.system.name", "sqlite")),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			OmitRows: true, OmitConnResetSession: true, OmitConnPrepare: true, OmitConnectorConnect: true,
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return trace.SpanFromContext(ctx).IsRecording()
			},
		}))
}
