package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// etag returns the ETag of a representation (RFC 9110 section 8.8.3). It changes with
// every change, since representations carry updated_at, which never stands still.
func etag(representation any) string {
	text, err := json.Marshal(representation)
	if err != nil {
		panic("api: a representation that is no JSON: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// checkMatch holds a change against what the client saw: If-Match, if sent, must name
// the present representation (RFC 9110 section 13.1.1).
func checkMatch(ifMatch string, present any) error {
	if ifMatch == "" || namesTag(ifMatch, etag(present)) {
		return nil
	}
	return errChanged
}

// errChanged answers a change that is based on what is not there any more.
var errChanged = problemf(http.StatusPreconditionFailed, "precondition_failed", "somebody else has changed it meanwhile: read it again")

// namesTag reports whether a list of entity tags, or *, names the tag.
func namesTag(list, tag string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(s string) bool {
		s = strings.TrimPrefix(strings.TrimSpace(s), "W/")
		return s == "*" || s == tag
	})
}
