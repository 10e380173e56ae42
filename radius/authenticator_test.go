package radius_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"testing"

	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// packet returns a parsed packet with the given attributes, unsigned.
func packet(t testing.TB, code radius.Code, authenticator [16]byte, attributes ...[]byte) radius.Packet {
	t.Helper()
	b := radius.AppendHeader(nil, code, 7, &authenticator)
	b = append(b, bytes.Join(attributes, nil)...)
	radius.SetLength(b)
	p, discard := radius.Parse(b)
	require.Zero(t, discard)
	return p
}

func TestMessageAuthenticatorAtAnyPosition(t *testing.T) {
	user := radius.AppendString(nil, radius.TypeUserName, "alice")
	state := radius.AppendString(nil, radius.TypeState, "s")
	ma := radius.AppendMessageAuthenticator(nil)
	h, other := radius.NewHasher([]byte("secret")), radius.NewHasher([]byte("Secret"))
	for name, attributes := range map[string][][]byte{
		"first": {ma, user, state}, "middle": {user, ma, state}, "last": {user, state, ma}, "alone": {ma},
	} {
		t.Run(name, func(t *testing.T) {
			p := packet(t, radius.AccessRequest, [16]byte{1, 2, 3}, attributes...)
			assert.Equal(t, radius.MessageAuthenticatorInvalid, h.VerifyMessageAuthenticator(p, nil))
			h.SignMessageAuthenticator(p, offset(p, radius.TypeMessageAuthenticator), nil)
			assert.Equal(t, radius.MessageAuthenticatorValid, h.VerifyMessageAuthenticator(p, nil))
			assert.Equal(t, radius.MessageAuthenticatorInvalid, other.VerifyMessageAuthenticator(p, nil))
			assert.Equal(t, radius.MessageAuthenticatorValid, h.VerifyMessageAuthenticator(p, &[16]byte{9}), "a request's own authenticator counts")

			// Every bit of the packet is covered. A changed code changes what is
			// covered, and lengths and types make another packet.
			for i := range p {
				for bit := range 8 {
					q := bytes.Clone(p)
					q[i] ^= 1 << bit
					if q, discard := radius.Parse(q); discard == 0 {
						assert.NotEqual(t, radius.MessageAuthenticatorValid, h.VerifyMessageAuthenticator(q, nil), "octet %d bit %d", i, bit)
					}
				}
			}
		})
	}
}

func TestMessageAuthenticatorInvalid(t *testing.T) {
	user := radius.AppendString(nil, radius.TypeUserName, "alice")
	ma := radius.AppendMessageAuthenticator(nil)
	short := radius.AppendAttribute(nil, radius.TypeMessageAuthenticator, make([]byte, 15))
	long := radius.AppendAttribute(nil, radius.TypeMessageAuthenticator, make([]byte, 17))
	empty := radius.AppendAttribute(nil, radius.TypeMessageAuthenticator, nil)
	h := radius.NewHasher([]byte("secret"))
	for name, attributes := range map[string][][]byte{
		"short": {user, short}, "long": {long, user}, "empty": {empty}, "empty and last": {user, empty},
		"twice": {ma, user, ma}, "twice, side by side": {ma, ma}, "right and short": {ma, short}, "short and right": {short, ma},
	} {
		t.Run(name, func(t *testing.T) {
			p := packet(t, radius.AccessRequest, [16]byte{1}, attributes...)
			if at := bytes.Index(p, ma[:2]); at >= 0 && p[at+1] == 18 {
				h.SignMessageAuthenticator(p, at, nil)
			}
			assert.Equal(t, radius.MessageAuthenticatorInvalid, h.VerifyMessageAuthenticator(p, nil))
		})
	}
	t.Run("two that are each right", func(t *testing.T) {
		p := packet(t, radius.AccessRequest, [16]byte{1}, ma, user, ma)
		mac := hmac.New(md5.New, []byte("secret")) // over both zeroed
		mac.Write(p)
		sum := mac.Sum(nil)
		copy(p[22:38], sum)
		copy(p[len(p)-16:], sum)
		assert.Equal(t, radius.MessageAuthenticatorInvalid, h.VerifyMessageAuthenticator(p, nil))
	})
	t.Run("absent", func(t *testing.T) {
		assert.Equal(t, radius.MessageAuthenticatorAbsent, h.VerifyMessageAuthenticator(packet(t, radius.AccessRequest, [16]byte{}, user), nil))
		assert.Equal(t, radius.MessageAuthenticatorAbsent, h.VerifyMessageAuthenticator(packet(t, radius.AccessRequest, [16]byte{}), nil))
	})
}

// What stands in for the authenticator depends on the code (RFC 3579 section 3.2,
// RFC 5176 section 3.4).
func TestMessageAuthenticatorBase(t *testing.T) {
	own, request, zeros := [16]byte{1}, [16]byte{2}, [16]byte{}
	for code, base := range map[radius.Code][16]byte{
		radius.AccessRequest: own, radius.StatusServer: own,
		radius.AccountingRequest: zeros, radius.CoARequest: zeros, radius.DisconnectRequest: zeros,
		radius.AccessAccept: request, radius.AccessReject: request, radius.AccessChallenge: request,
		radius.AccountingResponse: request, radius.CoAACK: request, radius.CoANAK: request,
		radius.DisconnectACK: request, radius.DisconnectNAK: request, radius.ProtocolError: request,
	} {
		p := packet(t, code, base, radius.AppendMessageAuthenticator(nil))
		mac := hmac.New(md5.New, []byte("secret"))
		mac.Write(p)
		copy(p[22:], mac.Sum(nil))
		*p.Authenticator() = own
		assert.Equal(t, radius.MessageAuthenticatorValid, radius.NewHasher([]byte("secret")).VerifyMessageAuthenticator(p, &request), code)
	}
}

