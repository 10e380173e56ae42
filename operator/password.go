package operator

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// What a password must be (NIST SP 800-63B section 3.1.1): long, and not one of the
// commonest. Which characters it has is left to its owner.
const (
	MinPassword = 12  // characters
	maxPassword = 256 // octets
)

//go:embed passwords.txt
var commonPasswords string

// ValidatePassword checks a new password of the operator of that name.
func ValidatePassword(name, password string) error {
	invalid := func(message string) error { return &FieldError{"password", message} }
	lower := strings.ToLower(password)
	switch {
	case !utf8.ValidString(password):
		return invalid("is not UTF-8")
	case utf8.RuneCountInString(password) < MinPassword:
		return invalid(fmt.Sprintf("is shorter than %d characters", MinPassword))
	case len(password) > maxPassword:
		return invalid(fmt.Sprintf("is longer than %d octets", maxPassword))
	case isRepeated(lower) || isCommon(lower):
		return invalid("is one of the commonest")
	case name != "" && strings.Trim(strings.ReplaceAll(lower, NormalizeName(name), ""), "0123456789!.-_") == "":
		return invalid("is the name")
	}
	return nil
}

// isRepeated reports whether s is up to four characters again and again.
func isRepeated(s string) bool {
	for n := 1; n <= 4 && n < len(s); n++ {
		if strings.HasPrefix(strings.Repeat(s[:n], len(s)/n+1), s) {
			return true
		}
	}
	return false
}

func isCommon(lower string) bool {
	for line := range strings.Lines(commonPasswords) {
		if strings.TrimSpace(line) == lower {
			return true
		}
	}
	return false
}

// The cost of a hash: the second of OWASP's choices for argon2id.
const (
	argon2Memory      = 19 * 1024 // KiB
	argon2Iterations  = 2
	argon2Parallelism = 1
	argon2Salt        = 16
	argon2Key         = 32
)

// maxWaiting is how many checks of passwords wait for their turn.
const maxWaiting = 64

// hasher makes and checks hashes of passwords, a few at a time: each takes 19 MiB.
type hasher struct {
	turns   chan struct{}
	waiting atomic.Int64
	random  io.Reader
	// derive is argon2id; tests count its calls.
	derive func(password, salt []byte) []byte
}

func newHasher() *hasher {
	return &hasher{
		turns:  make(chan struct{}, max(1, runtime.GOMAXPROCS(0))),
		random: rand.Reader,
		derive: func(password, salt []byte) []byte {
			return argon2.IDKey(password, salt, argon2Iterations, argon2Memory, argon2Parallelism, argon2Key)
		},
	}
}

// turn waits until a hash may be computed. It fails with ErrBusy if many wait.
func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	if h.waiting.Add(1) > maxWaiting {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var argon2Prefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argon2Memory, argon2Iterations, argon2Parallelism)

// hash returns the hash of a password in PHC form.
func (h *hasher) hash(ctx context.Context, password string) ([]byte, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	salt := make([]byte, argon2Salt)
	if _, err := io.ReadFull(h.random, salt); err != nil {
		return nil, fmt.Errorf("hash the password: %w", err)
	}
	key := h.derive([]byte(password), salt)
	return []byte(argon2Prefix + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(key)), nil
}

// verify reports whether the password is that of the hash. Without a hash, or with
// one that is damaged, it says no after the same work.
func (h *hasher) verify(ctx context.Context, hash []byte, password string) (bool, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	salt, key, ok := parseHash(hash)
	if !ok {
		salt, key = make([]byte, argon2Salt), make([]byte, argon2Key)
	}
	if len(password) > maxPassword {
		password, ok = password[:maxPassword], false
	}
	equal := subtle.ConstantTimeCompare(h.derive([]byte(password), salt), key) == 1
	return equal && ok, nil
}

// parseHash reads what hash wrote. Hashes of another cost there are none.
func parseHash(hash []byte) (salt, key []byte, ok bool) {
	rest, ok := strings.CutPrefix(string(hash), argon2Prefix)
	if !ok {
		return nil, nil, false
	}
	saltText, keyText, _ := strings.Cut(rest, "$")
	salt, err := base64.RawStdEncoding.DecodeString(saltText)
	if err != nil || len(salt) != argon2Salt {
		return nil, nil, false
	}
	key, err = base64.RawStdEncoding.DecodeString(keyText)
	return salt, key, err == nil && len(key) == argon2Key
}
