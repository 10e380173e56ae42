package redis

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/aaa/limitstest"
	"radiusd/internal/testserver"
)

var benchNAS = netip.MustParseAddr("192.0.2.1")

func benchNode(b *testing.B) *node {
	local := aaa.NewLiveSessions(aaa.LiveOptions{})
	s, err := New(Options{URL: testserver.Redis(b), NodeID: "a", Local: local, Timeout: patience})
	require.NoError(b, err)
	b.Cleanup(func() { s.Close() })
	n := &node{Store: s, local: local, h: health{store: s}}
	require.NoError(b, n.h.connect(b.Context()))
	return n
}

func benchRecord(i int, status aaa.AcctStatus, seconds uint64) aaa.Record {
	now := time.Now().UTC()
	return aaa.Record{
		Status: status, AcctSessionID: fmt.Sprintf("%08x", i), Username: fmt.Sprintf("user%07d", i), NASAddr: benchNAS, NASID: uuid.UUID{7},
		CallingStationID: fmt.Sprintf("02-00-00-%02X-%02X-%02X", i>>16&255, i>>8&255, i&255), NASPortID: "ether1",
		EventTime: now, ReceivedAt: now, HasSeconds: true, SessionSeconds: seconds, HasOctets: true, InputOctets: seconds * 1000, OutputOctets: seconds * 9000,
		Class: aaa.AppendClass(nil, aaa.Nonce{byte(i >> 16), byte(i >> 8), byte(i)}),
	}
}

// BenchmarkPublish tells of sessions that have changed; one operation is one session.
func BenchmarkPublish(b *testing.B) {
	const sessions = 20_000
	n := benchNode(b)
	for i := range sessions {
		r := benchRecord(i, aaa.AcctStart, 0)
		n.local.Apply(&r)
	}
	require.NoError(b, n.flush(b.Context(), n.takeDirty(0)))
	seconds := uint64(0)
	before := n.serverCPU(b)
	b.ResetTimer()
	for done := 0; done < b.N; {
		seconds += 300
		for i := range min(sessions, b.N-done) {
			r := benchRecord(i, aaa.AcctInterim, seconds)
			n.local.Apply(&r)
			done++
			if i%1000 == 999 {
				require.NoError(b, n.flush(b.Context(), n.takeDirty(0)))
			}
		}
		require.NoError(b, n.flush(b.Context(), n.takeDirty(0)))
	}
	b.StopTimer()
	n.report(b, before)
}

// serverCPU is the CPU time that the server has used so far.
func (n *node) serverCPU(b *testing.B) (sum time.Duration) {
	for line := range strings.Lines(n.client.Info(b.Context(), "cpu").Val()) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user_main_thread" || name == "used_cpu_sys_main_thread" {
			seconds, err := strconv.ParseFloat(text, 64)
			require.NoError(b, err)
			sum += time.Duration(seconds * float64(time.Second))
		}
	}
	return sum
}

// report says how much CPU the server took since before.
func (n *node) report(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(n.serverCPU(b)-before)/float64(b.N), "server-cpu-ns/op")
}

// BenchmarkReserve is the round trip of an Access-Request.
func BenchmarkReserve(b *testing.B) {
	n := benchNode(b)
	before := n.serverCPU(b)
	i := 0
	for b.Loop() {
		i++
		g := n.Reserve(aaa.Reservation{Username: fmt.Sprintf("user%07d", i), Limit: 1, Nonce: aaa.Nonce{byte(i)}, NASAddr: benchNAS, At: limitstest.Begin})
		if !g.Reserved {
			b.Fatal("refused")
		}
	}
	n.report(b, before)
}
