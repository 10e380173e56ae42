package store

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// TestBinaryColumns: what a column appends for COPY it also takes.
func TestBinaryColumns(t *testing.T) {
	at := time.Date(2026, 3, 10, 12, 0, 0, 123456000, time.UTC)
	full := aaa.Session{
		ID: uuid.UUID{1}, AcctSessionID: "a", AcctMultiSessionID: "m", Username: "alice", NASID: uuid.UUID{2},
		NASAddr: netip.MustParseAddr("192.0.2.1"), NASIdentifier: "bras", NASPort: 1 << 31, NASPortID: "ge",
		FramedIP: netip.MustParseAddr("10.1.2.3"), FramedIPv6: netip.MustParseAddr("2001:db8::1"),
		FramedIPv6Prefix: netip.MustParsePrefix("2001:db8:2::/64"), DelegatedPrefix: netip.MustParsePrefix("2001:db8:3::1/128"),
		CallingStationID: "c", CalledStationID: "d", Class: []byte{0, 1}, Plan: "gold",
		StartedAt: at, StartInferred: true, UpdatedAt: at.Add(time.Hour), StoppedAt: at.AddDate(-40, 0, 0), StopInferred: true,
		SessionSeconds: 1, InputOctets: 1 << 40, OutputOctets: 3, InputPackets: 4, OutputPackets: 5, TerminateCause: "x", CounterWrapped: true,
	}
	r := aaa.Record{SessionID: full.ID, Status: aaa.AcctStart, EventTime: at, Username: "alice", NASPort: 1}
	merged := full
	merged.Merge(&r) // for a Provenance
	for name, want := range map[string]aaa.Session{"full": full, "merged": merged, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			got := full // what the row before has left
			from, to := sessionFields(&want), sessionFields(&got)
			for i := range from {
				b := from[i].appendBinary(nil)
				value := b[4:]
				if b[0] == 0xff {
					value = nil
				}
				require.NoError(t, to[i].column.(binaryScanner).scanBinary(value), from[i].name)
			}
			require.Equal(t, want, got)
		})
	}
	require.Error(t, moment{new(time.Time)}.scanBinary([]byte{1}))
	require.Error(t, flag{new(bool)}.scanBinary(nil))
	require.Error(t, id{new(uuid.UUID)}.scanBinary([]byte{1}))
	require.Error(t, whole[uint32]{new(uint32)}.scanBinary([]byte{0, 0, 0, 1, 0, 0, 0, 0}))
	require.Error(t, address{new(netip.Addr)}.scanBinary([]byte{2, 24, 0, 4, 10, 0, 0, 0}))
	require.Error(t, address{new(netip.Addr)}.scanBinary([]byte{2, 32, 0, 4, 10}))
	require.Error(t, network{new(netip.Prefix)}.scanBinary([]byte{2, 33, 0, 4, 10, 0, 0, 0}))
	require.Error(t, version{new(uint32)}.scanBinary(nil))
}
