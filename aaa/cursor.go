package aaa

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"
)

// cursorVersion is the first octet of a cursor, cursorMark how many octets after it
// tell its list.
const (
	cursorVersion = 1
	cursorMark    = 8
	maxCursor     = 4096 // characters
	maxCursorKeys = 8
)

// FormatCursor writes the cursor that goes on after a row with these sort keys, of the
// list of that name with its sort and filter. It is for stores. A cursor is no secret
// and proves nothing: the keys may be anything.
func FormatCursor(list, sort string, filter any, keys ...string) string {
	b := append([]byte{cursorVersion}, markOf(list, sort, filter)...)
	for _, key := range keys {
		b = binary.AppendUvarint(b, uint64(len(key)))
		b = append(b, key...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads the keys that FormatCursor wrote, all of them text that a database
// can hold. It fails with ErrBadCursor if the cursor is of another list.
func ParseCursor(cursor, list, sort string, filter any) (keys []string, err error) {
	if len(cursor) > maxCursor {
		return nil, ErrBadCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || strings.ContainsAny(cursor, "\r\n") || len(b) < 1+cursorMark || b[0] != cursorVersion ||
		!bytes.Equal(b[1:1+cursorMark], markOf(list, sort, filter)) {
		return nil, ErrBadCursor
	}
	for b = b[1+cursorMark:]; len(b) > 0; {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) || len(keys) == maxCursorKeys {
			return nil, ErrBadCursor
		}
		key := string(b[n : n+int(size)])
		if !isText(key) {
			return nil, ErrBadCursor
		}
		keys, b = append(keys, key), b[n+int(size):]
	}
	return keys, nil
}

// markOf tells one list from others.
func markOf(list, sort string, filter any) []byte {
	h := sha256.New()
	h.Write([]byte(list + "\x00" + sort + "\x00"))
	text, err := json.Marshal(filter)
	if err != nil { // a time that JSON does not have
		text = []byte(err.Error())
	}
	h.Write(text)
	return h.Sum(nil)[:cursorMark]
}
