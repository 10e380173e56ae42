package api

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"

	"github.com/google/uuid"

	"radiusd/operator"
)

const idempotencyHeader = "Idempotency-Key"

// withIdempotency gives the request's Idempotency-Key, if it has one, to the store: the
// create that it leads to is made once.
func withIdempotency(o *operation, r *http.Request) (*http.Request, error) {
	key := r.Header.Get(idempotencyHeader)
	if key == "" || !o.idempotent {
		return r, nil
	}
	if !isText(key) || len(key) > 200 {
		return r, problemf(http.StatusBadRequest, "malformed_request", "%s is not text of up to 200 octets", idempotencyHeader)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return r, problemf(http.StatusBadRequest, "malformed_request", "the body could not be read")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r.WithContext(operator.WithIdempotency(r.Context(), operator.IdempotencyKey{
		Key: key, Operation: o.id, RequestHash: sha256.Sum256(append([]byte(r.URL.EscapedPath()+"\x00"), body...)),
	})), nil
}

// repeated returns the id of what an earlier request with the same Idempotency-Key has
// made, if err says so.
func repeated(err error) (uuid.UUID, bool) {
	var again *operator.RepeatedError
	if errors.As(err, &again) {
		return again.EntityID, true
	}
	return uuid.Nil, false
}

// repeatedOnce is the answer to a repeated create whose secret was shown once.
func repeatedOnce(id uuid.UUID) error {
	return problemf(http.StatusConflict, "repeated", "the first request with this Idempotency-Key has made %s, whose secret was shown then", id)
}
