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

// AppendPlainUserPassword appends the password that a User-Password holds; see
// [Hasher.AppendUserPassword].
func (c *Cipher) AppendPlainUserPassword(dst, encrypted []byte) ([]byte, bool) {
	return c.hasher.AppendUserPassword(dst, encrypted, &c.authenticator)
}

// AppendSalted appends a salt of its own and the encrypted value; see
// [Hasher.AppendSalted].
func (c *Cipher) AppendSalted(dst, plain []byte) ([]byte, error) {
	c.salt++
	return c.hasher.AppendSalted(dst, plain, &c.authenticator, c.salt)
}

// AppendUnsalted appends the value that was encrypted with a salt; see
// [Hasher.AppendUnsalted].
func (c *Cipher) AppendUnsalted(dst, salted []byte) ([]byte, bool) {
	return c.hasher.AppendUnsalted(dst, salted, &c.authenticator)
}

// AppendAscendSecret appends the value of an Ascend-Send-Secret; see
// [Hasher.AppendAscendSecret].
func (c *Cipher) AppendAscendSecret(dst, plain []byte) ([]byte, error) {
	return c.hasher.AppendAscendSecret(dst, plain, &c.authenticator)
}

// AppendPlainAscendSecret appends the secret that an Ascend-Send-Secret holds; see
// [Hasher.AppendPlainAscendSecret].
func (c *Cipher) AppendPlainAscendSecret(dst, hidden []byte) ([]byte, bool) {
	return c.hasher.AppendPlainAscendSecret(dst, hidden, &c.authenticator)
}
