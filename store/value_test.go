package store

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// TestColumnsRoundTrip scans what each column gives to the database, as either
// engine returns it.
func TestColumnsRoundTrip(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	moments := time.Date(2030, 3, 31, 1, 2, 3, 456789000, time.UTC)
	today := time.Date(2030, 3, 31, 0, 0, 0, 0, berlin)
	prefix, host := netip.MustParsePrefix("2001:db8::1:0/56"), netip.MustParsePrefix("192.0.2.7/32")
	addr, mapped := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1")
	number, huge, port := uint64(7), uint64(math.MaxUint64), uint16(65535)
	row, zero := uuid.New(), uuid.Nil
	period, status := aaa.PeriodWeek, aaa.AcctStop
	yes, span, none := true, 90*time.Second, time.Time{}
	name, bytes := "name", []byte{0, 1}

	assert.Equal(t, "2030-03-31T01:02:03.456789Z", value(t, moment{&moments}))
	assert.Equal(t, "2030-03-31", value(t, day{&today, berlin}))
	assert.Equal(t, "192.0.2.7", value(t, network{&host}))
	assert.Equal(t, "192.0.2.1", value(t, address{&mapped}))
	assert.Equal(t, int64(math.MaxInt64), value(t, whole[uint64]{&huge}))
	assert.Equal(t, "week", value(t, word[aaa.Period]{&period, aaa.ParsePeriod}))
	assert.Nil(t, value(t, moment{&none}))
	assert.Nil(t, value(t, nullID{&zero}))

	for name, tt := range map[string]struct{ from, to column }{
		"text":    {text{&name}, text{new(string)}},
		"octets":  {octets{&bytes}, octets{new([]byte)}},
		"id":      {id{&row}, id{new(uuid.UUID)}},
		"number":  {whole[uint64]{&number}, whole[uint64]{new(uint64)}},
		"port":    {whole[uint16]{&port}, whole[uint16]{new(uint16)}},
		"seconds": {seconds{&span}, seconds{new(time.Duration)}},
		"flag":    {flag{&yes}, flag{new(bool)}},
		"moment":  {moment{&moments}, moment{new(time.Time)}},
		"day":     {day{&today, berlin}, day{new(time.Time), berlin}},
		"address": {address{&addr}, address{new(netip.Addr)}},
		"network": {network{&prefix}, network{new(netip.Prefix)}},
		"host":    {network{&host}, network{new(netip.Prefix)}},
		"word":    {word[aaa.AcctStatus]{&status, aaa.ParseAcctStatus}, word[aaa.AcctStatus]{new(aaa.AcctStatus), aaa.ParseAcctStatus}},
	} {
		require.NoError(t, tt.to.Scan(value(t, tt.from)), name)
		assert.Equal(t, value(t, tt.from), value(t, tt.to), name)
		assert.Error(t, tt.to.Scan(1.5), "%s takes no float", name)
	}
	// Postgres returns times, SQLite an integer for a flag.
	var at time.Time
	require.NoError(t, moment{&at}.Scan(moments.In(berlin)))
	assert.Equal(t, moments, at)
	require.NoError(t, day{&at, berlin}.Scan(time.Date(2030, 3, 31, 0, 0, 0, 0, time.UTC)))
	assert.Equal(t, today, at)
	for _, text := range []string{"2030-03-31T01:02:03.456789Z", "2030-03-31T03:02:03.456789+02:00"} {
		require.NoError(t, moment{&at}.Scan(text))
		assert.Equal(t, moments, at)
	}
	require.NoError(t, moment{&at}.Scan("2030-03-31"), "entered by hand")
	require.Error(t, moment{&at}.Scan("tomorrow"))
	require.Error(t, whole[uint16]{&port}.Scan(int64(65536)))
	require.Error(t, whole[uint64]{&number}.Scan(int64(-1)))
}

func value(t *testing.T, c column) any {
	t.Helper()
	v, err := c.Value()
	require.NoError(t, err)
	return v
}

func TestRecordSpans(t *testing.T) {
	at := func(hours int) aaa.Record {
		return aaa.Record{ID: uuid.New(), EventTime: time.Date(2030, 1, 1, hours, 0, 0, 0, time.UTC)}
	}
	records := []aaa.Record{at(3), at(0), at(26), at(24 * 1000), at(1)}
	spans := recordSpans(pointers(records))
	require.Len(t, spans, 2)
	assert.Equal(t, []*aaa.Record{&records[1], &records[4], &records[0], &records[2]}, spans[0].records)
	assert.Equal(t, records[1].EventTime.Add(-copyDistance), spans[0].from)
	assert.Equal(t, records[2].EventTime.Add(copyDistance), spans[0].to)
	assert.Equal(t, []*aaa.Record{&records[3]}, spans[1].records)
}

func TestParsePosition(t *testing.T) {
	p, err := parsePosition("17")
	require.NoError(t, err)
	assert.Equal(t, feedPosition{oldest: 18, next: 18}, p)
	p, err = parsePosition("00000001/731:740:731,735")
	require.NoError(t, err)
	assert.Equal(t, feedPosition{timeline: "00000001", oldest: 731, next: 740, running: []string{"731", "735"}}, p)
	for _, text := range []string{"", "-1", "x", "1/2", "1/2:3", "1/a:3:", "1/2:b:"} {
		_, err := parsePosition(text)
		assert.Error(t, err, text)
	}
}

func pointers[T any](list []T) []*T {
	var p []*T
	for i := range list {
		p = append(p, &list[i])
	}
	return p
}
