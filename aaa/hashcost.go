package aaa

import (
	"errors"
	"strconv"
	"strings"
)

// hashLimits bound what one verification may cost, by the hash's identifier and
// parameter: a quarter of a GiB and a few seconds, after which no NAS waits for the
// answer. A hash says itself what it costs, and one login, whatever its password,
// must not take the memory or the workers of the server. A number without a name
// has the empty name.
var hashLimits = map[string]map[string]uint64{
	"argon2id":      argon2Limits, // RFC 9106: m in KiB
	"argon2i":       argon2Limits,
	"argon2d":       argon2Limits,
	"scrypt":        {"ln": 18, "r": 8, "p": 16}, // 128 · r · 2^ln octets
	"2":             bcryptLimits,
	"2a":            bcryptLimits,
	"2b":            bcryptLimits,
	"2x":            bcryptLimits,
	"2y":            bcryptLimits,
	"bcrypt-sha256": {"r": 16},
	"5":             {"rounds": 10_000_000},
	"6":             {"rounds": 10_000_000},
	"md5":           {"rounds": 10_000_000},
	"sha1":          {"": 10_000_000},
	"pbkdf2":        {"": 10_000_000},
	"pbkdf2-sha1":   {"": 10_000_000},
	"pbkdf2-sha224": {"": 10_000_000},
	"pbkdf2-sha256": {"": 10_000_000},
	"pbkdf2-sha384": {"": 10_000_000},
	"pbkdf2-sha512": {"": 10_000_000},
}

var (
	argon2Limits = map[string]uint64{"m": 256 << 10, "t": 16, "p": 64}
	bcryptLimits = map[string]uint64{"": 16}
)

// yescryptDigits are those of its parameters: 2^(N+1) blocks of 128·(r+1) octets.
const yescryptDigits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var errHashCost = errors.New("the hash costs more memory or time to verify than is allowed, or none")

// checkHashCost looks at the parameters of $id$parameters$…, which may be in the
// second or third part.
func checkHashCost(text string) error {
	parts := strings.Split(text, "$")
	if len(parts) < 3 {
		return nil // no hash; for the decoder to refuse
	}
	id, inID, _ := strings.Cut(parts[1], ",") // $md5,rounds=…
	if id == "y" {
		return checkYescryptCost(parts[2])
	}
	limits := hashLimits[id]
	fields := strings.Split(inID, ",")
	for _, part := range parts[2:min(len(parts), 4)] {
		fields = append(fields, strings.Split(part, ",")...)
	}
	for i, field := range fields {
		name, value, named := strings.Cut(field, "=")
		if !named {
			name, value = "", field
		}
		limit, known := limits[name]
		if !known || name == "" && i != 1 {
			continue
		}
		if n, err := strconv.ParseUint(value, 10, 64); err != nil || n == 0 || n > limit {
			return errHashCost
		}
	}
	return nil
}

func checkYescryptCost(setting string) error {
	if len(setting) != 3 {
		return nil // for the decoder to refuse
	}
	n, r := strings.IndexByte(yescryptDigits, setting[1]), strings.IndexByte(yescryptDigits, setting[2])
	if n < 0 || r < 0 || n > 20 || 128*(r+1)<<(n+1) > 256<<20 {
		return errHashCost
	}
	return nil
}
