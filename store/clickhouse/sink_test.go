package clickhouse

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
)

// testID makes an id of a kind and a number.
func testID(kind byte, n int) (id uuid.UUID) {
	id[0] = kind
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// fullRecord has a value in each field.
func fullRecord() aaa.Record {
	return aaa.Record{
		ID: testID(1, 1), SessionID: testID(2, 1), Status: aaa.AcctInterim, AcctSessionID: "s-1", AcctMultiSessionID: "m-1", Username: "alice", Plan: "gold",
		NASID: testID(3, 1), NASAddr: netip.MustParseAddr("192.0.2.1"), NASIdentifier: "bras-1", NASPort: 7, NASPortID: "ge-0/0/7",
		FramedIP: netip.MustParseAddr("198.51.100.9"), FramedIPv6: netip.MustParseAddr("2001:db8::9"),
		FramedIPv6Prefix: netip.MustParsePrefix("2001:db8:1::/64"), DelegatedPrefix: netip.MustParsePrefix("2001:db8:2::/56"),
		CallingStationID: "00-11-22-33-44-55", CalledStationID: "isp", Class: []byte{0, 1, 0xff},
		EventTime: time.Date(2030, 1, 31, 23, 30, 0, 123456000, time.UTC), ReceivedAt: time.Date(2030, 1, 31, 23, 30, 1, 654321000, time.UTC),
		EventDerived: true, Delay: time.Second, HasSeconds: true, HasOctets: true, SessionSeconds: 300, InputOctets: 1 << 40, OutputOctets: 2 << 40,
		InputPackets: 3, OutputPackets: 4, HasGigawords: true, TerminateCause: "User-Request",
	}
}

func count(t testing.TB, s *Store, query string, args ...any) (n uint64) {
	t.Helper()
	require.NoError(t, s.conn.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func TestSinkWritesRecordsWhole(t *testing.T) {
	s := openTest(t)
	sink := newTestSink(t, s)
	full, empty := fullRecord(), aaa.Record{ID: testID(1, 2), Status: aaa.AcctOn, EventTime: fullRecord().EventTime, ReceivedAt: fullRecord().ReceivedAt}
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: []aaa.Record{full, empty}, End: 42}))
	row := func(id uuid.UUID) string {
		var values string
		require.NoError(t, s.conn.QueryRow(t.Context(), `SELECT arrayStringConcat([toString(session_id), acct_session_id, acct_multi_session_id, status, username, plan,
			toString(nas_id), nas_ip, nas_identifier, toString(nas_port), nas_port_id, framed_ip, framed_ipv6, framed_ipv6_prefix, delegated_prefix,
			calling_station_id, called_station_id, hex(class), toString(event_time), toString(event_microseconds), toString(event_derived),
			toString(received_at), toString(received_microseconds), toString(clock_off), toString(delay_seconds), ifNull(toString(session_seconds), 'NULL'),
			ifNull(toString(input_octets), 'NULL'), ifNull(toString(output_octets), 'NULL'), toString(input_packets), toString(output_packets),
			toString(has_gigawords), terminate_cause, toString(usage_at), toString(usage_day)], '|')
			FROM accounting_records WHERE record_id = ?`, id.String()).Scan(&values))
		return values
	}
	require.Equal(t, full.SessionID.String()+"|s-1|m-1|interim|alice|gold|"+full.NASID.String()+"|192.0.2.1|bras-1|7|ge-0/0/7|198.51.100.9|2001:db8::9|2001:db8:1::/64|2001:db8:2::/56|"+
		"00-11-22-33-44-55|isp|0001FF|2030-01-31 23:30:00|123456|1|2030-01-31 23:30:01|654321|0|1|300|1099511627776|2199023255552|3|4|1|User-Request|1896132600123456|2030-02-01",
		row(full.ID), "the day is Vienna's")
	const none = "00000000-0000-0000-0000-000000000000"
	require.Equal(t, none+"|||on|||"+none+"|||0|||||||||2030-01-31 23:30:00|123456|0|2030-01-31 23:30:01|654321|0|0|NULL|NULL|NULL|0|0|0||1896132600123456|2030-02-01",
		row(empty.ID))
	for _, rollup := range []string{"usage_hourly", "usage_daily", "sessions"} {
		require.EqualValues(t, 1, count(t, s, "SELECT count() FROM "+rollup), "%s has the session, and not the boot", rollup)
	}
}

