package store

import (
	"database/sql/driver"
	"encoding/hex"

	"radiusd/aaa"
)

// nonce is a session's nonce in hex; none is an empty text.
type nonce struct{ p *aaa.Nonce }

func (c nonce) text() string {
	if *c.p == (aaa.Nonce{}) {
		return ""
	}
	return c.p.String()
}
func (c nonce) Value() (driver.Value, error) { return c.text(), nil }
func (c nonce) appendBinary(b []byte) []byte { return appendText(b, c.text()) }
func (c nonce) Scan(src any) error {
	s, ok := src.(string)
	*c.p = aaa.Nonce{}
	if !ok || s != "" && len(s) != hex.EncodedLen(len(c.p)) {
		return mismatch(src, "a nonce in hex")
	}
	_, err := hex.Decode(c.p[:], []byte(s))
	return err
}
