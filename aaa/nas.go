package aaa

import (
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/radius"
)

// NAS is a network access server, or a whole prefix of them, that may send
// requests.
type NAS struct {
	ID     uuid.UUID // UUIDv7
	Name   string
	Prefix netip.Prefix // a single address is a prefix of full length; unique
	Secret []byte       // shared secret, in the clear in memory
	// PreviousSecret is still accepted while an operator changes the secret on
	// both ends; nil: none.
	PreviousSecret              []byte
	Vendor                      string // picks the reply templates: "mikrotik", "cisco", …; empty: standard
	CoAPort                     uint16 // where it takes Disconnect and CoA requests; zero: 3799
	RequireMessageAuthenticator radius.Requirement
	LimitProxyState             bool // see radius.NAS
	CreatedAt                   time.Time
	UpdatedAt                   time.Time
}
