package billing

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"time"
)

// The codes of vouchers are written in Crockford's alphabet of 32: it has no letters
// that look like digits (I, L, O), and no U. Each character is worth five bits.
const (
	codeAlphabet      = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	DefaultCodeLength = 12 // 60 bits
	MinCodeLength     = 10
	MaxCodeLength     = 32
	codeGroup         = 4 // characters between dashes, on paper
)

// VoucherKey is the key under which the codes of vouchers are hashed.
type VoucherKey [32]byte

// String hides the key from logs and errors.
func (VoucherKey) String() string { return "voucher key" }

// GoString hides the key from %#v as well.
func (VoucherKey) GoString() string { return "voucher key" }

// Hash returns what stands for a code as somebody has typed it: HMAC-SHA256 of its
// normal form. ok is false if it does not have the form of a code.
func (k *VoucherKey) Hash(typed []byte) (hash [32]byte, ok bool) {
	var buffer [MaxCodeLength]byte
	code, ok := appendCode(buffer[:0], typed)
	if !ok {
		return hash, false
	}
	mac := hmac.New(sha256.New, k[:])
	mac.Write(code)
	mac.Sum(hash[:0])
	return hash, true
}

// NormalizeCode brings a code as somebody has typed it into normal form: capitals
// without spaces and dashes, and the digits for which letters were read. ok is false if
// it does not have the form of a code.
func NormalizeCode(typed string) (code string, ok bool) {
	normal, ok := appendCode(nil, []byte(typed))
	return string(normal), ok
}

// appendCode appends the normal form.
func appendCode(dst, typed []byte) ([]byte, bool) {
	begin := len(dst)
	for _, c := range typed {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		switch {
		case c == ' ' || c == '-' || c == '_' || c == '.':
			continue
		case c == 'O':
			c = '0'
		case c == 'I' || c == 'L':
			c = '1'
		case c == 'U':
			c = 'V'
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z':
		default:
			return dst[:begin], false
		}
		if len(dst)-begin == MaxCodeLength {
			return dst[:begin], false
		}
		dst = append(dst, c)
	}
	return dst, len(dst)-begin >= MinCodeLength
}

// FormatCode writes a code in normal form as it is printed, in groups of four.
func FormatCode(code string) string {
	b := make([]byte, 0, len(code)+len(code)/codeGroup)
	for i := range len(code) {
		if i > 0 && i%codeGroup == 0 {
			b = append(b, '-')
		}
		b = append(b, code[i])
	}
	return string(b)
}

// MakeCodes makes up codes in normal form, from random, which is crypto/rand's reader
// but in tests. No two are the same.
func MakeCodes(random io.Reader, count, length int) ([]string, error) {
	if length == 0 {
		length = DefaultCodeLength
	}
	codes, seen, octets := make([]string, 0, count), make(map[string]bool, count), make([]byte, length)
	for len(codes) < count {
		if _, err := io.ReadFull(random, octets); err != nil {
			return nil, fmt.Errorf("no random numbers: %w", err)
		}
		for i, octet := range octets {
			octets[i] = codeAlphabet[octet&31]
		}
		if code := string(octets); !seen[code] {
			seen[code] = true
			codes = append(codes, code)
		}
	}
	return codes, nil
}

// MadeVoucher is a voucher with its code as it is printed, which is nowhere else to be
// had.
type MadeVoucher struct {
	Serial string
	Code   string
}

// How many wrong codes may be tried before some time has to pass.
const (
	FreeGuesses       = 5  // for a user, or by a person
	FreeSharedGuesses = 30 // from an address, which many may share
)

// RedemptionLock is how long no code is looked at after so many wrong ones, of which some
// are free: each one from the last of these on doubles it, to a quarter of an hour.
func RedemptionLock(failures, free int) time.Duration {
	const first, longest = time.Second, 15 * time.Minute
	if failures < free {
		return 0
	}
	return min(first<<min(failures-free, 20), longest)
}
