package operator

import (
	"context"
	"encoding/base32"
	"time"
)

// What tests outside of the package, which may import a store, look at.

var (
	ParseAPITokenText = parseAPIToken
	NewAPITokenText   = newAPIToken
	HOTP              = hotp
	TOTPURL           = totpURL
	AccountKey        = accountKey
	LockAfter         = lockAfter
)

const (
	ChallengeLife = challengeLife
	KeyLife       = keyLife
	MaxSessions   = maxSessions
	AccessFresh   = accessFresh
)

// CountHashes calls fn for each password that is hashed or checked.
func (s *Service) CountHashes(fn func()) {
	derive := s.hasher.derive
	s.hasher.derive = func(password, salt []byte) []byte {
		fn()
		return derive(password, salt)
	}
}

// HashBy replaces argon2id, which takes its time.
func (s *Service) HashBy(derive func(password, salt []byte) []byte) { s.hasher.derive = derive }

// Argon2id is what hashes passwords outside of tests.
func Argon2id(password, salt []byte) []byte { return newHasher().derive(password, salt) }

// Code is the code that an app shows.
func Code(secret string, at time.Time) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		panic(err)
	}
	return hotp(key, stepAt(at), totpDigits)
}

// SignForTest signs a JWT as the service does, for another purpose or with other times.
func (s *Service) SignForTest(typ, audience string, c map[string]any, at time.Time, life time.Duration) (string, error) {
	k := claims{}
	if v, ok := c["sub"]; ok {
		if err := k.Subject.UnmarshalText([]byte(v.(string))); err != nil {
			return "", err
		}
	}
	return s.sign(context.Background(), purpose{typ, audience}, k, at, life)
}
