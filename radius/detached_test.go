package radius

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
)

func detached(t *testing.T, m *Message) (*Reply, error) {
	t.Helper()
	packet, err := m.AppendTo(nil, 7, NewHasher([]byte("s3cret")))
	require.NoError(t, err)
	nas := &NAS{Name: "bras", Secrets: [][]byte{[]byte("s3cret")}}
	return Detached(packet, nas, netip.MustParseAddrPort("192.0.2.1:1645"), time.Unix(1e9, 0))
}

func TestDetached(t *testing.T) {
	m := &Message{Code: AccessRequest}
	m.AddString(TypeUserName, "alice")
	require.NoError(t, m.AddUserPassword([]byte("s3cret"), "wonderland"))
	m.AddString(TypeProxyState, "p1")
	w, err := detached(t, m)
	require.NoError(t, err)
	r := w.Request()
	require.Equal(t, netip.MustParseAddr("192.0.2.1"), r.Source.Addr())
	password, ok := r.AppendUserPassword(nil)
	require.True(t, ok)
	require.Equal(t, "wonderland", string(password))

	w.SetCode(AccessAccept)
	w.AddString(TypeReplyMessage, "hello")
	w.AddSalted(0, uint8(TypeTunnelPassword), []byte("hidden"))
	require.Equal(t, AccessAccept, w.Code())
	require.False(t, w.TooLong())
	state, _ := w.Attributes().String(TypeProxyState)
	require.Equal(t, "p1", state)
	pairs, err := dictionary.Embedded().ParseWire(w.Attributes(), r.Cipher())
	require.NoError(t, err)
	require.Equal(t, "hidden", pairs[len(pairs)-1].Text(), "what is encrypted can be read with the request's cipher")

	for range 17 {
		w.Append(make([]byte, 0, 1))
		w.Add(TypeReplyMessage, make([]byte, MaxValueLength))
	}
	require.True(t, w.TooLong())
	w.Reset()
	require.False(t, w.TooLong())
}

func TestDetachedNeedsASecret(t *testing.T) {
	_, err := Detached(nil, &NAS{}, netip.AddrPort{}, time.Time{})
	require.ErrorContains(t, err, "secret")
}
