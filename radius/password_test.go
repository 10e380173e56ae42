package radius_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"radiusd/dictionary"
	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"
)

var requestAuthenticator = [16]byte{0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a}

// Passwords of every length, against layeh.com/radius.
func TestUserPassword(t *testing.T) {
	secret := []byte("xyzzy5461")
	h := radius.NewHasher(secret)
	for n := range 129 {
		plain := bytes.Repeat([]byte{'p'}, n)
		ours, err := h.AppendEncryptedUserPassword([]byte("before"), plain, &requestAuthenticator)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(ours, []byte("before")))
		ours = ours[6:]
		theirs, err := layeh.NewUserPassword(plain, secret, requestAuthenticator[:])
		require.NoError(t, err)
		require.Equal(t, []byte(theirs), ours, "%d octets", n)

		again, ok := h.AppendUserPassword([]byte("before"), ours, &requestAuthenticator)
		require.True(t, ok)
		require.Equal(t, "before"+string(plain), string(again))
	}
	dst, err := h.AppendEncryptedUserPassword([]byte("before"), make([]byte, 129), &requestAuthenticator)
	assert.ErrorContains(t, err, "129 octets")
	assert.Equal(t, "before", string(dst))

	inner := []byte("a\x00b")
	encrypted, err := h.AppendEncryptedUserPassword(nil, inner, &requestAuthenticator)
	require.NoError(t, err)
	plain, ok := h.AppendUserPassword(nil, encrypted, &requestAuthenticator)
	assert.True(t, ok)
	assert.Equal(t, inner, plain, "only padding is cut")
}

func TestUserPasswordOfWrongLength(t *testing.T) {
	h := radius.NewHasher([]byte("xyzzy5461"))
	for n := range 254 {
		plain, ok := h.AppendUserPassword([]byte("before"), make([]byte, n), &requestAuthenticator)
		assert.Equal(t, n >= 16 && n <= 128 && n%16 == 0, ok, n)
		if !ok {
			assert.Equal(t, "before", string(plain))
		}
	}
}

// Values of every length: 249 octets fit, 250 do not, and layeh.com/radius agrees
// where the padding fits.
func TestSalted(t *testing.T) {
	secret := []byte("xyzzy5461")
	h := radius.NewHasher(secret)
	for n := range 250 {
		plain := bytes.Repeat([]byte{'t'}, n)
		ours, err := h.AppendSalted([]byte("before"), plain, &requestAuthenticator, 0x1234)
		require.NoError(t, err, n)
		require.True(t, bytes.HasPrefix(ours, []byte("before\x92\x34")), "the salt's highest bit is set")
		ours = ours[6:]
		require.LessOrEqual(t, len(ours), radius.MaxValueLength-1, "salt and value fit beside a tag")
		if n <= 239 {
			theirs, err := layeh.NewTunnelPassword(plain, []byte{0x92, 0x34}, secret, requestAuthenticator[:])
			require.NoError(t, err)
			require.Equal(t, []byte(theirs), ours, "%d octets", n)
			password, salt, err := layeh.TunnelPassword(ours, secret, requestAuthenticator[:])
			require.NoError(t, err)
			require.Equal(t, plain, append([]byte{}, password...))
			require.Equal(t, []byte{0x92, 0x34}, salt)
		}
		again, ok := h.AppendUnsalted([]byte("before"), ours, &requestAuthenticator)
		require.True(t, ok)
		require.Equal(t, "before"+string(plain), string(again))
	}
	dst, err := h.AppendSalted([]byte("before"), make([]byte, 250), &requestAuthenticator, 1)
	assert.ErrorContains(t, err, "250 octets")
	assert.Equal(t, "before", string(dst))
}

func TestUnsaltedRefuses(t *testing.T) {
	h := radius.NewHasher([]byte("xyzzy5461"))
	for n := range 3 {
		dst, ok := h.AppendUnsalted([]byte("before"), make([]byte, n), &requestAuthenticator)
		assert.False(t, ok)
		assert.Equal(t, "before", string(dst))
	}
	_, ok := h.AppendUnsalted(nil, make([]byte, 254), &requestAuthenticator)
	assert.False(t, ok)

	salted, err := h.AppendSalted(nil, []byte("secret"), &requestAuthenticator, 1)
	require.NoError(t, err)
	for length := range 256 { // every Data-Length
		forged := bytes.Clone(salted)
		forged[2] ^= byte(6 ^ length)
		dst, ok := h.AppendUnsalted([]byte("before"), forged, &requestAuthenticator)
		assert.Equal(t, length <= 15, ok)
		if ok {
			assert.Len(t, dst, 6+length)
		} else {
			assert.Equal(t, "before", string(dst))
		}
	}
}

func TestAscendSecret(t *testing.T) {
	h := radius.NewHasher([]byte("xyzzy5461"))
	for n := range 17 {
		plain := bytes.Repeat([]byte{'a'}, n)
		hidden, err := h.AppendAscendSecret([]byte("before"), plain, &requestAuthenticator)
		require.NoError(t, err)
		require.Len(t, hidden, 22)
		again, ok := h.AppendPlainAscendSecret([]byte("before"), hidden[6:], &requestAuthenticator)
		require.True(t, ok)
		require.Equal(t, "before"+string(plain), string(again))
	}
	_, err := h.AppendAscendSecret(nil, make([]byte, 17), &requestAuthenticator)
	assert.ErrorContains(t, err, "17 octets")
	_, ok := h.AppendPlainAscendSecret(nil, make([]byte, 15), &requestAuthenticator)
	assert.False(t, ok)
}

