package clickhouse

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// eachSessionRecords calls fn for each of the sessions with its records in order of
// time, of copies of a record the one that was received first. The records belong
// to fn only during the call.
func (s *Store) eachSessionRecords(ctx context.Context, sessions []uuid.UUID, fn func([]aaa.Record) error) error {
	const event, received = "toInt64(toUInt32(event_time)) * 1000000 + event_microseconds", "toInt64(toUInt32(received_at)) * 1000000 + received_microseconds"
	var q query
	q.add(`SELECT session_id, status, acct_session_id, username, plan, nas_ip, nas_port_id, framed_ip, framed_ipv6, framed_ipv6_prefix, delegated_prefix,
		calling_station_id, ` + event + ` AS happened, ` + received + ` AS arrived, clock_off, has_gigawords, session_seconds, input_octets, output_octets, terminate_cause
		FROM ` + s.schema.qualified("accounting_records") + ` WHERE status IN ('start', 'interim', 'stop') AND `)
	addList(&q, "session_id", sessions)
	q.add(" ORDER BY session_id, record_id, arrived LIMIT 1 BY session_id, record_id")
	var (
		r                                        aaa.Record
		status, nas, ip, ipv6, framed, delegated string
		happened, arrived                        int64
		clockOff, gigawords                      uint8
		seconds, input, output                   *uint64
		records                                  []aaa.Record
	)
	flush := func() error {
		slices.SortStableFunc(records, func(a, b aaa.Record) int {
			return cmp.Or(a.EventTime.Compare(b.EventTime), cmp.Compare(a.SessionSeconds, b.SessionSeconds))
		})
		err := fn(records)
		records = records[:0]
		return err
	}
	err := s.eachRow(ctx, q, []any{&r.SessionID, &status, &r.AcctSessionID, &r.Username, &r.Plan, &nas, &r.NASPortID, &ip, &ipv6, &framed, &delegated,
		&r.CallingStationID, &happened, &arrived, &clockOff, &gigawords, &seconds, &input, &output, &r.TerminateCause}, func() error {
		if len(records) > 0 && records[0].SessionID != r.SessionID {
			if err := flush(); err != nil {
				return err
			}
		}
		r.Status, _ = aaa.ParseAcctStatus(status) // one of the three
		r.NASAddr, r.FramedIP, r.FramedIPv6 = parseAddr(nas), parseAddr(ip), parseAddr(ipv6)
		r.FramedIPv6Prefix, r.DelegatedPrefix = parsePrefix(framed), parsePrefix(delegated)
		r.EventTime, r.ReceivedAt, r.ClockOff, r.HasGigawords = fromµs(happened), fromµs(arrived), clockOff != 0, gigawords != 0
		r.SessionSeconds, r.HasSeconds = sent(seconds)
		r.InputOctets, r.HasOctets = sent(input)
		r.OutputOctets, _ = sent(output)
		records = append(records, r)
		return nil
	})
	if err != nil || len(records) == 0 {
		return err
	}
	return flush()
}

// sent tells a counter that was not sent from zero.
func sent(n *uint64) (uint64, bool) {
	if n == nil {
		return 0, false
	}
	return *n, true
}

// parseAddr reads an address as the tables hold it; empty: none.
func parseAddr(text string) netip.Addr {
	address, _ := netip.ParseAddr(text) // they are written by us
	return address
}

// parsePrefix reads a prefix as the tables hold it; empty: none.
func parsePrefix(text string) netip.Prefix {
	prefix, _ := netip.ParsePrefix(text)
	return prefix
}
