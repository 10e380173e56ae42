package redis

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/aaa/limitstest"
)

// TestWhatIsTold: every session is told of as it is, also when there are many.
func TestWhatIsTold(t *testing.T) {
	clock := limitstest.NewClock()
	n := oneServer(t).newNode(t, "a", aaa.LiveOptions{Now: clock.Now}).connect(t)
	const sessions = 3*pipelineLength + 7
	for i := range sessions {
		r := startOf(clock, i)
		n.local.Apply(&r)
	}
	require.Equal(t, sessions, n.pending())
	n.share(t)
	require.Zero(t, n.pending())
	count, err := n.OnlineCount(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, sessions, count)

	var online []Online
	require.NoError(t, n.EachOnline(t.Context(), func(o Online) bool { online = append(online, o); return true }))
	require.Len(t, online, sessions)
	told, err := n.Sessions(t.Context(), online)
	require.NoError(t, err)
	require.Len(t, told, sessions)
	for i := range told {
		s, ok := n.local.Session(told[i].ID)
		require.True(t, ok)
		s.Provenance = aaa.Provenance{}
		require.Equal(t, s, told[i])
		require.Equal(t, s.NASAddr, online[i].NASAddr)
	}
}

// startOf is the Start of the session of a user of a number, with every attribute.
func startOf(clock *limitstest.Clock, i int) aaa.Record {
	return aaa.Record{
		Status: aaa.AcctStart, AcctSessionID: fmt.Sprintf("session-%d", i), AcctMultiSessionID: "multi", Username: fmt.Sprintf("user%d", i),
		NASID: uuid.UUID{byte(i), 7}, NASAddr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), NASIdentifier: "nas", NASPort: uint32(i), NASPortID: "ether1",
		FramedIP: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), FramedIPv6: netip.MustParseAddr("2001:db8::1"),
		FramedIPv6Prefix: netip.MustParsePrefix("2001:db8:1::/64"), DelegatedPrefix: netip.MustParsePrefix("2001:db8:100::/56"),
		CallingStationID: fmt.Sprintf("02-00-00-00-%02X-%02X", i>>8&255, i&255), CalledStationID: "AP:ssid",
		Class: aaa.AppendClass(nil, aaa.Nonce{byte(i >> 8), byte(i), 1}), EventTime: clock.Now(), ReceivedAt: clock.Now(),
	}
}

// TestAnOlderStateTakesNothingBack: a node that knows less tells of the session again.
func TestAnOlderStateTakesNothingBack(t *testing.T) {
	clock := limitstest.NewClock()
	v := oneServer(t)
	a := v.newNode(t, "a", aaa.LiveOptions{Now: clock.Now}).connect(t)
	b := v.newNode(t, "b", aaa.LiveOptions{Now: clock.Now}).connect(t)
	start := startOf(clock, 1)
	for _, n := range []*node{a, b} {
		r := start
		n.local.Apply(&r)
		n.share(t)
	}
	clock.Advance(time.Minute)
	interim := startOf(clock, 1)
	interim.Status = aaa.AcctInterim
	a.local.Apply(&interim)
	a.share(t)
	start.ReceivedAt = clock.Now() // sent once more, so that b has heard of it as lately
	b.local.Apply(&start)
	b.share(t)
	require.Equal(t, clock.Now(), must(b.UserSessions(t.Context(), "user1"))[0].UpdatedAt)
}

func TestOnlineByDeadline(t *testing.T) {
	clock := limitstest.NewClock()
	v := oneServer(t)
	a := v.newNode(t, "a", aaa.LiveOptions{Now: clock.Now, Liveness: time.Hour}).connect(t)
	for i := range 3 {
		r := startOf(clock, i)
		a.local.Apply(&r)
	}
	a.share(t)
	count := func(want int) {
		t.Helper()
		n, err := a.OnlineCount(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, want, n)
		listed := 0
		require.NoError(t, a.EachOnline(t.Context(), func(Online) bool { listed++; return true }))
		require.Equal(t, want, listed)
	}
	of := func(user string) int {
		list, err := a.UserSessions(t.Context(), user)
		require.NoError(t, err)
		return len(list)
	}
	count(3)
	clock.Advance(30 * time.Minute)
	r := startOf(clock, 1)
	r.Status = aaa.AcctInterim
	a.local.Apply(&r)
	r = startOf(clock, 2)
	r.Status = aaa.AcctStop
	a.local.Apply(&r)
	a.share(t)
	count(2)
	require.Equal(t, []int{1, 1, 0}, []int{of("user0"), of("user1"), of("user2")})
	clock.Advance(30 * time.Minute)
	count(1)
	require.Equal(t, []int{0, 1, 0}, []int{of("user0"), of("user1"), of("user2")})
	for range buckets { // those that have lapsed leave the index
		require.NoError(t, a.h.check(t.Context()))
	}
	require.EqualValues(t, 1, a.metrics.online.Load())
	members := int64(0)
	for b := range buckets {
		members += a.client.ZCard(t.Context(), a.keys.online(b)).Val()
	}
	require.EqualValues(t, 1, members)
}
