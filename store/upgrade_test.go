package store

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
)

// TestUpgradeKeepsWhatIsThere migrates a database of each older version that has
// accounting in it to the newest.
func TestUpgradeKeepsWhatIsThere(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		ctx := t.Context()
		old, err := connect(ctx, options)
		require.NoError(t, err)
		defer old.Close()
		provider, err := old.migrations()
		require.NoError(t, err)
		_, err = provider.UpTo(ctx, 1)
		require.NoError(t, err)
		_, err = old.writer.ExecContext(ctx, "INSERT INTO plans (id, name) VALUES ($1, 'gold')", uuid.NewString())
		require.NoError(t, err)
		_, err = provider.UpTo(ctx, 2)
		require.NoError(t, err)
		began := old.insertOfVersion2(t, 3)

		options.AutoMigrate = true
		s, err := Open(ctx, options)
		require.NoError(t, err)
		defer s.Close()
		plans, err := s.Plans(ctx)
		require.NoError(t, err)
		require.Len(t, plans, 1)
		list, err := s.ListSessions(ctx, SessionFilter{})
		require.NoError(t, err)
		require.Len(t, list, 3)
		boots, err := s.Boots(ctx, time.Time{})
		require.NoError(t, err)
		require.Equal(t, []aaa.Boot{{NASAddr: netip.MustParseAddr("192.0.2.1"), NASIdentifier: "nas", Status: aaa.AcctOn, At: began.Add(-time.Hour)}}, boots)

		// Its sessions go on.
		sink, err := s.NewSink()
		require.NoError(t, err)
		x := list[0]
		require.Empty(t, x.Plan)
		stop := aaa.Record{ID: uuid.New(), SessionID: x.ID, Status: aaa.AcctStop, AcctSessionID: x.AcctSessionID, Username: x.Username,
			NASAddr: x.NASAddr, NASIdentifier: "nas", EventTime: began.Add(time.Hour), ReceivedAt: began.Add(time.Hour), Plan: "gold", Class: aaa.AppendClass(nil, aaa.Nonce{1})}
		require.NoError(t, sink.Write(ctx, &ingest.Batch{Records: []aaa.Record{stop}, End: 1}))
		got, err := s.SessionByID(ctx, x.ID)
		require.NoError(t, err)
		require.False(t, got.Open())
		require.Equal(t, "gold", got.Plan)
		require.EqualValues(t, 17, got.InputOctets)
		records, err := s.SessionRecords(ctx, x.ID, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"", "gold"}, []string{records[0].Plan, records[1].Plan})
	})
}

// insertOfVersion2 writes sessions with a record each, and a boot, as version 2 of
// the schema has them.
func (s *Store) insertOfVersion2(t *testing.T, n int) (began time.Time) {
	t.Helper()
	began = s.now().UTC().Truncate(time.Hour)
	run := func(query string, args ...any) {
		t.Helper()
		_, err := s.writer.ExecContext(context.WithoutCancel(t.Context()), query, args...)
		require.NoError(t, err)
	}
	for i := range n {
		session := uuid.NewString()
		run(`INSERT INTO sessions (id, acct_session_id, acct_multi_session_id, username, nas_ip, nas_identifier, nas_port, nas_port_id,
				calling_station_id, called_station_id, started_at, start_inferred, updated_at, stop_inferred, session_seconds,
				input_octets, output_octets, input_packets, output_packets, terminate_cause, counter_wrapped)
			VALUES ($1, $2, '', 'alice', '192.0.2.1', 'nas', 0, '', '', '', $3, false, $3, false, 0, 17, 0, 0, 0, '', false)`,
			session, fmt.Sprint(i), moment{&began})
		run(`INSERT INTO accounting_records (record_id, session_id, acct_session_id, acct_multi_session_id, status, username, nas_ip,
				nas_identifier, nas_port, nas_port_id, calling_station_id, called_station_id, event_time, event_derived, received_at,
				clock_off, delay_seconds, input_packets, output_packets, has_gigawords, terminate_cause)
			VALUES ($1, $2, $3, '', 'start', 'alice', '192.0.2.1', 'nas', 0, '', '', '', $4, false, $4, false, 0, 0, 0, false, '')`,
			uuid.NewString(), session, fmt.Sprint(i), moment{&began})
	}
	booted := began.Add(-time.Hour)
	run("INSERT INTO nas_boots (nas_id, nas_ip, nas_identifier, status, at) VALUES ($1, '192.0.2.1', 'nas', 'on', $2)", uuid.Nil.String(), moment{&booted})
	return began
}

// TestAuthRecordsKeyUpgrade migrates decisions, in partitions and in none, to their
// new key, back, and forth again.
func TestAuthRecordsKeyUpgrade(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		ctx := t.Context()
		s, err := connect(ctx, options)
		require.NoError(t, err)
		defer s.Close()
		provider, err := s.migrations()
		require.NoError(t, err)
		_, err = provider.UpTo(ctx, 5)
		require.NoError(t, err)
		var records []aaa.AuthRecord
		now := s.now().UTC().Truncate(time.Microsecond)
		for _, age := range []int{-400, -2, -1, 0} { // the first is in the default partition
			records = append(records, aaa.AuthRecord{ID: uuid.New(), At: now.AddDate(0, 0, age), Username: "alice", NASAddr: netip.MustParseAddr("192.0.2.1")})
		}
		require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(records...)))
		for _, version := range []int64{6, 5, 6} {
			if version == 5 {
				_, err = provider.DownTo(ctx, version)
			} else {
				_, err = provider.UpTo(ctx, version)
			}
			require.NoError(t, err)
			// Those that are there, and one more, in a partition that is new to Postgres.
			records = append(records, aaa.AuthRecord{ID: uuid.New(), At: now.AddDate(0, 0, -2-len(records)), Username: "bob"})
			require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(records...)))
			list, err := s.ListAuthRecords(ctx, AuthFilter{})
			require.NoError(t, err)
			require.ElementsMatch(t, records, list)
		}
	})
}
