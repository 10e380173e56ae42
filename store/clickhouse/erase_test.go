package clickhouse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// TestErasePerson: nothing of a person is left, and what was used stays under the
// pseudonym.
func TestErasePerson(t *testing.T) {
	s := openTest(t)
	ctx := t.Context()
	const person = `Erika "O'Hara\`
	records := []aaa.Record{fullRecord(), fullRecord(), fullRecord()}
	for i := range records {
		records[i].ID, records[i].Username = testID(1, i), person
	}
	records[2].Username = "somebody else"
	records[2].SessionID = testID(2, 9)
	sink := newTestSink(t, s)
	require.NoError(t, sink.Write(ctx, batchOf(records)))
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(aaa.AuthRecord{ID: testID(4, 1), At: records[0].EventTime, Username: person, CallingStationID: "station"})))
	tables := []string{"accounting_records", "auth_records", "usage_hourly", "usage_daily", "sessions"}
	after := records[0].EventTime.Add(time.Hour)
	require.NoError(t, s.ErasePerson(ctx, aaa.UserName{Name: person, Before: records[0].EventTime.AddDate(0, -2, 0)}, "erased-x"), "all of it is later")
	require.NoError(t, s.ErasePerson(ctx, aaa.UserName{Name: person, From: records[0].EventTime.AddDate(0, 2, 0), Before: records[0].EventTime.AddDate(0, 3, 0)}, "erased-x"), "all of it is earlier")
	require.NotZero(t, count(t, s, "SELECT count() FROM accounting_records WHERE username = "+literal(person)))
	for range 2 {
		require.NoError(t, s.ErasePerson(ctx, aaa.UserName{Name: person, From: records[0].EventTime, Before: after}, "erased-x"))
	}
	for _, table := range tables {
		require.Eventually(t, func() bool {
			return count(t, s, "SELECT count() FROM "+table+" WHERE username = "+literal(person)) == 0
		}, time.Minute, 50*time.Millisecond, table)
		require.NotZero(t, count(t, s, "SELECT count() FROM "+table+" WHERE username = 'erased-x'"), table)
	}
	require.Zero(t, count(t, s, "SELECT count() FROM accounting_records WHERE username = 'erased-x' AND (calling_station_id <> '' OR framed_ip <> '' OR class <> '')"))
	require.Zero(t, count(t, s, "SELECT count() FROM sessions WHERE username = 'erased-x' AND (calling_station_id <> '' OR framed_ip <> '')"))
	require.Zero(t, count(t, s, "SELECT count() FROM auth_records WHERE calling_station_id <> ''"))
	require.EqualValues(t, 1, count(t, s, "SELECT count() FROM accounting_records WHERE username = 'somebody else' AND calling_station_id <> ''"))
	require.EqualValues(t, 3, count(t, s, "SELECT count() FROM (SELECT DISTINCT session_id, record_id FROM accounting_records)"))
}
