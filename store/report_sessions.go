package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/report"
)

// Concurrent implements [report.Source]. It streams the starts and stops of the
// span in order of time.
func (s *Store) Concurrent(ctx context.Context, q report.ConcurrentQuery, fn func(report.Concurrent) error) error {
	err := s.read(ctx, func(tx *sql.Tx) error {
		var open uint64
		query, args := openQuery(q)
		if err := tx.QueryRowContext(ctx, query, args...).Scan(whole[uint64]{&open}); err != nil {
			return err
		}
		gauge, err := report.NewGauge(q, open, fn)
		if err != nil {
			return err
		}
		var at time.Time
		var by int
		query, args = changesQuery(q)
		err = eachRow(ctx, tx, query, args, []any{moment{&at}, whole[int]{&by}}, func() error { return gauge.Change(at, int64(by)) })
		if err != nil {
			return err
		}
		return gauge.Close()
	})
	if err != nil {
		return fmt.Errorf("report of concurrent sessions: %w", s.explain(err))
	}
	return nil
}

// sessionsOf begins a query's conditions with its time, as $1 and $2, and the
// sessions that it is about.
func sessionsOf(from, to time.Time, user string, nas netip.Addr) (c conditions, also string) {
	c.args = []any{moment{&from}, moment{&to}}
	if user != "" {
		c.add("username = $%d", user)
	}
	if nas.IsValid() {
		c.add("nas_ip = $%d", address{&nas})
	}
	for _, term := range c.terms {
		also += " AND " + term
	}
	return c, also
}

// openQuery counts the sessions that had begun before the span and did not stop
// before it. Those that are open still and those that stopped since have an index
// each.
func openQuery(q report.ConcurrentQuery) (query string, args []any) {
	c, also := sessionsOf(q.From, q.To, q.User, q.NAS)
	return "SELECT (SELECT count(*) FROM sessions WHERE stopped_at IS NULL AND started_at < $1 AND started_at < $2" + also + ")" +
		" + (SELECT count(*) FROM sessions WHERE stopped_at >= $1 AND started_at < $1 AND started_at < $2" + also + ")", c.args
}

// changesQuery selects the starts and stops within the span, in order of time.
func changesQuery(q report.ConcurrentQuery) (query string, args []any) {
	c, also := sessionsOf(q.From, q.To, q.User, q.NAS)
	return "SELECT started_at AS at, 1 AS change FROM sessions WHERE started_at >= $1 AND started_at < $2 AND (stopped_at IS NULL OR stopped_at > started_at)" + also +
		" UNION ALL SELECT stopped_at, -1 FROM sessions WHERE stopped_at >= $1 AND stopped_at < $2 AND stopped_at > started_at" + also +
		" ORDER BY at", c.args
}

// Holders implements [report.Source].
func (s *Store) Holders(ctx context.Context, q report.HolderQuery, fn func(report.Holder) error) error {
	query, args := holdersQuery(q)
	var h report.Holder
	fields := holderFields(&h)
	dest := append(targets(fields), network{&h.Held})
	var last uuid.UUID
	n := 0
	err := eachRow(ctx, s.reader, query, args, dest, func() error {
		if h.SessionID == last { // its address lies in its prefix as well
			return nil
		}
		last = h.SessionID
		if n++; q.Limit > 0 && n > q.Limit {
			return nil
		}
		return fn(h)
	})
	if err != nil {
		return fmt.Errorf("report of who held %s: %w", q.Address, s.explain(err))
	}
	return nil
}

func holderFields(h *report.Holder) []field {
	return []field{
		{"id", id{&h.SessionID}},
		{"acct_session_id", text{&h.AcctSessionID}},
		{"username", text{&h.Username}},
		{"calling_station_id", text{&h.CallingStationID}},
		{"nas_ip", address{&h.NASAddr}},
		{"nas_port_id", text{&h.NASPortID}},
		{"started_at", moment{&h.StartedAt}},
		{"start_inferred", flag{&h.StartInferred}},
		{"updated_at", moment{&h.UpdatedAt}},
		{"stopped_at", moment{&h.StoppedAt}},
		{"stop_inferred", flag{&h.StopInferred}},
	}
}

// holdersQuery looks for the address where it stands as itself, and for all the
// prefixes that contain it, so that an index finds them. Three columns may name a
// session; the longest prefix comes first.
func holdersQuery(q report.HolderQuery) (query string, args []any) {
	var list []any
	list = append(list, moment{&q.From}, moment{&q.To})
	columns := []string{"framed_ip"}
	containing := []any{address{&q.Address}}
	if q.Address.Is6() {
		columns = []string{"framed_ipv6", "framed_ipv6_prefix", "delegated_prefix"}
		for bits := q.Address.BitLen() - 1; bits >= 0; bits-- {
			prefix, _ := q.Address.Prefix(bits) // it fits
			containing = append(containing, network{&prefix})
		}
	}
	list = append(list, containing...)
	selected := names(holderFields(new(report.Holder)))
	for n, column := range columns {
		among := len(containing)
		if n > 0 {
			query += " UNION ALL "
		} else {
			among = 1 // the address itself
		}
		query += fmt.Sprintf("SELECT %s, %s AS held, %d AS rank FROM sessions WHERE %s IN (%s) AND started_at <= $2 AND (stopped_at IS NULL OR stopped_at >= $1)",
			selected, column, n, column, placeholders(3, among))
	}
	query = "SELECT " + selected + ", held FROM (" + query + ") AS held ORDER BY started_at DESC, id DESC, rank"
	if q.Limit > 0 {
		query += fmt.Sprint(" LIMIT ", len(columns)*q.Limit)
	}
	return query, list
}