func TestSinkCursor(t *testing.T) {
	s := openTest(t)
	sink := newTestSink(t, s)
	at := func() journal.Position {
		t.Helper()
		position, err := newTestSink(t, s).Cursor(t.Context())
		require.NoError(t, err)
		return position
	}
	require.Zero(t, at())
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{End: 1000}))
	require.EqualValues(t, 1000, at())
	// A journal that took the place of a lost one may begin before the old cursor.
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Start: 1000, End: 10}))
	require.EqualValues(t, 10, at())
	// A clock that was set back does not bring an old cursor forth.
	s.now = func() time.Time { return time.Now().Add(-24 * time.Hour) }
	later := newTestSink(t, s)
	_, err := later.Cursor(t.Context())
	require.NoError(t, err)
	require.NoError(t, later.Write(t.Context(), &ingest.Batch{Start: 10, End: 20}))
	require.EqualValues(t, 20, at())

	// One that lost the last batches, as no connection tells, takes nothing behind them.
	require.NoError(t, s.exec(t.Context(), "TRUNCATE TABLE ingest_cursors"))
	require.NoError(t, newTestSink(t, s).saveCursor(t.Context(), 10))
	err = sink.Write(t.Context(), &ingest.Batch{Records: []aaa.Record{fullRecord()}, Start: 20, End: 30})
	require.ErrorIs(t, err, ingest.ErrCursorMoved)
	require.Zero(t, count(t, s, "SELECT count() FROM accounting_records"))
	require.EqualValues(t, 10, at())

	other, err := Open(t.Context(), Options{URL: s.options.URL, NodeID: "node-b"})
	require.NoError(t, err)
	defer other.Close()
	position, err := newTestSink(t, other).Cursor(t.Context())
	require.NoError(t, err)
	require.Zero(t, position, "each node has its own")
}

func TestSinkTakesTimesThatAreFarOff(t *testing.T) {
	for _, zone := range []string{"Europe/Vienna", "America/New_York", "Pacific/Kiritimati"} {
		t.Run(zone, func(t *testing.T) {
			location, err := time.LoadLocation(zone)
			require.NoError(t, err)
			sinkTakesTimesThatAreFarOff(t, location)
		})
	}
}

func sinkTakesTimesThatAreFarOff(t *testing.T, location *time.Location) {
	s := openTest(t)
	s.options.Location = location
	var records []aaa.Record
	for i, at := range []time.Time{{}, time.Unix(-1, 0), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
		r := fullRecord()
		r.ID, r.EventTime, r.ReceivedAt = testID(1, 10+i), at, at
		records = append(records, r)
	}
	for month := range 240 {
		r := fullRecord()
		r.ID, r.EventTime, r.ClockOff = testID(1, 100+month), time.Date(2005, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC), true
		records = append(records, r)
	}
	require.NoError(t, newTestSink(t, s).Write(t.Context(), &ingest.Batch{Records: records, End: 1}))
	require.EqualValues(t, len(records), count(t, s, "SELECT count() FROM accounting_records"))
	require.EqualValues(t, 3, count(t, s, "SELECT uniqExact(day) FROM usage_daily"), "wrong clocks count on the day of receipt")
	const last = math.MaxUint32 / (24 * 60 * 60)
	require.Zero(t, count(t, s, "SELECT countIf(toUInt16(day) > ?) FROM usage_daily", last), "no day before 1970 becomes one after 2106")
}
