package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// authColumns are the columns of auth_records.
var authColumns = []column[aaa.AuthRecord]{
	id("id", func(r *aaa.AuthRecord) uuid.UUID { return r.ID }),
	moment("at", func(r *aaa.AuthRecord) time.Time { return storable(r.At) }),
	narrow("at_microseconds", func(r *aaa.AuthRecord) uint32 { return microseconds(r.At) }),
	text("username", func(r *aaa.AuthRecord) string { return r.Username }),
	flag("accepted", func(r *aaa.AuthRecord) bool { return r.Accepted }),
	text("reason", func(r *aaa.AuthRecord) string { return r.Reason.String() }),
	text("detail", func(r *aaa.AuthRecord) string { return r.Detail }),
	text("method", func(r *aaa.AuthRecord) string { return r.Method.String() }),
	id("nas_id", func(r *aaa.AuthRecord) uuid.UUID { return r.NASID }),
	octets("nas_ip", func(b []byte, r *aaa.AuthRecord) []byte { return r.NASAddr.Unmap().WithZone("").AppendTo(b) }),
	text("nas_port_id", func(r *aaa.AuthRecord) string { return r.NASPortID }),
	text("calling_station_id", func(r *aaa.AuthRecord) string { return r.CallingStationID }),
	text("called_station_id", func(r *aaa.AuthRecord) string { return r.CalledStationID }),
	text("session_nonce", func(r *aaa.AuthRecord) string { return r.SessionNonce }),
}

// AppendAuthRecords keeps decisions. After an error some may be there; a record that
// is given again is kept once.
func (s *Store) AppendAuthRecords(ctx context.Context, records []aaa.AuthRecord) error {
	if err := insertRows(ctx, s, new(scratch), "auth_records", authColumns, records); err != nil {
		return fmt.Errorf("append auth records: %w", err)
	}
	return nil
}

var _ aaa.AuthRecordStore = (*Store)(nil)
