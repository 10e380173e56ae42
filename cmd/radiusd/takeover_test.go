package main

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// open returns how many sessions the server says are open.
func (v *server) open() int {
	v.t.Helper()
	_, metrics := v.get("/metrics")
	m := regexp.MustCompile(`(?m)^radiusd_sessions_open (\S+)$`).FindStringSubmatch(metrics)
	require.NotNil(v.t, m)
	n, err := strconv.ParseFloat(m[1], 64)
	require.NoError(v.t, err)
	return int(n)
}

// A second node joins while sessions run on the first, which then dies: the second
// counts the sessions, takes their records and ends them.
func TestANewNodeTakesSessionsOver(t *testing.T) {
	t.Parallel()
	const users = 20
	a, b := twoNodes(t)
	a.do("plan", "add", "home", "--simultaneous-use", "1")
	for n := range users {
		a.addUser(fmt.Sprintf("user%d", n), "looking-glass", "--plan", "home")
	}
	first := a.start()
	db := a.database()
	nas := faultNAS(t)
	began := time.Now().Truncate(time.Second).Add(-10 * time.Minute)
	answered := func(site *faultSite, m *radius.Message) {
		t.Helper()
		require.Equal(t, radius.AccountingResponse, nas.Exchange(site.acct, m).Code())
	}
	login := func(site *faultSite, n int, station string) radius.Packet {
		t.Helper()
		m := nas.PAP(fmt.Sprintf("user%d", n), "looking-glass")
		m.AddString(radius.TypeCallingStationID, station)
		return nas.Exchange(site.auth, m)
	}
	after := func(d time.Duration) radiustest.Usage {
		return radiustest.Usage{Time: d, Input: uint64(d.Seconds()), Output: 10 * uint64(d.Seconds())}
	}

	// Every other NAS returns no Class.
	var sessions []*radiustest.Session
	start := func(n int) {
		t.Helper()
		accept := login(a, n, "02-00-00-00-00-01")
		require.Equal(t, radius.AccessAccept, accept.Code())
		s := nas.Session(fmt.Sprintf("user%d", n), fmt.Sprintf("%08d", n))
		s.CallingStationID = "02-00-00-00-00-01"
		if n%2 == 0 {
			s.Accepted(accept)
		}
		s.EventTime = began
		answered(a, s.Start())
		sessions = append(sessions, s)
	}
	for n := range users - 2 {
		start(n)
	}
	for _, s := range sessions {
		s.EventTime = began.Add(5 * time.Minute)
		answered(a, s.Interim(after(5*time.Minute)))
	}
	require.Eventually(t, func() bool {
		return number(t, db, "SELECT count(*) FROM sessions WHERE session_seconds = 300") == users-2
	}, patience, 20*time.Millisecond)

	second := b.start()
	require.Eventually(t, func() bool { return second.open() == users-2 }, patience, 20*time.Millisecond, "those that began before it was there")
	for n := range users - 2 {
		require.Equal(t, radius.AccessReject, login(b, n, "02-00-00-00-00-02").Code(), "the place is taken")
	}
	// Two that begin now are the first node's alone, and it dies with one record
	// that nobody has but its journal.
	postponed, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer postponed.Close()
	_, err = postponed.ExecContext(t.Context(), "BEGIN; LOCK TABLE sessions")
	require.NoError(t, err)
	start(users - 2)
	start(users - 1)
	first.kill()
	_, err = postponed.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)

	for _, s := range sessions {
		s.EventTime = began.Add(8 * time.Minute)
		answered(b, s.Interim(after(8*time.Minute)))
	}
	require.Eventually(t, func() bool { return second.open() == users }, patience, 20*time.Millisecond)
	for n := range users {
		require.Equal(t, radius.AccessReject, login(b, n, "02-00-00-00-00-02").Code(), "the place is still taken")
	}
	for _, s := range sessions[:users/2] {
		s.EventTime = began.Add(9 * time.Minute)
		answered(b, s.Stop(after(9*time.Minute), 1))
	}
	require.Eventually(t, func() bool { return second.open() == users/2 }, patience, 20*time.Millisecond)
	for n := range users {
		want := radius.AccessReject
		if n < users/2 {
			want = radius.AccessAccept
		}
		require.Equal(t, want, login(b, n, "02-00-00-00-00-03").Code(), "user%d", n)
	}

	// The first comes back when the second has written all, with what its journal has,
	// and knows what happened.
	const records = users + users - 2 + users + users/2
	stored := func(n int64) func() bool {
		return func() bool { return number(t, db, "SELECT count(*) FROM accounting_records") == n }
	}
	require.Eventually(t, stored(records-2), patience, 20*time.Millisecond)
	first = a.start()
	require.Eventually(t, stored(records), patience, 20*time.Millisecond)
	require.Eventually(t, func() bool { return first.open() == users/2 }, patience, 20*time.Millisecond)
	for _, s := range sessions[users/2:] {
		s.EventTime = began.Add(9 * time.Minute)
		answered(a, s.Stop(after(9*time.Minute), 1))
	}
	rows := func(rest string) int64 { return number(t, db, "SELECT count(*) FROM sessions "+rest) }
	require.Eventually(t, func() bool { return rows("WHERE stopped_at IS NOT NULL") == users }, patience, 20*time.Millisecond)
	require.EqualValues(t, users, rows(""), "one row of each")
	require.EqualValues(t, users, number(t, db, `SELECT count(*) FROM sessions WHERE NOT start_inferred AND NOT stop_inferred AND started_at = $1
		AND stopped_at = $2 AND session_seconds = 540 AND input_octets = 540 AND output_octets = 5400 AND terminate_cause = 'User-Request'`,
		began, began.Add(9*time.Minute)))
	require.EqualValues(t, users*540, number(t, db, "SELECT sum(session_seconds)::bigint FROM usage_daily"))
	require.Zero(t, deadlocks(t, db))
	for _, node := range []*server{first, second} {
		require.Zero(t, node.terminate(), node.logged())
	}
}
