package httpserver

import (
	"strings"

	"github.com/google/uuid"
)

const (
	requestIDHeader = "X-Request-Id"
	longestID       = 128
	idLetters       = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:+/="
)

// newID makes an id that sorts by time.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// saneID reports whether a request id of somebody else can stand in a log and a header.
func saneID(id string) bool {
	return id != "" && len(id) <= longestID && strings.Trim(id, idLetters) == ""
}
