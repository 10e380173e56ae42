package httpserver

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced makes a span of each request. It has no path, query, header or body: these may
// hold what is nobody's business. A trace that a client began goes on only behind a
// trusted proxy.
func traced(next http.Handler, provider trace.TracerProvider, proxies proxies) http.Handler {
	tracer := provider.Tracer("radiusd/internal/httpserver")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if proxies.trust(peer(r)) {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		n, method := noteOf(ctx), methodName(r.Method)
		ctx, span := tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", method), attribute.String("radiusd.request_id", n.id)))
		seen := &recorder{ResponseWriter: w}
		defer func() {
			route := routeName(n.route)
			span.SetName(method + " " + route)
			span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", seen.status))
			if seen.status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, "")
			}
			span.End()
		}()
		next.ServeHTTP(seen, r.WithContext(ctx))
	})
}
