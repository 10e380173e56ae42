package aaa

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"

	"radiusd/dictionary"
	"radiusd/radius"
	"radiusd/radius/mschap"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// The vectors of RFC 2759 §9.2, which RFC 3079 §3.5 goes on with.
const (
	rfc2759Username   = "User"
	rfc2759Password   = "clientPass"
	rfc2759Challenge  = "5B5D7C7D7B3F2F3E3C2C602132262628"
	rfc2759Peer       = "21402324255E262A28295F2B3A337C7E"
	rfc2759NTResponse = "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"
	rfc2759Success    = "S=407A5589115FD0D6209F510FE9C04566932CDA56"
	rfc3079SendKey    = "8B7CDC149B993A1BA118CB153F56DCCB"
	rfc2759Hash       = "44EBBA8D5312B8D611474411F56989AE"
	rfc2759HashHash   = "41C00C584BD2D91C4017A2A12FA59F3F"
	rfc3079MasterKey  = "FDECE3717A8C838CB388E527AE3CDD31"
	rfc2759ResponseID = 0x2a
	rfc2433Challenge  = "102DB5DF085D3041"
	rfc2433Password   = "MyPw"
	rfc2433NTHash     = "FC156AF7EDCD6C0EDDE3337D427F4EAC"
	rfc2433NTResponse = "4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61"
	rfc2433ResponseID = 7
)

// ntHash is the hash of a password, as a user's secret.
func ntHash(password []byte) []byte {
	hash := mschap.HashPassword(password)
	return hash[:]
}

func v2Response(t testing.TB, ntResponse string) []byte {
	b := append([]byte{rfc2759ResponseID, 0}, unhex(t, rfc2759Peer)...)
	b = append(b, make([]byte, 8)...)
	return append(b, unhex(t, ntResponse)...)
}

