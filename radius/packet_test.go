package radius_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// datagram returns a packet whose length field says length, followed by rest.
func datagram(length int, rest ...byte) []byte {
	b := append([]byte{1, 7}, byte(length>>8), byte(length))
	b = append(b, bytes.Repeat([]byte{0xaa}, 16)...)
	return append(b, rest...)
}

func TestParse(t *testing.T) {
	many := func(n int) []byte { return datagram(20+2*n, bytes.Repeat([]byte{1, 2}, n)...) }
	full := datagram(4096)
	for len(full)+255 <= 4096 {
		full = radius.AppendAttribute(full, radius.TypeProxyState, make([]byte, 253))
	}
	full = radius.AppendAttribute(full, radius.TypeProxyState, make([]byte, 4096-len(full)-2))
	require.Len(t, full, 4096)

	tests := []struct {
		name     string
		datagram []byte
		want     radius.Discard
		length   int // of the packet, if it is well-formed
	}{
		{"header only", datagram(20), 0, 20},
		{"one attribute", datagram(26, 1, 6, 'n', 'e', 'm', 'o'), 0, 26},
		{"empty attribute", datagram(22, 1, 2), 0, 22},
		{"longest", full, 0, 4096},
		{"longest and padding", append(bytes.Clone(full), 1, 2, 3), 0, 4096},
		{"padding", datagram(20, 0, 0, 0), 0, 20},
		{"padding that cuts an attribute's end", datagram(25, 1, 6, 'n', 'e', 'm', 'o'), radius.DiscardMalformedAttribute, 0},
		{"200 attributes", many(200), 0, 420},
		{"201 attributes", many(201), radius.DiscardTooManyAttributes, 0},
		{"nothing", nil, radius.DiscardMalformedHeader, 0},
		{"short header", datagram(20)[:19], radius.DiscardMalformedHeader, 0},
		{"length 0", datagram(0), radius.DiscardMalformedHeader, 0},
		{"length 19", datagram(19), radius.DiscardMalformedHeader, 0},
		{"length beyond the datagram", datagram(21), radius.DiscardMalformedHeader, 0},
		{"length 4097", append(datagram(4097), make([]byte, 5000)...), radius.DiscardMalformedHeader, 0},
		{"length 65535", append(datagram(65535), make([]byte, 65515)...), radius.DiscardMalformedHeader, 0},
		{"attribute of length 0", datagram(24, 1, 0, 0, 0), radius.DiscardMalformedAttribute, 0},
		{"attribute of length 1", datagram(24, 1, 1, 1, 1), radius.DiscardMalformedAttribute, 0},
		{"attribute without length", datagram(21, 1), radius.DiscardMalformedAttribute, 0},
		{"attribute beyond the packet", datagram(24, 1, 5, 0, 0), radius.DiscardMalformedAttribute, 0},
		{"attribute 0", datagram(23, 0, 3, 0), radius.DiscardMalformedAttribute, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, discard := radius.Parse(test.datagram)
			assert.Equal(t, test.want, discard)
			assert.Len(t, p, test.length)
			if discard == 0 {
				assert.Equal(t, test.datagram[:test.length], []byte(p))
				assert.Equal(t, test.length, cap(p), "appending to a packet must not write to the datagram")
			}
		})
	}
}

// Every length of datagram and of packet is taken or refused, and nothing that is
// refused allocates.
func TestParseEveryLength(t *testing.T) {
	buffer := make([]byte, 5000)
	for n := range buffer {
		for _, length := range []int{n, n - 1, n + 1, 20, 4096} {
			d := buffer[:n]
			clear(d)
			if n >= 4 {
				binary.BigEndian.PutUint16(d[2:], uint16(length))
			}
			// Attributes of 37 octets fill the packet, if one of another length ends it.
			end := min(n, max(length, 0))
			for i := radius.HeaderLength; i+1 < end; {
				d[i], d[i+1] = 26, byte(min(37, end-i))
				i += int(d[i+1])
			}
			p, discard := radius.Parse(d)
			reachable := n >= 20 && length >= 20 && length <= 4096 && length <= n
			if rest := (length - 20) % 37; !reachable {
				require.Equal(t, radius.DiscardMalformedHeader, discard, "%d octets that say %d", n, length)
			} else if rest == 1 {
				require.Equal(t, radius.DiscardMalformedAttribute, discard, "%d octets that say %d", n, length)
			} else {
				require.Zero(t, discard, "%d octets that say %d", n, length)
				require.Len(t, p, length)
			}
		}
	}
}

