package clickhouse

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// authColumns are the columns of auth_records.
var authColumns = []column[aaa.AuthEntry]{
	id("id", func(r *aaa.AuthEntry) uuid.UUID { return r.ID }),
	moment("at", func(r *aaa.AuthEntry) time.Time { return storable(r.At) }),
	narrow("at_microseconds", func(r *aaa.AuthEntry) uint32 { return microseconds(r.At) }),
	octets("username", func(b []byte, r *aaa.AuthEntry) []byte { return append(b, r.Username...) }),
	flag("accepted", func(r *aaa.AuthEntry) bool { return r.Accepted }),
	text("reason", func(r *aaa.AuthEntry) string { return r.Reason.String() }),
	octets("detail", func(b []byte, r *aaa.AuthEntry) []byte { return append(b, r.Detail...) }),
	text("method", func(r *aaa.AuthEntry) string { return r.Method.String() }),
	id("nas_id", func(r *aaa.AuthEntry) uuid.UUID { return r.NASID }),
	octets("nas_ip", func(b []byte, r *aaa.AuthEntry) []byte { return r.NASAddr.Unmap().WithZone("").AppendTo(b) }),
	octets("nas_port_id", func(b []byte, r *aaa.AuthEntry) []byte { return append(b, r.NASPortID...) }),
	octets("calling_station_id", func(b []byte, r *aaa.AuthEntry) []byte { return append(b, r.CallingStationID...) }),
	octets("called_station_id", func(b []byte, r *aaa.AuthEntry) []byte { return append(b, r.CalledStationID...) }),
	octets("session_nonce", func(b []byte, r *aaa.AuthEntry) []byte { return r.AppendSessionNonce(b) }),
}

// authMemory is used again for the next batch of decisions.
type authMemory struct {
	mu      sync.Mutex
	entries []aaa.AuthEntry
	scratch scratch
}

// AppendAuthRecords keeps decisions. After an error some may be there; a record that
// is given again is kept once.
func (s *Store) AppendAuthRecords(ctx context.Context, batch *aaa.AuthBatch) error {
	s.auth.mu.Lock()
	defer s.auth.mu.Unlock()
	entries := s.auth.entries[:0]
	for r := batch.Reader(); r.Next(); {
		entries = append(entries, r.AuthEntry)
	}
	s.auth.entries = entries
	defer clear(entries) // they refer to the batch
	if err := insertRows(ctx, s, &s.auth.scratch, "auth_records", authColumns, entries); err != nil {
		return fmt.Errorf("append auth records: %w", err)
	}
	return nil
}

var _ aaa.AuthRecordStore = (*Store)(nil)