func TestMSCHAPv2Vectors(t *testing.T) {
	hash := mschap.HashPassword(rfc2759Password)
	for _, username := range []string{rfc2759Username, `DOMAIN\` + rfc2759Username} {
		m := msCHAP{challenge: unhex(t, rfc2759Challenge), response: v2Response(t, rfc2759NTResponse)}
		require.True(t, m.verifyMSCHAPv2(&hash, []byte(username)))
		require.Equal(t, hash, m.hash)
		hashHash := hash.Hash()
		success := mschap.AuthenticatorResponse(&hashHash, m.ntResponse(), m.hashed)
		require.Equal(t, rfc2759Success, string(success[:]))
	}
	m := msCHAP{challenge: unhex(t, rfc2759Challenge), response: v2Response(t, rfc2759NTResponse)}
	require.False(t, m.verifyMSCHAPv2(&hash, []byte("user")), "the name is compared in its case")
	another := mschap.HashPassword("clientpass")
	require.False(t, m.verifyMSCHAPv2(&another, []byte(rfc2759Username)))
}

func TestMSCHAPv2WithTheDomainInTheHash(t *testing.T) {
	hash := mschap.HashPassword("secret")
	name := []byte(`CORP\alice`)
	challenge, peer := make([]byte, 16), []byte("0123456789abcdef")
	response := append(append([]byte{1, 0}, peer...), make([]byte, 8)...)
	response = append(response, rfc2759.ChallengeResponse(rfc2759.ChallengeHash(peer, challenge, name), hash[:])...)
	m := msCHAP{challenge: challenge, response: response}
	require.True(t, m.verifyMSCHAPv2(&hash, name))
	require.Equal(t, rfc2759.ChallengeHash(peer, challenge, name), m.hashed[:], "the success has the form of the name that was right")
}

// The example of RFC 2433 Appendix B.
func TestMSCHAPVectors(t *testing.T) {
	hash := mschap.HashPassword(rfc2433Password)
	response := append([]byte{rfc2433ResponseID, 1}, make([]byte, 24)...)
	response = append(response, unhex(t, rfc2433NTResponse)...)
	m := msCHAP{challenge: unhex(t, rfc2433Challenge), response: response}
	require.True(t, m.verifyMSCHAP(&hash))
	another := mschap.HashPassword("mypw")
	require.False(t, m.verifyMSCHAP(&another))
}

// The CHAP request of RFC 2865 §7.2, whose challenge is the Request Authenticator.
func TestCHAPVector(t *testing.T) {
	request := unhex(t, "01 01 00 47 2a ee 86 f0 8d 0d 55 96 9c a5 97 8e 0d 33 67 a2 01 08 66 6c 6f 70 73 79 03 13 16 e9 75 57 c3 16 18 58 95 f2 93 ff 63 44 07 72 75 04 06 c0 a8 01 10 05 06 00 00 00 14 06 06 00 00 00 02 07 06 00 00 00 01")
	packet, discard := radius.Parse(request)
	require.Zero(t, discard)
	response, ok := packet.Attributes().Get(radius.TypeCHAPPassword)
	require.True(t, ok)
	require.True(t, radius.VerifyCHAP(response, []byte("arctangent"), packet.CHAPChallenge()))
	require.False(t, radius.VerifyCHAP(response, []byte("arctangenT"), packet.CHAPChallenge()))
}

// askMSCHAPv2 sends the response to a challenge, as a NAS does for a peer.
func (w *world) askMSCHAPv2(username, hashedName, password string) (answer, *radius.Message, *msCHAPPeer) {
	w.t.Helper()
	peer, challenge := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	response := append(append([]byte{9, 0}, peer...), make([]byte, 8)...)
	hash := ntHash([]byte(password))
	response = append(response, rfc2759.ChallengeResponse(rfc2759.ChallengeHash(peer, challenge, []byte(hashedName)), hash)...)
	var sent *radius.Message
	a := w.ask(func(m *radius.Message) {
		m.AddString(radius.TypeUserName, username)
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, challenge)
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Response, response)
		sent = m
	})
	return a, sent, &msCHAPPeer{challenge: challenge, peer: peer, response: response[26:], name: hashedName, password: password}
}

// msCHAPPeer is what a peer expects of the answer, by a library that is not ours.
type msCHAPPeer struct {
	challenge, peer, response []byte
	name, password            string
}

func (p *msCHAPPeer) success(t testing.TB) string {
	text, err := rfc2759.GenerateAuthenticatorResponse(p.challenge, p.peer, p.response, []byte(p.name), []byte(p.password))
	require.NoError(t, err)
	return text
}

func (p *msCHAPPeer) keys(t testing.TB) (send, receive []byte) {
	send, err := rfc3079.MakeKey(p.response, []byte(p.password), true)
	require.NoError(t, err)
	receive, err = rfc3079.MakeKey(p.response, []byte(p.password), false)
	require.NoError(t, err)
	return send, receive
}

func TestMSCHAPv2(t *testing.T) {
	long := strings.Repeat("n", 253)
	tests := []struct {
		name, username, hashed, password string
		credential                       Credential
		want                             Reason
	}{
		{"cleartext", "alice", "alice", "wonderland", cleartext("wonderland"), ReasonAccepted},
		{"NT hash", "bob", "bob", "builder", Credential{SchemeNTHash, ntHash([]byte("builder"))}, ReasonAccepted},
		{"password outside ASCII", "bob", "bob", "Grüße€😀", cleartext("Grüße€😀"), ReasonAccepted},
		{"name outside ASCII", "jürgen", "jürgen", "x", cleartext("x"), ReasonAccepted},
		{"domain before the name", `CORP\alice`, "alice", "x", cleartext("x"), ReasonAccepted},
		{"the longest name", long, long, "x", cleartext("x"), ReasonAccepted},
		{"wrong password", "alice", "alice", "looking-glass", cleartext("wonderland"), ReasonWrongPassword},
		{"another hash", "alice", "alice", "x", Credential{SchemeHash, []byte("{SHA}" + "IRRiKFbd1hKBvf0UBjqRKgIBQGY=")}, ReasonMethodUnavailable},
		{"no password", "alice", "alice", "x", Credential{}, ReasonNoCredential},
		{"empty password stored", "alice", "alice", "", Credential{Scheme: SchemeCleartext}, ReasonWrongPassword},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.addUser(User{Name: test.username, Credential: test.credential})
			a, m, peer := w.askMSCHAPv2(test.username, test.hashed, test.password)
			method, reason := w.counted()
			require.Equal(t, test.want, reason)
			require.Equal(t, MethodMSCHAPv2, method)
			attributes := a.packet.Attributes()
			if test.want != ReasonAccepted {
				a.rejected()
				failure, ok := attributes.Vendor(radius.VendorMicrosoft, radius.MSCHAPError)
				require.True(t, ok)
				require.Equal(t, byte(9), failure[0])
				require.Regexp(t, `^E=691 R=0 C=[0-9A-F]{32} V=3$`, string(failure[1:]))
				return
			}
			a.accepted()
			success, ok := attributes.Vendor(radius.VendorMicrosoft, radius.MSCHAP2Success)
			require.True(t, ok)
			require.Equal(t, byte(9), success[0])
			require.Equal(t, peer.success(t), string(success[1:]))

			cipher := radius.NewCipher([]byte(testSecret), m.RequestAuthenticator())
			send, recv := peer.keys(t)
			for key, want := range map[uint8][]byte{radius.MSMPPESendKey: send, radius.MSMPPERecvKey: recv} {
				hidden, ok := attributes.Vendor(radius.VendorMicrosoft, key)
				require.True(t, ok)
				plain, err := cipher.Decrypt(nil, dictionary.EncryptTunnel, hidden)
				require.NoError(t, err)
				require.Equal(t, want, plain)
			}
			types, ok := attributes.Vendor(radius.VendorMicrosoft, radius.MSMPPEEncryptTypes)
			require.True(t, ok)
			require.EqualValues(t, 6, binary.BigEndian.Uint32(types))
		})
	}
}

func TestItemsSetTheMPPEPolicy(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: cleartext("x"), Items: []Item{replyItem("MS-MPPE-Encryption-Policy", ":=", "Encryption-Required")}})
	a, _, _ := w.askMSCHAPv2("alice", "alice", "x")
	count := 0
	for t, value := range a.accepted().packet.Attributes().AllVendor(radius.VendorMicrosoft) {
		if t == radius.MSMPPEEncryptPolicy {
			count++
			require.EqualValues(w.t, 2, binary.BigEndian.Uint32(value))
		}
	}
	require.Equal(t, 1, count)
}

func TestMSCHAPMalformed(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: cleartext("x")})
	vendor := func(t uint8, n int) func(m *radius.Message) {
		return func(m *radius.Message) { m.AddVendor(radius.VendorMicrosoft, t, make([]byte, n)) }
	}
	for name, add := range map[string][]func(m *radius.Message){
		"no challenge":               {vendor(radius.MSCHAP2Response, 50)},
		"challenge of wrong length":  {vendor(radius.MSCHAPChallenge, 8), vendor(radius.MSCHAP2Response, 50)},
		"response of wrong length":   {vendor(radius.MSCHAPChallenge, 16), vendor(radius.MSCHAP2Response, 49)},
		"empty response":             {vendor(radius.MSCHAPChallenge, 16), vendor(radius.MSCHAP2Response, 0)},
		"MS-CHAP with 16 octets":     {vendor(radius.MSCHAPChallenge, 16), vendor(radius.MSCHAPResponse, 50)},
		"both versions":              {vendor(radius.MSCHAPChallenge, 16), vendor(radius.MSCHAPResponse, 50), vendor(radius.MSCHAP2Response, 50)},
		"MS-CHAP and a CHAP request": {vendor(radius.MSCHAPChallenge, 16), vendor(radius.MSCHAP2Response, 50), func(m *radius.Message) { m.Add(radius.TypeCHAPPassword, make([]byte, 17)) }},
	} {
		t.Run(name, func(t *testing.T) {
			w.ask(func(m *radius.Message) {
				m.AddString(radius.TypeUserName, "alice")
				for _, f := range add {
					f(m)
				}
			}).rejected()
			require.Equal(t, ReasonMalformedRequest, w.reason())
		})
	}
}

// What a packet costs does not grow with the square of its attributes.
func TestProofOfManyVendorAttributes(t *testing.T) {
	empty := binary.BigEndian.AppendUint32(nil, radius.VendorMicrosoft)
	for range 6 {
		empty = append(empty, 200, 2)
	}
	proof := func(n int) time.Duration {
		var attributes []byte
		for range n {
			attributes = radius.AppendAttribute(attributes, radius.TypeVendorSpecific, empty)
		}
		fastest := time.Hour
		for range 50 {
			began := time.Now()
			for range 20 {
				x := exchange{attributes: attributes}
				x.read()
			}
			fastest = min(fastest, time.Since(began))
		}
		return fastest
	}
	require.Less(t, proof(195), 60*proof(10), "20 times as many attributes")
}

func TestMSCHAPMPPEKeys(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: cleartext(rfc2433Password)})
	response := append([]byte{rfc2433ResponseID, 1}, make([]byte, 24)...)
	response = append(response, unhex(t, rfc2433NTResponse)...)
	var m *radius.Message
	a := w.ask(func(message *radius.Message) {
		m = message
		m.AddString(radius.TypeUserName, "alice")
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, unhex(t, rfc2433Challenge))
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPResponse, response)
	}).accepted()
	hidden, ok := a.packet.Attributes().Vendor(radius.VendorMicrosoft, radius.MSCHAPMPPEKeys)
	require.True(t, ok)
	require.Len(t, hidden, 32)
	plain, ok := radius.NewHasher([]byte(testSecret)).AppendUserPassword(nil, hidden, m.RequestAuthenticator())
	require.True(t, ok)
	require.Equal(t, make([]byte, 8), plain[:8], "no LM key")
	require.Equal(t, rfc2759.NTPasswordHash(unhex(t, rfc2433NTHash)), plain[8:24])

	response[1] = 0 // LM only
	w.reason()
	w.ask(func(m *radius.Message) {
		m.AddString(radius.TypeUserName, "alice")
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, unhex(t, rfc2433Challenge))
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPResponse, response)
	}).rejected()
	require.Equal(t, ReasonMethodUnavailable, w.reason())
}
