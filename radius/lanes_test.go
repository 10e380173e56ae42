package radius

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/radius/internal/md5x8"
)

// laneRequest makes a request of any kind that may arrive, and says whether lanes
// take it, if it is right.
func laneRequest(random *rand.Rand, h *Hasher) (p Packet, taken bool) {
	code := AccessRequest
	if random.IntN(2) == 0 {
		code = AccountingRequest
	}
	authenticator := [AuthenticatorLength]byte{byte(random.Uint32()), byte(random.Uint32())}
	p = AppendHeader(nil, code, uint8(random.Uint32()), &authenticator)
	password := make([]byte, 1+random.IntN(40))
	filler := func() {
		for range random.IntN(4) {
			p = AppendAttribute(p, TypeProxyState, make([]byte, random.IntN(200)))
		}
	}
	filler()
	signatures := []int{1, 1, 1, 0, 2}[random.IntN(5)]
	if code == AccountingRequest {
		signatures = []int{0, 0, 0, 1}[random.IntN(4)]
	}
	at := 0
	for range signatures {
		at = len(p)
		p = AppendMessageAuthenticator(p)
		filler()
	}
	if code == AccessRequest {
		hidden, err := h.AppendEncryptedUserPassword(nil, password, &authenticator)
		if err != nil {
			panic(err)
		}
		p = AppendAttribute(p, TypeUserPassword, hidden)
	}
	filler()
	SetLength(p)
	if at > 0 {
		h.SignMessageAuthenticator(p, at, nil)
	}
	h.SignRequest(p)
	taken = len(p) <= laneLongest && (code == AccessRequest && signatures == 1 || code == AccountingRequest && signatures == 0)
	return p, taken
}

func laneSecrets() []*Hasher {
	hashers := newHashers()
	var list []*Hasher
	for _, n := range []int{1, 16, 39, 40, 55, 64, 65, 200} {
		secret := make([]byte, n)
		for i := range secret {
			secret[i] = byte(i + n)
		}
		list = append(list, hashers.get(secret))
	}
	return list
}

// Lanes find proven what a Hasher finds right, and the same password.
func TestLanesVerify(t *testing.T) {
	if !md5x8.Available() {
		t.Skip("this processor has no lanes")
	}
	random, secrets, proven := rand.New(rand.NewPCG(3, 4)), laneSecrets(), 0
	var l lanes
	for range 400 {
		arrivals := make([]arrival, laneFewest+random.IntN(batchSize-laneFewest+1))
		taken := make([]bool, len(arrivals))
		for i := range arrivals {
			h := secrets[random.IntN(len(secrets))]
			p, fits := laneRequest(random, h)
			if random.IntN(4) == 0 { // forged, somewhere but in the lengths
				p[4+random.IntN(AuthenticatorLength)] ^= 1 << random.IntN(8)
				fits = false
			}
			arrivals[i] = arrival{packet: p, hasher: h}
			taken[i] = fits && h.key != nil
			if random.IntN(20) == 0 {
				arrivals[i].hasher, taken[i] = nil, false
			}
		}
		l.verify(arrivals)
		for i := range arrivals {
			a := &arrivals[i]
			require.Equal(t, taken[i], a.proven, "secret of %d octets, %x", len(secrets[0].secret), []byte(a.packet))
			if !a.proven {
				continue
			}
			proven++
			if a.packet.Code() == AccountingRequest {
				require.True(t, a.hasher.VerifyRequestAuthenticator(a.packet))
				require.False(t, a.hidden)
				continue
			}
			require.Equal(t, MessageAuthenticatorValid, a.hasher.VerifyMessageAuthenticator(a.packet, nil))
			require.True(t, a.hidden)
			encrypted, _ := a.packet.Attributes().Get(TypeUserPassword)
			want, ok := a.hasher.AppendUserPassword(nil, encrypted[:16], a.packet.Authenticator())
			require.True(t, ok)
			require.Equal(t, want, appendPlain(nil, encrypted[:16], &a.keystream))
		}
	}
	require.Greater(t, proven, 1000)
}

// What lanes sign is what a Hasher signs.
func TestLanesSign(t *testing.T) {
	random, secrets, hashers := rand.New(rand.NewPCG(5, 6)), laneSecrets(), newHashers()
	var l lanes
	for range 400 {
		replies, want := make([]*Reply, random.IntN(batchSize+1)), []Packet{}
		for i := range replies {
			h := secrets[random.IntN(len(secrets))]
			w := &Reply{secret: h.secret, lane: h.key, signed: random.IntN(3) > 0, code: AccessAccept}
			w.authenticator[random.IntN(16)] = byte(random.Uint32())
			w.buf = AppendHeader(nil, w.code, uint8(random.Uint32()), &zeroAuthenticator)
			if w.signed {
				w.buf = AppendMessageAuthenticator(w.buf)
			}
			for range random.IntN(4) {
				w.buf = AppendAttribute(w.buf, TypeReplyMessage, make([]byte, random.IntN(200)))
			}
			w.seal()
			replies[i] = w
			slow := &Reply{signed: w.signed, authenticator: w.authenticator, buf: append([]byte(nil), w.buf...)}
			slow.sign(h)
			want = append(want, slow.buf)
		}
		l.sign(replies, hashers)
		for i, w := range replies {
			require.Equal(t, want[i], Packet(w.buf), "reply %d of %d", i, len(replies))
		}
	}
}

// A batch that is all of the longest packets and secrets fits.
func TestLanesRoom(t *testing.T) {
	h := newHashers().get(make([]byte, md5x8.BlockSize))
	p := AppendHeader(nil, AccessRequest, 1, &zeroAuthenticator)
	p = AppendMessageAuthenticator(p)
	p = AppendAttribute(p, TypeUserPassword, make([]byte, 128))
	for len(p) < laneLongest {
		p = AppendAttribute(p, TypeProxyState, make([]byte, min(253, laneLongest-len(p)-2)))
	}
	SetLength(p)
	h.SignMessageAuthenticator(p, HeaderLength, nil)
	arrivals := make([]arrival, 2*batchSize) // the second half is left to Hasher
	for i := range arrivals {
		arrivals[i] = arrival{packet: p, hasher: h}
	}
	var l lanes
	l.verify(arrivals)
	for i := range arrivals[:batchSize] {
		require.Equal(t, h.key != nil, arrivals[i].proven)
	}
}
