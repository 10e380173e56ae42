package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

func sessionFields(x *aaa.Session) []field {
	return []field{
		{"id", id{&x.ID}},
		{"acct_session_id", text{&x.AcctSessionID}},
		{"acct_multi_session_id", text{&x.AcctMultiSessionID}},
		{"username", text{&x.Username}},
		{"nas_id", nullID{&x.NASID}},
		{"nas_ip", address{&x.NASAddr}},
		{"nas_identifier", text{&x.NASIdentifier}},
		{"nas_port", whole[uint32]{&x.NASPort}},
		{"nas_port_id", text{&x.NASPortID}},
		{"framed_ip", address{&x.FramedIP}},
		{"framed_ipv6", address{&x.FramedIPv6}},
		{"framed_ipv6_prefix", network{&x.FramedIPv6Prefix}},
		{"delegated_prefix", network{&x.DelegatedPrefix}},
		{"calling_station_id", text{&x.CallingStationID}},
		{"called_station_id", text{&x.CalledStationID}},
		{"class", octets{&x.Class}},
		{"plan", text{&x.Plan}},
		{"started_at", moment{&x.StartedAt}},
		{"start_inferred", flag{&x.StartInferred}},
		{"updated_at", moment{&x.UpdatedAt}},
		{"stopped_at", moment{&x.StoppedAt}},
		{"stop_inferred", flag{&x.StopInferred}},
		{"session_seconds", whole[uint64]{&x.SessionSeconds}},
		{"input_octets", whole[uint64]{&x.InputOctets}},
		{"output_octets", whole[uint64]{&x.OutputOctets}},
		{"input_packets", whole[uint64]{&x.InputPackets}},
		{"output_packets", whole[uint64]{&x.OutputPackets}},
		{"terminate_cause", text{&x.TerminateCause}},
		{"counter_wrapped", flag{&x.CounterWrapped}},
		{"provenance", provenance{&x.Provenance}},
	}
}

// counterFields are the id and what nearly every record changes. No index has any
// of them but the id: an engine writes all indexes of a column that is set (SQLite),
// or of a row of which an indexed column changed (Postgres).
func counterFields(x *aaa.Session) []field {
	return []field{
		{"id", id{&x.ID}},
		{"updated_at", moment{&x.UpdatedAt}},
		{"session_seconds", whole[uint64]{&x.SessionSeconds}},
		{"input_octets", whole[uint64]{&x.InputOctets}},
		{"output_octets", whole[uint64]{&x.OutputOctets}},
		{"input_packets", whole[uint64]{&x.InputPackets}},
		{"output_packets", whole[uint64]{&x.OutputPackets}},
		{"provenance", provenance{&x.Provenance}},
	}
}

// provenance is what aaa keeps with a session for itself.
type provenance struct{ p *aaa.Provenance }

func (c provenance) Value() (driver.Value, error) { return c.p.Value() }
func (c provenance) appendBinary(b []byte) []byte {
	at := len(b)
	b = c.p.AppendTo(append(b, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}
func (c provenance) Scan(src any) error        { return c.p.Scan(src) }
func (c provenance) scanBinary(b []byte) error { return c.p.Scan(b) }

// version is a row's xmin, which an update changes.
type version struct{ p *uint32 }

func (c version) Value() (driver.Value, error) { return int64(*c.p), nil }
func (c version) appendBinary(b []byte) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), *c.p)
}
func (c version) Scan(src any) error { return whole[uint32](c).Scan(src) }
func (c version) scanBinary(b []byte) error {
	if len(b) != 4 {
		return mismatch(b, "xid")
	}
	*c.p = binary.BigEndian.Uint32(b)
	return nil
}

// eachSession calls fn for the sessions that a query's rest, from WHERE on,
// selects. The session belongs to fn only during the call.
func eachSession(ctx context.Context, q querier, rest string, args []any, fn func(*aaa.Session) error) error {
	var x aaa.Session
	fields := sessionFields(&x)
	return eachRow(ctx, q, "SELECT "+names(fields)+" FROM sessions "+rest, args, targets(fields), func() error { return fn(&x) })
}

func listSessions(ctx context.Context, q querier, rest string, args []any) (list []aaa.Session, err error) {
	err = eachSession(ctx, q, rest, args, func(x *aaa.Session) error {
		list = append(list, *x)
		return nil
	})
	return list, err
}

