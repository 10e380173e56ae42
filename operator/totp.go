package operator

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec: RFC 6238 section 1.2, and what the apps do
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// The parameters of the codes, which every app takes as its default.
const (
	totpStep   = 30 * time.Second
	totpDigits = 6
	totpSecret = 20 // octets, RFC 4226 section 4 R6
	totpSkew   = 1  // steps, RFC 6238 section 5.2
)

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// hotp is the code of RFC 4226 section 5.3 for a counter.
func hotp(secret []byte, counter uint64, digits int) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, counter)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	code := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	modulus := uint32(1)
	for range digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", digits, code%modulus)
}

// stepAt returns the time step of RFC 6238 section 4.2.
func stepAt(t time.Time) uint64 { return uint64(max(0, t.Unix()) / int64(totpStep/time.Second)) }

// matchTOTP returns the step whose code this is: the present one, or one before or
// after it, but none up to the last that was used.
func matchTOTP(t TOTP, code string, now time.Time) (step uint64, ok bool) {
	present := stepAt(now)
	for s := present - min(present, totpSkew); s <= present+totpSkew; s++ {
		match := subtle.ConstantTimeCompare([]byte(hotp(t.Secret, s, totpDigits)), []byte(code)) == 1
		if match && s > t.LastStep && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}

// normalizeCode takes the spaces out that apps show in codes.
func normalizeCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(code))
}

// isTOTPCode reports whether a normalised code is one of an app's.
func isTOTPCode(code string) bool {
	return len(code) == totpDigits && strings.Trim(code, "0123456789") == ""
}

// totpURL is what an app reads as a QR code (the Key URI format).
func totpURL(issuer, account string, secret []byte) string {
	v := url.Values{"secret": {base32Text.EncodeToString(secret)}, "issuer": {issuer}}
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account, RawQuery: strings.ReplaceAll(v.Encode(), "+", "%20")}
	return u.String()
}

// Recovery codes stand in for an app that is lost; each is good once.
const (
	recoveryCodes  = 10
	recoveryOctets = 10 // 80 bits: cannot be guessed, and so needs no slow hash
)

// newRecoveryCodes returns codes to be shown, and their hashes to be kept.
func newRecoveryCodes(random io.Reader) (codes []string, hashes [][sha256.Size]byte, err error) {
	for range recoveryCodes {
		b := make([]byte, recoveryOctets)
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, nil, fmt.Errorf("make recovery codes: %w", err)
		}
		text := strings.ToLower(base32Text.EncodeToString(b))
		hashes = append(hashes, hashRecoveryCode(text))
		codes = append(codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
	}
	return codes, hashes, nil
}

// hashRecoveryCode hashes a normalised code.
func hashRecoveryCode(code string) [sha256.Size]byte {
	return sha256.Sum256([]byte("radiusd recovery code " + code))
}
