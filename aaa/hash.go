package aaa

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/sha1crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// hasher verifies passwords against the text of a hash. It is safe for
// concurrent use.
type hasher struct {
	decoder *crypt.Decoder
}

func newHasher() (*hasher, error) {
	h := &hasher{decoder: crypt.NewDecoder()}
	for _, register := range []func() error{
		func() error { return argon2.RegisterDecoder(h.decoder) },
		func() error { return bcrypt.RegisterDecoder(h.decoder) },
		func() error { return pbkdf2.RegisterDecoder(h.decoder) },
		func() error { return scrypt.RegisterDecoder(h.decoder) },
		func() error { return shacrypt.RegisterDecoder(h.decoder) },
		func() error { return md5crypt.RegisterDecoder(h.decoder) },
		func() error { return sha1crypt.RegisterDecoder(h.decoder) },
	} {
		if err := register(); err != nil {
			return nil, fmt.Errorf("password hashes: %w", err)
		}
	}
	return h, nil
}

// ldapScheme is a digest of password and salt, in base64, as RFC 2307 directories
// write it: {SSHA}….
type ldapScheme struct {
	prefix string
	salted bool
	new    func() hash.Hash
}

// ldapSchemes are the ones there are. They cost about a microsecond, so that nothing need be
// deferred.
var ldapSchemes = []ldapScheme{
	{"{SHA}", false, sha1.New},
	{"{SSHA}", true, sha1.New},
	{"{SHA256}", false, sha256.New},
	{"{SSHA256}", true, sha256.New},
	{"{SHA384}", false, sha512.New384},
	{"{SSHA384}", true, sha512.New384},
	{"{SHA512}", false, sha512.New},
	{"{SSHA512}", true, sha512.New},
	{"{MD5}", false, md5.New},
	{"{SMD5}", true, md5.New},
}

func (s *ldapScheme) is(text string) bool {
	return len(text) >= len(s.prefix) && strings.EqualFold(text[:len(s.prefix)], s.prefix)
}

// findLDAPScheme splits a hash into its scheme, digest and salt.
func findLDAPScheme(text string) (scheme ldapScheme, digest, salt []byte, err error) {
	for _, s := range ldapSchemes {
		if !s.is(text) {
			continue
		}
		decoded, err := base64.StdEncoding.DecodeString(text[len(s.prefix):])
		if err != nil {
			decoded, err = base64.RawStdEncoding.DecodeString(text[len(s.prefix):])
		}
		size := s.new().Size()
		if err != nil || len(decoded) < size || !s.salted && len(decoded) != size {
			return s, nil, nil, fmt.Errorf("%s: not base64 of a digest of %d octets", s.prefix, size)
		}
		return s, decoded[:size], decoded[size:], nil
	}
	return ldapScheme{}, nil, nil, nil
}

// slow reports whether verifying against the hash takes too long for a listener:
// all but the schemes of LDAP do.
func (h *hasher) slow(text string) bool {
	return !slices.ContainsFunc(ldapSchemes, func(s ldapScheme) bool { return s.is(text) })
}

// verify reports whether the password has the hash. An error means that the hash
// cannot be read; it does not repeat it.
func (h *hasher) verify(text string, password []byte) (bool, error) {
	scheme, digest, salt, err := findLDAPScheme(text)
	if err != nil {
		return false, err
	}
	if scheme.new != nil {
		sum := scheme.new()
		sum.Write(password)
		sum.Write(salt)
		return subtle.ConstantTimeCompare(sum.Sum(nil), digest) == 1, nil
	}
	decoded, err := h.decode(text)
	if err != nil {
		return false, err
	}
	match, err := decoded.MatchBytesAdvanced(password)
	if err != nil {
		return false, errors.New("the stored hash cannot be verified")
	}
	return match, nil
}

// decode reads a hash that is none of LDAP's own. No error repeats it.
func (h *hasher) decode(text string) (algorithm.Digest, error) {
	if end := strings.IndexByte(text, '}'); strings.HasPrefix(text, "{") && end >= 0 {
		text = strings.ToUpper(text[:end]) + text[end:] // as the library knows the prefixes
	}
	text = crypt.Normalize(text)
	if err := checkHashCost(text); err != nil {
		return nil, err
	}
	digest, err := h.decoder.Decode(text)
	if err != nil {
		return nil, errors.New("of an unknown or broken form: want $id$…, {SCHEME}… or {CLEARTEXT}…")
	}
	return digest, nil
}

