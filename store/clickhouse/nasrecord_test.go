package clickhouse

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

func TestRecordsOfNASes(t *testing.T) {
	s := openTest(t)
	sink := newTestSink(t, s)
	interim := fullRecord()
	stop := interim
	stop.ID, stop.Status, stop.EventTime = testID(1, 2), aaa.AcctStop, interim.EventTime.Add(48*time.Hour)
	stop.SessionSeconds, stop.InputOctets = 400, 2<<40
	boot := aaa.Record{ID: testID(1, 3), Status: aaa.AcctOn, NASIdentifier: "bras-2", EventTime: interim.EventTime, ReceivedAt: interim.ReceivedAt}
	other := interim
	other.ID, other.SessionID, other.NASIdentifier = testID(1, 4), testID(2, 2), "wifi"
	for range 2 { // as a replay does
		take(t, sink, []aaa.Record{interim, stop, boot, other})
	}

	n, err := s.CountRecordsOf(t.Context(), "bras-")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	got := map[uuid.UUID]aaa.Record{}
	require.NoError(t, s.EachRecordOf(t.Context(), "bras-", func(r *aaa.Record) error {
		require.NotContains(t, got, r.ID, "copies of a record are one")
		got[r.ID] = *r
		return nil
	}))
	require.Len(t, got, 3)
	want := aaa.Record{
		ID: stop.ID, SessionID: stop.SessionID, AcctSessionID: stop.AcctSessionID, Status: aaa.AcctStop, Username: "alice", NASIdentifier: "bras-1", NASPort: 7,
		FramedIP: stop.FramedIP, EventTime: stop.EventTime, HasSeconds: true, HasOctets: true,
		SessionSeconds: 400, InputOctets: 2 << 40, OutputOctets: 2 << 40,
	}
	require.Equal(t, want, got[stop.ID])
	require.Equal(t, aaa.AcctOn, got[boot.ID].Status)
	require.False(t, got[boot.ID].HasOctets)

	sums := map[uuid.UUID]aaa.Usage{}
	require.NoError(t, s.EachUsageOf(t.Context(), "bras-", func(session uuid.UUID, used aaa.Usage) error {
		sums[session] = used
		return nil
	}))
	require.Equal(t, map[uuid.UUID]aaa.Usage{stop.SessionID: {Seconds: 400, InputOctets: 2 << 40, OutputOctets: 2 << 40}}, sums)
}
