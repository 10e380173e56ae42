package httpserver

import (
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// compressFrom is the size from which an answer is compressed: below, it fits one packet
// anyhow.
const compressFrom = 1400

// compress encodes answers with gzip or zstd as the client asks.
//
// Left as they are: what is small, what routes keep Uncompressed, and what has a strong
// ETag, which stands for the octets (RFC 9110 section 8.8.3.3) and is on single
// resources, which are small.
func compress(next http.Handler, routes *routeTable) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(compressFrom), gzhttp.SetContentType(false), gzhttp.KeepAcceptRanges())
	if err != nil {
		return nil, err
	}
	compressed := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&keepStrong{ResponseWriter: w}, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if routes.of(r).Uncompressed {
			next.ServeHTTP(w, r)
			return
		}
		compressed.ServeHTTP(w, r)
	}), nil
}

// keepStrong keeps answers with a strong ETag from being compressed.
type keepStrong struct {
	http.ResponseWriter
	decided bool
}

func (w *keepStrong) decide() {
	if tag := w.Header().Get("ETag"); !w.decided && tag != "" && !strings.HasPrefix(tag, "W/") {
		w.Header().Set(gzhttp.HeaderNoCompression, "1")
	}
	w.decided = true
}

func (w *keepStrong) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.decide()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *keepStrong) Write(b []byte) (int, error) {
	w.decide()
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (w *keepStrong) Flush() {
	w.decide()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *keepStrong) Unwrap() http.ResponseWriter { return w.ResponseWriter }
