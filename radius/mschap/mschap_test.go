package mschap

import (
	"bytes"
	"crypto/des"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// The vectors of RFC 2759 §9.2, which RFC 3079 §3.5 goes on with.
func TestVectors(t *testing.T) {
	authenticator, peer := [16]byte(unhex(t, "5B5D7C7D7B3F2F3E3C2C602132262628")), [16]byte(unhex(t, "21402324255E262A28295F2B3A337C7E"))
	hash := HashPassword("clientPass")
	require.Equal(t, unhex(t, "44EBBA8D5312B8D611474411F56989AE"), hash[:])
	require.Equal(t, hash, HashPassword([]byte("clientPass")))
	hashed := hash.Hash()
	require.Equal(t, unhex(t, "41C00C584BD2D91C4017A2A12FA59F3F"), hashed[:])
	challenge := ChallengeHash(&peer, &authenticator, []byte("User"))
	require.Equal(t, unhex(t, "D02E4386BCE91226"), challenge[:])
	response := hash.Respond(challenge)
	require.Equal(t, unhex(t, "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"), response[:])
	text := AuthenticatorResponse(&hashed, &response, challenge)
	require.Equal(t, "S=407A5589115FD0D6209F510FE9C04566932CDA56", string(text[:]))
	master := MasterKey(&hashed, &response)
	require.Equal(t, unhex(t, "FDECE3717A8C838CB388E527AE3CDD31"), master[:])
	send, _ := SessionKeys(master)
	require.Equal(t, unhex(t, "8B7CDC149B993A1BA118CB153F56DCCB"), send[:])
}

// The example of RFC 2433 appendix B.
func TestVectorsOfVersion1(t *testing.T) {
	hash := HashPassword("MyPw")
	require.Equal(t, unhex(t, "FC156AF7EDCD6C0EDDE3337D427F4EAC"), hash[:])
	response := hash.Respond([8]byte(unhex(t, "102DB5DF085D3041")))
	require.Equal(t, unhex(t, "4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61"), response[:])
}

// Passwords of every length about the edges of a block, against golang.org/x/crypto.
func TestPasswords(t *testing.T) {
	for n := range 140 {
		password := strings.Repeat("p", n)
		requireHash(t, []byte(password))
		requireHash(t, []byte("ü€😀"+password))
	}
	for _, password := range []string{"\xff", "\xff\xfe", "a\xff\xfeb", "\xc3", "\xc3\xc3\xa4", "\xe2\x82", "\xed\xa0\x80", "\xf0\x9f\x98", "\ufffd\xff\ufffd", "\xff\ufffd\xff", "\x00"} {
		requireHash(t, []byte(password))
	}
}

// requireHash compares with the library, which wants UTF-8.
func requireHash(t *testing.T, password []byte) {
	t.Helper()
	encoded, err := rfc2759.ToUTF16(bytes.ToValidUTF8(password, []byte("\uFFFD")))
	require.NoError(t, err)
	hash := HashPassword(password)
	require.Equal(t, rfc2759.NTPasswordHash(encoded), hash[:], "%q", password)
}

// FuzzDES compares with crypto/des.
func FuzzDES(f *testing.F) {
	f.Add([]byte("8 octets and three keys of 7."))
	f.Add(make([]byte, 29))
	f.Add(bytes.Repeat([]byte{0xff}, 29))
	for i := range 29 * 8 {
		one := make([]byte, 29)
		one[i/8] = 1 << (i % 8)
		f.Add(one)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 29 {
			return
		}
		block, keys := [8]byte(data), [3][7]byte{[7]byte(data[8:]), [7]byte(data[15:]), [7]byte(data[22:])}
		got := encryptDES(block, &keys)
		for i, key := range keys {
			var packed uint64
			for _, octet := range key {
				packed = packed<<8 | uint64(octet)
			}
			var padded [8]byte
			for i := range padded {
				padded[i] = byte(packed>>(49-7*i)) << 1
			}
			cipher, err := des.NewCipher(padded[:])
			require.NoError(t, err)
			want := make([]byte, 8)
			cipher.Encrypt(want, block[:])
			require.Equal(t, want, got[8*i:8*i+8])
		}
	})
}

// FuzzMSCHAP compares everything with layeh.com/radius.
func FuzzMSCHAP(f *testing.F) {
	f.Add([]byte("password"), []byte("name"), []byte("0123456789abcdefghijklmnopqrstuv"))
	f.Add(bytes.Repeat([]byte{0xc3, 0xa4}, 64), bytes.Repeat([]byte("n"), 253), make([]byte, 32))
	f.Fuzz(func(t *testing.T, password, name, challenges []byte) {
		if len(challenges) < 32 {
			return
		}
		requireHash(t, password)
		peer, authenticator := [16]byte(challenges), [16]byte(challenges[16:])
		hash := HashPassword(password)
		challenge := ChallengeHash(&peer, &authenticator, name)
		require.Equal(t, rfc2759.ChallengeHash(peer[:], authenticator[:], name), challenge[:])
		response := hash.Respond(challenge)
		require.Equal(t, rfc2759.ChallengeResponse(challenge[:], hash[:]), response[:])
		hashed := hash.Hash()
		master := MasterKey(&hashed, &response)
		require.Equal(t, rfc2759.NTPasswordHash(hash[:]), hashed[:])
		require.Equal(t, rfc3079.GetMasterKey(hashed[:], response[:]), master[:])
		send, receive := SessionKeys(master)
		for key, isSend := range map[[KeyLength]byte]bool{send: true, receive: false} {
			want, err := rfc3079.GetAsymmetricStartKey(master[:], rfc3079.KeyLength128Bit, isSend)
			require.NoError(t, err)
			require.Equal(t, want, key[:])
		}
		if bytes.Equal(password, bytes.ToValidUTF8(password, []byte("\uFFFD"))) {
			want, err := rfc2759.GenerateAuthenticatorResponse(authenticator[:], peer[:], response[:], name, password)
			require.NoError(t, err)
			text := AuthenticatorResponse(&hashed, &response, challenge)
			require.Equal(t, want, string(text[:]))
		}
	})
}

func TestNothingAllocates(t *testing.T) {
	peer, authenticator, name := [16]byte{1}, [16]byte{2}, bytes.Repeat([]byte("n"), 253)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		hash := HashPassword("wonderland 😀")
		challenge := ChallengeHash(&peer, &authenticator, name)
		response := hash.Respond(challenge)
		hashed := hash.Hash()
		AuthenticatorResponse(&hashed, &response, challenge)
		SessionKeys(MasterKey(&hashed, &response))
	}))
}

func BenchmarkMSCHAPv2(b *testing.B) {
	peer, authenticator, name := [16]byte{1}, [16]byte{2}, []byte("alice@example.net")
	hash := HashPassword("wonderland")
	challenge := ChallengeHash(&peer, &authenticator, name)
	response := hash.Respond(challenge)
	hashed := hash.Hash()
	for _, bench := range []struct {
		name string
		f    func()
	}{
		{"HashPassword", func() { HashPassword("wonderland") }},
		{"ChallengeHash", func() { ChallengeHash(&peer, &authenticator, name) }},
		{"Respond", func() { hash.Respond(challenge) }},
		{"AuthenticatorResponse", func() { AuthenticatorResponse(&hashed, &response, challenge) }},
		{"SessionKeys", func() { SessionKeys(MasterKey(&hashed, &response)) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.f()
			}
		})
	}
}