// The parameters of new hashes: the second of OWASP's choices for argon2id, which
// takes some 20 ms and 19 MiB, so that the deferral pool's memory stays bounded.
const (
	argon2Memory      = 19 * 1024 // KiB
	argon2Iterations  = 2
	argon2Parallelism = 1
)

// HashPassword returns a credential that serves PAP only and from which the
// password cannot be read back: argon2id, RFC 9106.
func HashPassword(password string) (Credential, error) {
	h, err := argon2.New(argon2.WithVariantID(), argon2.WithM(argon2Memory),
		argon2.WithT(argon2Iterations), argon2.WithP(argon2Parallelism))
	if err != nil {
		return Credential{}, fmt.Errorf("hash password: %w", err)
	}
	digest, err := h.Hash(password)
	if err != nil {
		return Credential{}, fmt.Errorf("hash password: %w", err)
	}
	return Credential{Scheme: SchemeHash, Secret: []byte(digest.Encode())}, nil
}

// ParseCredential reads a secret as other systems store it, told by its prefix:
// the hashes of crypt(3), argon2, bcrypt, scrypt and PBKDF2 ($6$…, $2b$…,
// $argon2id$…), those of LDAP ({SSHA}…, {CRYPT}…), {NT} or {NTHASH} with 32
// hexadecimal digits, and {CLEAR} or {CLEARTEXT} with the password itself. What has
// no such prefix is an error: whether it is a password is for the caller to know.
// No error repeats the text.
func ParseCredential(text string) (Credential, error) {
	if strings.HasPrefix(text, "{") {
		prefix, rest, ok := strings.Cut(text, "}")
		if !ok {
			return Credential{}, errors.New("credential: missing }")
		}
		switch strings.ToUpper(prefix[1:]) {
		case "CLEAR", "CLEARTEXT", "PLAIN":
			return Credential{Scheme: SchemeCleartext, Secret: []byte(rest)}, nil
		case "NT", "NTHASH", "NTLM", "X-NTHASH":
			nt, err := hex.DecodeString(rest)
			if err != nil || len(nt) != 16 {
				return Credential{}, fmt.Errorf("credential: %s} needs 32 hexadecimal digits", prefix)
			}
			return Credential{Scheme: SchemeNTHash, Secret: nt}, nil
		}
	}
	scheme, _, _, err := findLDAPScheme(text)
	if err != nil {
		return Credential{}, fmt.Errorf("credential: %w", err)
	}
	if scheme.new != nil {
		return Credential{Scheme: SchemeHash, Secret: []byte(text)}, nil
	}
	h, err := newHasher()
	if err != nil {
		return Credential{}, err
	}
	if _, err := h.decode(text); err != nil {
		return Credential{}, fmt.Errorf("credential: %w", err)
	}
	return Credential{Scheme: SchemeHash, Secret: []byte(text)}, nil
}

// Validate reports what would make every login with the credential fail, without
// repeating the secret.
func (c Credential) Validate() error {
	switch c.Scheme {
	case SchemeNone, SchemeMAC:
		if len(c.Secret) > 0 {
			return fmt.Errorf("credential %s has no secret", c.Scheme)
		}
	case SchemeCleartext:
		if len(c.Secret) == 0 {
			return errors.New("the password is empty")
		}
		// RFC 2865 §5.2: User-Password holds 128 octets at most and is padded with
		// zeros.
		if len(c.Secret) > 128 || bytes.IndexByte(c.Secret, 0) >= 0 {
			return errors.New("the password is longer than 128 octets or holds a zero octet")
		}
	case SchemeNTHash:
		if len(c.Secret) != 16 {
			return errors.New("an NT hash has 16 octets")
		}
	case SchemeHash:
		_, err := ParseCredential(string(c.Secret))
		return err
	default:
		return fmt.Errorf("unknown credential scheme %d", c.Scheme)
	}
	return nil
}