func TestCHAP(t *testing.T) {
	for name, lengths := range map[string][2]int{"usual": {8, 16}, "empty": {0, 0}, "long": {200, 253}, "longer than an attribute": {600, 253}} {
		t.Run(name, func(t *testing.T) {
			password, challenge := bytes.Repeat([]byte("p"), lengths[0]), bytes.Repeat([]byte{7}, lengths[1])
			value := radius.CHAPPassword(9, password, challenge)
			assert.Equal(t, byte(9), value[0])
			assert.True(t, radius.VerifyCHAP(value[:], password, challenge))
			assert.False(t, radius.VerifyCHAP(value[:], append(password, 'x'), challenge))
			assert.False(t, radius.VerifyCHAP(value[:], password, append(challenge, 'x')))
			assert.False(t, radius.VerifyCHAP(value[:16], password, challenge))
			assert.False(t, radius.VerifyCHAP(nil, password, challenge))
			value[0]++
			assert.False(t, radius.VerifyCHAP(value[:], password, challenge))
		})
	}
}

// Salts are unique in a packet and have the highest bit set (RFC 2868 section 3.5).
func TestCipherSalts(t *testing.T) {
	c := radius.NewCipher([]byte("xyzzy5461"), &requestAuthenticator)
	seen := make(map[[2]byte]bool)
	for range 1 << 15 {
		salted, err := c.AppendSalted(nil, []byte("key"))
		require.NoError(t, err)
		require.NotZero(t, salted[0]&0x80)
		salt := [2]byte(salted)
		require.False(t, seen[salt])
		seen[salt] = true
	}
}

// A value that is encrypted comes back, and what cannot be is an error.
func TestCipher(t *testing.T) {
	c := radius.NewCipher([]byte("xyzzy5461"), &requestAuthenticator)
	for e, longest := range map[dictionary.Encryption]int{
		dictionary.EncryptNone: 253, dictionary.EncryptUser: 128, dictionary.EncryptTunnel: 249, dictionary.EncryptAscend: 16,
	} {
		value := bytes.Repeat([]byte("v"), longest)
		encrypted, err := c.Encrypt([]byte("before"), e, value)
		require.NoError(t, err)
		plain, err := c.Decrypt([]byte("before"), e, encrypted[6:])
		require.NoError(t, err)
		assert.Equal(t, "before"+string(value), string(plain))
		assert.Equal(t, e == dictionary.EncryptNone, bytes.Equal(encrypted[6:], value))
		if e != dictionary.EncryptNone {
			_, err = c.Encrypt(nil, e, append(value, 'v'))
			assert.Error(t, err)
			plain, err = c.Decrypt([]byte("before"), e, []byte("x"))
			assert.ErrorContains(t, err, "1 octets")
			assert.Equal(t, "before", string(plain))
		}
	}
}

func TestPasswordsDoNotAllocate(t *testing.T) {
	h := radius.NewHasher([]byte("testing123"))
	buffer, clear := make([]byte, 0, 256), make([]byte, 0, 256)
	plain, challenge := bytes.Repeat([]byte{'p'}, 40), make([]byte, 16)
	value := radius.CHAPPassword(1, plain, challenge)
	ok := true
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		c := h.Cipher(&requestAuthenticator)
		encrypted, _ := h.AppendEncryptedUserPassword(buffer, plain, &requestAuthenticator)
		got, good := h.AppendUserPassword(clear, encrypted, &requestAuthenticator)
		ok = ok && good && bytes.Equal(got, plain)
		encrypted, _ = c.AppendSalted(buffer, plain)
		got, good = h.AppendUnsalted(clear, encrypted, &requestAuthenticator)
		ok = ok && good && bytes.Equal(got, plain)
		ok = ok && radius.VerifyCHAP(value[:], plain, challenge)
	}))
	assert.True(t, ok)
}

// A Hasher's calls do not leave anything behind that changes the next one's result.
func TestHasherCallsAreIndependent(t *testing.T) {
	secret := []byte("testing123")
	shared := radius.NewHasher(secret)
	random := rand.New(rand.NewPCG(1, 2))
	p := packet(t, radius.AccountingRequest, [16]byte{}, radius.AppendMessageAuthenticator(nil))
	for range 1000 {
		call := random.IntN(5)
		run := func(h *radius.Hasher) []byte {
			q := bytes.Clone(p)
			switch call {
			case 0:
				h.SignRequest(q)
			case 1:
				h.SignMessageAuthenticator(q, 20, nil)
			case 2:
				q, _ = h.AppendEncryptedUserPassword(q, []byte("hello"), &requestAuthenticator)
			case 3:
				q, _ = h.AppendSalted(q, []byte("a value of more than sixteen octets"), &requestAuthenticator, 5)
			case 4:
				h.SignResponse(q, &requestAuthenticator)
			}
			return q
		}
		require.Equal(t, run(radius.NewHasher(secret)), run(shared), call)
	}
}
