package aaa

import (
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// AuthRecord is one decision as it is kept in auth_records: enough for an
// operator to see why a login was refused, and no secret.
type AuthRecord struct {
	ID               uuid.UUID // UUIDv7
	At               time.Time // when the request was received
	Username         string    // as sent
	Accepted         bool
	Reason           Reason
	Detail           string // for the operator, e.g. the check item that failed; no secret
	Method           Method
	NASID            uuid.UUID  // the directory's NAS
	NASAddr          netip.Addr // nas_ip: NAS-IP-Address if sent, else the source
	NASPortID        string
	CallingStationID string // raw
	CalledStationID  string // raw
	SessionNonce     Nonce  // of the Class that was issued; zero when refused
}