func TestParseAndReadDoNotAllocate(t *testing.T) {
	g := goldens(t)["radclient-pap-request"]
	n := 0
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		p, _ := radius.Parse(g.octets)
		a := p.Attributes()
		for typ, value := range a.All() {
			n += int(typ) + len(value)
		}
		for typ, value := range a.AllVendor(311) {
			n += int(typ) + len(value)
		}
		_, ok := a.Get(radius.TypeUserName)
		_, ok2 := a.Uint32(radius.TypeNASPort)
		_, ok3 := a.Addr(radius.TypeNASIPAddress)
		_, ok4 := a.Vendor(311, 16)
		n += a.Count(radius.TypeProxyState) + int(p.Identifier()) + int(p.Code()) + len(p.CHAPChallenge())
		if !ok || !ok2 || ok3 || ok4 {
			panic("wrong attributes")
		}
	}))
	assert.NotZero(t, n)
}

// The worst packets of 4 KiB cost no memory.
func TestHostilePacketsCostNoMemory(t *testing.T) {
	h := radius.NewHasher([]byte("secret"))
	for name, d := range map[string][]byte{
		"two octets each":    datagram(4096, bytes.Repeat([]byte{26, 2}, 2038)...),
		"zero lengths":       datagram(4096, make([]byte, 4076)...),
		"endless vendor":     datagram(4096, bytes.Repeat([]byte{26, 255, 0, 0, 1, 55, 0, 0}, 510)[:4076]...),
		"200 authenticators": datagram(20+18*200, bytes.Repeat(append([]byte{80, 18}, make([]byte, 16)...), 200)...),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p, discard := radius.Parse(d)
			if discard == 0 {
				assert.Equal(t, radius.MessageAuthenticatorInvalid, h.VerifyMessageAuthenticator(p, nil))
			}
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
		})
	}
}

func TestCHAPChallenge(t *testing.T) {
	p, discard := radius.Parse(datagram(20))
	require.Zero(t, discard)
	assert.Equal(t, p[4:20], radius.Packet(p.CHAPChallenge()))

	d := datagram(25, byte(radius.TypeCHAPChallenge), 5, 1, 2, 3)
	p, discard = radius.Parse(d)
	require.Zero(t, discard)
	assert.Equal(t, []byte{1, 2, 3}, p.CHAPChallenge())
}

func TestCode(t *testing.T) {
	for code, want := range map[radius.Code]string{
		radius.AccessRequest: "Access-Request", radius.AccessAccept: "Access-Accept",
		radius.AccessReject: "Access-Reject", radius.AccessChallenge: "Access-Challenge",
		radius.AccountingRequest: "Accounting-Request", radius.AccountingResponse: "Accounting-Response",
		radius.StatusServer: "Status-Server", radius.StatusClient: "Status-Client",
		radius.DisconnectRequest: "Disconnect-Request", radius.DisconnectACK: "Disconnect-ACK",
		radius.DisconnectNAK: "Disconnect-NAK", radius.CoARequest: "CoA-Request",
		radius.CoAACK: "CoA-ACK", radius.CoANAK: "CoA-NAK",
		radius.ProtocolError: "Protocol-Error", 99: "Code-99",
	} {
		assert.Equal(t, want, code.String())
	}

	requests := map[radius.Code][]radius.Code{
		radius.AccessRequest:     {radius.AccessAccept, radius.AccessReject, radius.AccessChallenge, radius.ProtocolError},
		radius.AccountingRequest: {radius.AccountingResponse, radius.ProtocolError},
		radius.StatusServer:      {radius.AccessAccept, radius.AccountingResponse, radius.ProtocolError},
		radius.DisconnectRequest: {radius.DisconnectACK, radius.DisconnectNAK, radius.ProtocolError},
		radius.CoARequest:        {radius.CoAACK, radius.CoANAK, radius.ProtocolError},
		radius.AccessAccept:      {},
	}
	for request, answers := range requests {
		for code := range radius.Code(255) {
			want := bytes.Contains(codes(answers), []byte{byte(code)})
			assert.Equal(t, want, code.Answers(request), "%v to %v", code, request)
		}
	}
}

func codes(list []radius.Code) []byte {
	var b []byte
	for _, c := range list {
		b = append(b, byte(c))
	}
	return b
}

// The names are labels of a metric: they are there, differ, and stay.
func TestDiscardNames(t *testing.T) {
	seen := make(map[string]bool)
	for d := range radius.DiscardShutdown + 1 {
		name := d.String()
		assert.Regexp(t, `^[a-z_]+$`, name)
		assert.False(t, seen[name], name)
		seen[name] = true
	}
	assert.Equal(t, "none", radius.Discard(0).String())
	assert.Equal(t, "unknown_nas", radius.DiscardUnknownNAS.String())
	assert.Equal(t, "invalid", (radius.DiscardShutdown + 1).String())
}
