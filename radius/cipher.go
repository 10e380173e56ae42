package radius

import "math/rand/v2"

// Cipher encrypts and decrypts the attributes of one packet that are hidden under
// the shared secret; package dictionary calls it where an attribute says so. The
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

// AppendUserPassword appends the value of a User-Password; see
// [Hasher.AppendEncryptedUserPassword].
func (c *Cipher) AppendUserPassword(dst, plain []byte) ([]byte, error) {
	return c.hasher.AppendEncryptedUserPassword(dst, plain, &c.authenticator)
}

// AppendSalted appends salt and encrypted value with a salt of its own; see
// [Hasher.AppendSalted].
func (c *Cipher) AppendSalted(dst, plain []byte) ([]byte, error) {
	c.salt++
	return c.hasher.AppendSalted(dst, plain, &c.authenticator, c.salt)
}
