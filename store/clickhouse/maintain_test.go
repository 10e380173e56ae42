package clickhouse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// On a server without TTL, whole months go when nothing of them is to be kept.
func TestMaintainDropsWholeMonths(t *testing.T) {
	s := openTest(t)
	require.False(t, s.version.atLeast(19, 6), "this is about Debian's server")
	now := time.Date(2030, 6, 20, 0, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return now }
	s.options.RetentionDays = 30 // since 2030-05-21
	records := make([]aaa.Record, 4)
	for i, at := range []time.Time{now, now.AddDate(0, 0, -40), now.AddDate(0, 0, -60), now.AddDate(-3, 0, 0)} {
		records[i] = fullRecord()
		records[i].ID, records[i].EventTime, records[i].ReceivedAt = testID(1, i), at, at
	}
	late := fullRecord() // in a month that is long past, by a clock that is off
	late.ID, late.EventTime, late.ReceivedAt, late.ClockOff = testID(1, 9), now.AddDate(-5, 0, 0), now, true
	require.NoError(t, newTestSink(t, s).Write(t.Context(), batchOf(append(records, late))))
	require.NoError(t, s.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(aaa.AuthRecord{ID: testID(4, 1), At: now}, aaa.AuthRecord{ID: testID(4, 2), At: now.AddDate(0, -3, 0)})))
	counts := func() map[string]uint64 {
		list := make(map[string]uint64)
		for _, table := range append(agedTables, aged{table: "usage_daily"}) {
			list[table.table] = count(t, s, "SELECT count() FROM "+table.table)
		}
		return list
	}
	require.Equal(t, map[string]uint64{"accounting_records": 5, "auth_records": 2, "usage_hourly": 5, "sessions": 5, "usage_daily": 5}, counts())
	for range 2 {
		require.NoError(t, s.Maintain(t.Context()))
		require.Equal(t, map[string]uint64{"accounting_records": 3, "auth_records": 1, "usage_hourly": 3, "sessions": 3, "usage_daily": 5}, counts(),
			"May is kept whole; of usage per day nothing goes")
	}
	s.options.RetentionDays = 0
	now = now.AddDate(20, 0, 0)
	require.NoError(t, s.Maintain(t.Context()))
	require.EqualValues(t, 3, counts()["accounting_records"], "0 keeps them for good")
}