// SignRequest leaves a random authenticator alone.
func TestSignRequest(t *testing.T) {
	h := radius.NewHasher([]byte("secret"))
	for _, code := range []radius.Code{radius.AccessRequest, radius.StatusServer} {
		p := packet(t, code, [16]byte{5})
		h.SignRequest(p)
		assert.Equal(t, [16]byte{5}, *p.Authenticator())
	}
	for _, code := range []radius.Code{radius.AccountingRequest, radius.CoARequest, radius.DisconnectRequest} {
		p := packet(t, code, [16]byte{})
		assert.False(t, h.VerifyRequestAuthenticator(p), "all zeros is no authenticator (RFC 5080 section 2.3.3)")
		h.SignRequest(p)
		assert.True(t, h.VerifyRequestAuthenticator(p))
		p[4]++
		assert.False(t, h.VerifyRequestAuthenticator(p))
	}
}

// layeh.com/radius verifies what we sign, and we what it signs.
func TestAuthenticatorsAgainstLayeh(t *testing.T) {
	secrets := []string{"", "s", "testing123", string(bytes.Repeat([]byte("k"), 63)), string(bytes.Repeat([]byte("k"), 64)), string(bytes.Repeat([]byte("longer than a block "), 10))}
	for _, secret := range secrets {
		h := radius.NewHasher([]byte(secret))

		ours := packet(t, radius.AccessRequest, [16]byte{3, 1, 4}, radius.AppendMessageAuthenticator(nil), radius.AppendString(nil, radius.TypeUserName, "alice"))
		h.SignMessageAuthenticator(ours, 20, nil)
		if secret != "" { // layeh.com/radius cannot sign with an empty secret
			p := layeh.New(layeh.CodeAccessRequest, []byte(secret))
			require.NoError(t, rfc2865.UserName_SetString(p, "bob"))
			require.NoError(t, rfc2869.MessageAuthenticator_Set(p, make([]byte, 16)))
			wire, err := p.Encode()
			require.NoError(t, err)
			mac := hmac.New(md5.New, []byte(secret))
			mac.Write(wire)
			require.NoError(t, rfc2869.MessageAuthenticator_Set(p, mac.Sum(nil)))
			wire, err = p.Encode()
			require.NoError(t, err)
			parsed, discard := radius.Parse(wire)
			require.Zero(t, discard)
			assert.Equal(t, radius.MessageAuthenticatorValid, h.VerifyMessageAuthenticator(parsed, nil))

			response := packet(t, radius.AccessAccept, [16]byte{}, radius.AppendMessageAuthenticator(nil), radius.AppendString(nil, radius.TypeReplyMessage, "hello"))
			h.SignMessageAuthenticator(response, 20, ours.Authenticator())
			h.SignResponse(response, ours.Authenticator())
			assert.True(t, layeh.IsAuthenticResponse(response, ours, []byte(secret)))

			q, err := layeh.Parse(ours, []byte(secret))
			require.NoError(t, err)
			wire, err = q.Response(layeh.CodeAccessReject).Encode()
			require.NoError(t, err)
			parsed, discard = radius.Parse(wire)
			require.Zero(t, discard)
			assert.True(t, h.VerifyResponse(parsed, ours.Authenticator()))

			for _, code := range []radius.Code{radius.AccountingRequest, radius.CoARequest, radius.DisconnectRequest} {
				request := packet(t, code, [16]byte{}, radius.AppendString(nil, radius.TypeAcctSessionID, "1"))
				h.SignRequest(request)
				assert.True(t, layeh.IsAuthenticRequest(request, []byte(secret)), code)
				p := layeh.New(layeh.Code(code), []byte(secret))
				require.NoError(t, rfc2865.UserName_SetString(p, "bob"))
				wire, err := p.Encode()
				require.NoError(t, err)
				parsed, discard := radius.Parse(wire)
				require.Zero(t, discard)
				assert.True(t, h.VerifyRequestAuthenticator(parsed), code)
			}
		}
	}
}

func TestAuthenticatorsDoNotAllocate(t *testing.T) {
	h := radius.NewHasher([]byte("testing123"))
	request := packet(t, radius.AccountingRequest, [16]byte{}, radius.AppendString(nil, radius.TypeUserName, "alice"), radius.AppendMessageAuthenticator(nil))
	response := packet(t, radius.AccessAccept, [16]byte{}, radius.AppendMessageAuthenticator(nil), make([]byte, 0))
	at := offset(request, radius.TypeMessageAuthenticator)
	ok := true
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		h.SignMessageAuthenticator(request, at, nil)
		h.SignRequest(request)
		ok = ok && h.VerifyRequestAuthenticator(request)
		ok = ok && h.VerifyMessageAuthenticator(request, nil) == radius.MessageAuthenticatorValid
		h.SignMessageAuthenticator(response, 20, request.Authenticator())
		h.SignResponse(response, request.Authenticator())
		ok = ok && h.VerifyResponse(response, request.Authenticator())
		ok = ok && h.VerifyMessageAuthenticator(response, request.Authenticator()) == radius.MessageAuthenticatorValid
	}))
	assert.True(t, ok)
}
