package httpserver

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// grace is for the answer to a request that used up its time.
const grace = 5 * time.Second

// withProgress lets a request last as long as its client goes on reading and writing: a
// pause longer than patience ends it. A connection that takes no deadlines is bounded by
// nothing here; net/http's own all do.
func withProgress(w http.ResponseWriter, r *http.Request, patience time.Duration) (http.ResponseWriter, *http.Request) {
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Time{})
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &progressReader{ReadCloser: r.Body, connection: connection, patience: patience}
	} else {
		_ = connection.SetReadDeadline(time.Time{})
	}
	return &progressWriter{ResponseWriter: w, connection: connection, patience: patience}, r
}

// progressReader is a body whose every read may take the patience anew.
type progressReader struct {
	io.ReadCloser
	connection *http.ResponseController
	patience   time.Duration
}

func (b *progressReader) Read(p []byte) (int, error) {
	_ = b.connection.SetReadDeadline(time.Now().Add(b.patience))
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		// net/http goes on reading to see the client hang up, which is no deadline's
		// business.
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}

// progressWriter is an answer whose every write may take the patience anew.
type progressWriter struct {
	http.ResponseWriter
	connection *http.ResponseController
	patience   time.Duration
}

func (w *progressWriter) Write(p []byte) (int, error) {
	_ = w.connection.SetWriteDeadline(time.Now().Add(w.patience))
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *progressWriter) Flush() {
	_ = w.connection.SetWriteDeadline(time.Now().Add(w.patience))
	_ = w.connection.Flush()
}

// Unwrap is for http.ResponseController.
func (w *progressWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
