package radius

import (
	"fmt"
	"math/rand/v2"

	"radiusd/dictionary"
)

var _ dictionary.Cipher = (*Cipher)(nil)

// Cipher encrypts and decrypts the attributes of one packet that are hidden under
// the shared secret; it is the [dictionary.Cipher] for that packet. The
// salts that it gives are unique within the packet and have the highest bit set
// (RFC 2868 section 3.5). It is not safe for concurrent use.
type Cipher struct {
	hasher        *Hasher
	authenticator [AuthenticatorLength]byte
	salt          uint16
}

// NewCipher returns a Cipher for a request, or for the response to it, with the
// request's authenticator. The secret is copied.
func NewCipher(secret []byte, requestAuthenticator *[AuthenticatorLength]byte) *Cipher {
	c := NewHasher(secret).Cipher(requestAuthenticator)
	return &c
}

// Cipher returns a [Cipher] that uses h, for those who have one for the secret. It
// copies the authenticator.
func (h *Hasher) Cipher(requestAuthenticator *[AuthenticatorLength]byte) Cipher {
	// The salt need not be a secret, only differ: it starts anywhere and counts.
	return Cipher{hasher: h, authenticator: *requestAuthenticator, salt: uint16(rand.Uint32())}
}

// AppendSalted appends a salt that the packet does not have yet and the value
// encrypted with it; see [Hasher.AppendSalted].
func (c *Cipher) AppendSalted(dst, plain []byte) ([]byte, error) {
	c.salt++
	return c.hasher.AppendSalted(dst, plain, &c.authenticator, c.salt)
}

// Encrypt appends the encrypted form of a value, with a salt if the encryption has
// one. A value that is too long for the encryption is an error.
func (c *Cipher) Encrypt(dst []byte, e dictionary.Encryption, plain []byte) ([]byte, error) {
	switch e {
	case dictionary.EncryptUser:
		return c.hasher.AppendEncryptedUserPassword(dst, plain, &c.authenticator)
	case dictionary.EncryptTunnel:
		return c.AppendSalted(dst, plain)
	case dictionary.EncryptAscend:
		return c.hasher.AppendAscendSecret(dst, plain, &c.authenticator)
	}
	return append(dst, plain...), nil
}

// Decrypt appends the plain form of an encrypted value. A value whose lengths do not
// fit the encryption is an error; under a wrong secret it may come as garbage.
func (c *Cipher) Decrypt(dst []byte, e dictionary.Encryption, encrypted []byte) ([]byte, error) {
	ok := true
	switch e {
	case dictionary.EncryptUser:
		dst, ok = c.hasher.AppendUserPassword(dst, encrypted, &c.authenticator)
	case dictionary.EncryptTunnel:
		dst, ok = c.hasher.AppendUnsalted(dst, encrypted, &c.authenticator)
	case dictionary.EncryptAscend:
		dst, ok = c.hasher.AppendPlainAscendSecret(dst, encrypted, &c.authenticator)
	default:
		dst = append(dst, encrypted...)
	}
	if !ok {
		return dst, fmt.Errorf("radius: encrypted value of %d octets does not decrypt", len(encrypted))
	}
	return dst, nil
}
