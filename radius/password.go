package radius

import (
	"crypto/md5"
	"crypto/subtle"
	"fmt"
)

const (
	// MaxPasswordLength is the greatest length of a User-Password (RFC 2865
	// section 5.2).
	MaxPasswordLength = 128
	// MaxSaltedLength is the greatest length of a value that is encrypted with a
	// salt: what an attribute leaves beside tag, salt and length (RFC 2868
	// section 3.5).
	MaxSaltedLength = MaxValueLength - 4

	saltLength = 2
)

// keystream leaves in h.sum the MD5 of the secret, the authenticator and the salt,
// which hides the first block.
func (h *Hasher) keystream(authenticator *[AuthenticatorLength]byte, salt []byte) {
	h.authenticator = *authenticator
	h.md5.Reset()
	h.md5.Write(h.secret)
	h.md5.Write(h.authenticator[:])
	if len(salt) > 0 {
		h.md5.Write(h.sum[:copy(h.sum[:], salt)])
	}
	h.md5.Sum(h.sum[:0])
}

// nextKeystream leaves in h.sum the MD5 of the secret and an encrypted block, which
// hides the next one. What is hashed is copied into h first, as in keystream, so
// that it does not have to escape to the heap where the caller has it.
func (h *Hasher) nextKeystream(encrypted []byte) {
	copy(h.sum[:], encrypted)
	h.md5.Reset()
	h.md5.Write(h.secret)
	h.md5.Write(h.sum[:])
	h.md5.Sum(h.sum[:0])
}

// decrypt appends the plain form of encrypted, where each block of 16 octets is
// XORed with its keystream. The last block may be short. dst and encrypted must not
// overlap.
func (h *Hasher) decrypt(dst, encrypted []byte, authenticator *[AuthenticatorLength]byte, salt []byte) []byte {
	h.keystream(authenticator, salt)
	for len(encrypted) > 0 {
		n := min(len(encrypted), md5.Size)
		at := len(dst)
		dst = append(dst, encrypted[:n]...)
		subtle.XORBytes(dst[at:], dst[at:], h.sum[:n])
		if len(encrypted) > n {
			h.nextKeystream(encrypted[:n])
		}
		encrypted = encrypted[n:]
	}
	return dst
}

// encrypt replaces plain by its encrypted form; see decrypt.
func (h *Hasher) encrypt(plain []byte, authenticator *[AuthenticatorLength]byte, salt []byte) {
	h.keystream(authenticator, salt)
	for len(plain) > 0 {
		n := min(len(plain), md5.Size)
		subtle.XORBytes(plain[:n], plain[:n], h.sum[:n])
		if len(plain) > n {
			h.nextKeystream(plain[:n])
		}
		plain = plain[n:]
	}
}

// AppendUserPassword appends the password that a User-Password holds, without its
// padding, to dst (RFC 2865 section 5.2). It reports false, and appends nothing, if
// the value is not of 16 to 128 octets in blocks of 16. A wrong secret gives
// garbage, not an error.
func (h *Hasher) AppendUserPassword(dst, encrypted []byte, authenticator *[AuthenticatorLength]byte) (plain []byte, ok bool) {
	if len(encrypted) == 0 || len(encrypted) > MaxPasswordLength || len(encrypted)%md5.Size != 0 {
		return dst, false
	}
	start := len(dst)
	dst = h.decrypt(dst, encrypted, authenticator, nil)
	return dst[:start+len(trimPadding(dst[start:]))], true
}

// appendPlain is AppendUserPassword for one block whose keystream is known.
func appendPlain(dst, encrypted []byte, keystream *[md5.Size]byte) []byte {
	start := len(dst)
	dst = append(dst, encrypted...)
	subtle.XORBytes(dst[start:], dst[start:], keystream[:])
	return dst[:start+len(trimPadding(dst[start:]))]
}

// AppendEncryptedUserPassword appends the value of a User-Password that holds the
// password, of at most [MaxPasswordLength] octets; a longer one is an error.
func (h *Hasher) AppendEncryptedUserPassword(dst, plain []byte, authenticator *[AuthenticatorLength]byte) ([]byte, error) {
	if len(plain) > MaxPasswordLength {
		return dst, fmt.Errorf("radius: password of %d octets, at most %d fit into User-Password", len(plain), MaxPasswordLength)
	}
	start := len(dst)
	dst = append(dst, plain...)
	for len(dst) == start || (len(dst)-start)%md5.Size != 0 {
		dst = append(dst, 0)
	}
	h.encrypt(dst[start:], authenticator, nil)
	return dst, nil
}

