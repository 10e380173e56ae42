package aaa

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestAuthBatch(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 678901000, time.UTC)
	records := []AuthRecord{
		{At: at},
		{
			ID: [16]byte{1}, At: at.Add(time.Microsecond), Username: strings.Repeat("é", 127), Accepted: true, Reason: ReasonInternal, Detail: "x",
			Method: MethodEAP, NASID: [16]byte{2}, NASAddr: netip.MustParseAddr("192.0.2.1"), NASPortID: "p", CallingStationID: "c",
			CalledStationID: "d", SessionNonce: Nonce{3},
		},
		{At: at.AddDate(0, 0, 3), NASAddr: netip.MustParseAddr("2001:db8::1")},
		{At: at.AddDate(-100, 0, 0), NASAddr: netip.MustParseAddr("::ffff:192.0.2.1")},
	}
	b := NewAuthBatch(records...)
	require.Equal(t, 4, b.Len())
	require.Equal(t, records, b.Records())
	require.Equal(t, []time.Time{at, at.AddDate(0, 0, 3), at.AddDate(-100, 0, 0)}, slices.Collect(b.Times()))
	accepted := 0
	require.Zero(t, testing.AllocsPerRun(10, func() {
		for r := b.Reader(); r.Next(); {
			if r.Accepted {
				accepted++
			}
		}
	}))
	require.Equal(t, 11, accepted)
	require.Empty(t, new(AuthBatch).Records())
}

// TestAuthBatchTexts: what a text column cannot hold is replaced, and nothing else,
// wherever it stands.
func TestAuthBatchTexts(t *testing.T) {
	for _, bad := range []string{"\x00", "\xff", "\xc3", "\x01", "é", "\x7f"} {
		for at := range 20 {
			text := strings.Repeat("a", at) + bad + strings.Repeat("b", 3)
			want := text
			if bad == "\x00" || !utf8.ValidString(bad) {
				want = strings.Replace(text, bad, "\uFFFD", 1)
			}
			for _, r := range []AuthRecord{{Username: text}, {Detail: text}, {NASPortID: "é", CalledStationID: text}} {
				got := NewAuthBatch(r).Records()[0]
				require.Contains(t, []string{got.Username, got.Detail, got.CalledStationID}, want)
			}
		}
	}
	// A character is not made of what stands in two texts.
	got := NewAuthBatch(AuthRecord{Username: "\xc3", NASPortID: "\xa9"}).Records()[0]
	require.Equal(t, []string{"\uFFFD", "\uFFFD"}, []string{got.Username, got.NASPortID})
}
