package httpserver

import (
	"net/http"
	"strings"
)

// answerConditions answers 304 without the body to a GET whose If-None-Match names the
// ETag that the handler sets (RFC 9110 section 13.1.2).
func answerConditions(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := r.Header.Get("If-None-Match")
		if known == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(&conditional{ResponseWriter: w, known: known}, r)
	})
}

// conditional is an answer that may turn out to be known already.
type conditional struct {
	http.ResponseWriter
	known   string // If-None-Match
	decided bool
	same    bool // 304 was answered
}

// WriteHeader implements http.ResponseWriter.
func (w *conditional) WriteHeader(status int) {
	if status < http.StatusOK || w.decided {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.decided = true
	if tag := w.Header().Get("ETag"); status == http.StatusOK && tag != "" && matches(w.known, tag) {
		w.same = true
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding"} {
			w.Header().Del(name)
		}
		status = http.StatusNotModified
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *conditional) Write(b []byte) (int, error) {
	if !w.decided {
		w.WriteHeader(http.StatusOK)
	}
	if w.same {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (w *conditional) Flush() {
	if !w.decided {
		w.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *conditional) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// matches compares a list of entity tags, or *, with one, weakly (section 8.8.3.2).
func matches(list, tag string) bool {
	tag = strings.TrimPrefix(tag, "W/")
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || one == tag {
			return true
		}
	}
	return false
}