// SessionByID returns a session.
func (s *Store) SessionByID(ctx context.Context, sessionID uuid.UUID) (*aaa.Session, error) {
	var x aaa.Session
	fields := sessionFields(&x)
	err := s.reader.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM sessions WHERE id = $1", sessionID.String()).
		Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("session", sessionID.String())
	}
	if err != nil {
		return nil, fmt.Errorf("read session %s: %w", sessionID, s.explain(err))
	}
	return &x, nil
}

// SessionFilter selects sessions and one page of them. The zero value is the
// first page of all.
type SessionFilter struct {
	Online   bool // open only
	Username string
	NASAddr  netip.Addr // nas_ip
	NASID    uuid.UUID  // of the directory
	// StartedFrom and StartedBefore bound the start; zero: no bound.
	StartedFrom, StartedBefore time.Time
	// After is the last session of the page before.
	After *aaa.Session
	Limit int // zero: 1000
}

// ListSessions returns a page of sessions, the latest start first.
func (s *Store) ListSessions(ctx context.Context, filter SessionFilter) ([]aaa.Session, error) {
	query, args := filter.query()
	list, err := listSessions(ctx, s.reader, query, args)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", s.explain(err))
	}
	return list, nil
}

// OpenSessionsOf returns the user's open sessions, the latest start first and a thousand
// at most.
func (s *Store) OpenSessionsOf(ctx context.Context, username string) ([]aaa.Session, error) {
	return s.ListSessions(ctx, SessionFilter{Username: username, Online: true})
}

func (f SessionFilter) query() (rest string, args []any) {
	var c conditions
	if f.Online {
		c.add("stopped_at IS NULL")
	}
	if f.Username != "" {
		c.add("username = $%d", f.Username)
	}
	if f.NASAddr.IsValid() {
		c.add("nas_ip = $%d", address{&f.NASAddr})
	}
	if f.NASID != uuid.Nil {
		c.add("nas_id = $%d", f.NASID.String())
	}
	if !f.StartedFrom.IsZero() {
		c.add("started_at >= $%d", moment{&f.StartedFrom})
	}
	if !f.StartedBefore.IsZero() {
		c.add("started_at < $%d", moment{&f.StartedBefore})
	}
	if f.After != nil {
		c.add("(started_at, id) < ($%d, $%d)", moment{&f.After.StartedAt}, f.After.ID.String())
	}
	limit := f.Limit
	if limit <= 0 {
		limit = pageSize
	}
	return c.where() + " ORDER BY started_at DESC, id DESC LIMIT " + fmt.Sprint(limit), c.args
}

// EachSession calls fn for every session that is open or stopped at or after
// since. The session belongs to fn only during the call.
func (s *Store) EachSession(ctx context.Context, since time.Time, fn func(*aaa.Session) error) error {
	return s.read(ctx, func(tx *sql.Tx) error {
		// One query for each would be one row for fn twice if it stopped between.
		if err := eachSession(ctx, tx, "WHERE stopped_at IS NULL", nil, fn); err != nil {
			return fmt.Errorf("read open sessions: %w", s.explain(err))
		}
		if err := eachSession(ctx, tx, "WHERE stopped_at >= $1", []any{from(since)}, fn); err != nil {
			return fmt.Errorf("read stopped sessions: %w", s.explain(err))
		}
		return nil
	})
}

// CloseSessions ends those of the sessions that are open and of which nothing
// was heard after the closing.
func (s *Store) CloseSessions(ctx context.Context, closings []aaa.Closing) error {
	if len(closings) == 0 {
		return nil
	}
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.lockSessions(ctx, closings); err != nil {
			return err
		}
		stmt, err := tx.PrepareContext(ctx, `UPDATE sessions SET stopped_at = $2, stop_inferred = $3, terminate_cause = $4
			WHERE id = $1 AND stopped_at IS NULL AND updated_at <= $2`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for _, closing := range closings {
			for _, sessionID := range append(closing.Others, closing.SessionID) {
				if _, err := stmt.ExecContext(ctx, sessionID.String(), moment{&closing.StoppedAt}, true, aaa.CauseLapsed); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("close sessions: %w", s.explain(err))
	}
	return nil
}

var (
	_ aaa.SessionStore  = (*Store)(nil)
	_ aaa.SessionCloser = (*Store)(nil)
)