// AppendSalted appends salt and encrypted value as Tunnel-Password (RFC 2868
// section 3.5, after the tag) and the MS-MPPE keys (RFC 2548 section 2.4.2) have
// them. The salt's highest bit is set; the caller sees to it that no two values in
// one packet have the same salt, as [Cipher] does. A value of more than
// [MaxSaltedLength] octets is an error.
//
// The result is two octets and a multiple of 16, or 252 octets for a value of 240
// to 249, whose padding does not fit into an attribute and is left out.
func (h *Hasher) AppendSalted(dst, plain []byte, requestAuthenticator *[AuthenticatorLength]byte, salt uint16) ([]byte, error) {
	if len(plain) > MaxSaltedLength {
		return dst, fmt.Errorf("radius: value of %d octets, at most %d fit when encrypted with a salt", len(plain), MaxSaltedLength)
	}
	salt |= 0x8000
	dst = append(dst, byte(salt>>8), byte(salt), byte(len(plain)))
	start := len(dst) - 1
	dst = append(dst, plain...)
	for (len(dst)-start)%md5.Size != 0 && len(dst)-start < 1+MaxSaltedLength {
		dst = append(dst, 0)
	}
	h.encrypt(dst[start:], requestAuthenticator, dst[start-saltLength:start])
	return dst, nil
}

// AppendUnsalted appends the value that [Hasher.AppendSalted] encrypted. It reports
// false, and appends nothing, if the lengths do not fit, as with a wrong secret they
// mostly do not.
func (h *Hasher) AppendUnsalted(dst, salted []byte, requestAuthenticator *[AuthenticatorLength]byte) ([]byte, bool) {
	if len(salted) < saltLength+1 || len(salted) > MaxValueLength {
		return dst, false
	}
	start := len(dst)
	dst = h.decrypt(dst, salted[saltLength:], requestAuthenticator, salted[:saltLength])
	n := int(dst[start])
	if n > len(dst)-start-1 {
		return dst[:start], false
	}
	copy(dst[start:], dst[start+1:start+1+n])
	return dst[:start+n], true
}

// AppendAscendSecret appends the value of an Ascend-Send-Secret or
// Ascend-Receive-Secret that holds the secret plain, of at most 16 octets; a longer
// one is an error. No RFC has this form; Ascend's NASes do, and dictionaries mark it
// as encryption 3.
func (h *Hasher) AppendAscendSecret(dst, plain []byte, requestAuthenticator *[AuthenticatorLength]byte) ([]byte, error) {
	if len(plain) > md5.Size {
		return dst, fmt.Errorf("radius: Ascend secret of %d octets, at most %d fit", len(plain), md5.Size)
	}
	h.ascend(requestAuthenticator)
	subtle.XORBytes(h.sum[:], h.sum[:], plain)
	return append(dst, h.sum[:]...), nil
}

// AppendPlainAscendSecret appends the secret that [Hasher.AppendAscendSecret] hid,
// without its padding. It reports false, and appends nothing, if the value is not
// of 16 octets.
func (h *Hasher) AppendPlainAscendSecret(dst, hidden []byte, requestAuthenticator *[AuthenticatorLength]byte) ([]byte, bool) {
	if len(hidden) != md5.Size {
		return dst, false
	}
	h.ascend(requestAuthenticator)
	subtle.XORBytes(h.sum[:], h.sum[:], hidden)
	return append(dst, trimPadding(h.sum[:])...), true
}

// ascend leaves in h.sum the MD5 of the authenticator followed by the secret.
func (h *Hasher) ascend(authenticator *[AuthenticatorLength]byte) {
	h.authenticator = *authenticator
	h.md5.Reset()
	h.md5.Write(h.authenticator[:])
	h.md5.Write(h.secret)
	h.md5.Sum(h.sum[:0])
}

// trimPadding cuts the octets of zero from the end.
func trimPadding(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// CHAPPassword returns the value of a CHAP-Password: the identifier and the
// response to the challenge (RFC 2865 section 5.3, RFC 1994 section 4.1).
func CHAPPassword(identifier uint8, password, challenge []byte) [1 + md5.Size]byte {
	var scratch [1 + 2*(MaxValueLength+1)]byte // no allocation unless the password is longer than any attribute
	input := append(scratch[:0], identifier)
	input = append(input, password...)
	input = append(input, challenge...)
	sum := md5.Sum(input)
	var value [1 + md5.Size]byte
	value[0] = identifier
	copy(value[1:], sum[:])
	return value
}

// VerifyCHAP reports whether the value of a CHAP-Password answers the challenge
// (see [Packet.CHAPChallenge]) with the password. The comparison takes constant
// time.
func VerifyCHAP(value, password, challenge []byte) bool {
	if len(value) != 1+md5.Size {
		return false
	}
	want := CHAPPassword(value[0], password, challenge)
	return subtle.ConstantTimeCompare(want[:], value) == 1
}
