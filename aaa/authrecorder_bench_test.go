package aaa

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

func benchExchange() *exchange {
	a := radius.AppendString(nil, radius.TypeUserName, "user00012345@example.org")
	a = radius.AppendAttribute(a, radius.TypeUserPassword, make([]byte, 16))
	a = radius.AppendAddr(a, radius.TypeNASIPAddress, netip.MustParseAddr("10.1.2.3"))
	a = radius.AppendUint32(a, radius.TypeNASPort, 77)
	a = radius.AppendString(a, radius.TypeNASPortID, "ether1")
	a = radius.AppendString(a, radius.TypeCallingStationID, "00-1A-2B-3C-4D-5E")
	a = radius.AppendString(a, radius.TypeCalledStationID, "service1")
	a = radius.AppendAttribute(a, radius.TypeMessageAuthenticator, make([]byte, 16))
	return &exchange{
		request:    &radius.Request{Received: monday, Source: netip.MustParseAddrPort("192.0.2.1:1645")},
		attributes: a, username: []byte("user00012345@example.org"), nas: &NAS{ID: [16]byte{1}}, nonce: Nonce{0xab},
	}
}

func BenchmarkAuthRecorderAdd(b *testing.B) {
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(newFakeStore())})
	require.NoError(b, err)
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		x := benchExchange()
		for b.Loop() {
			r.add(x, Decision{Method: MethodPAP})
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			x := benchExchange()
			for p.Next() {
				r.add(x, Decision{Method: MethodPAP})
			}
		})
	})
	b.Run("taken", func(b *testing.B) {
		b.ReportAllocs()
		x, q := benchExchange(), r.queues[0]
		for i := 0; b.Loop(); i++ {
			r.add(x, Decision{Method: MethodPAP})
			if i%q.Batch == q.Batch-1 {
				q.take(nil)
				q.pending.reset()
			}
		}
	})
}
