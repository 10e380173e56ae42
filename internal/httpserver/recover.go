package httpserver

import (
	"log/slog"
	"net/http"
	"runtime/debug"
)

// recoverPanics answers 500 for a handler that panicked. What it panicked with, and
// where, is in the log alone. An answer that had begun is cut off, so that nobody takes
// it for whole.
func recoverPanics(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := &recorder{ResponseWriter: w}
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler:
				panic(cause) // what net/http knows as a wish to cut off
			default:
				log.ErrorContext(r.Context(), "a request failed: panic", "request_id", noteOf(r.Context()).id,
					"method", r.Method, "route", r.Pattern, "panic", cause, "stack", string(debug.Stack()))
				if began.status != 0 {
					panic(http.ErrAbortHandler)
				}
				clear(w.Header())
				for name, values := range began.before {
					w.Header()[name] = values
				}
				writeProblem(w, r, http.StatusInternalServerError, "internal", "something went wrong; the server's log has the request_id")
			}
		}()
		began.before = w.Header().Clone()
		next.ServeHTTP(began, r)
	})
}
