package aaa

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/radius"
	"radiusd/radius/mschap"
)

// VoucherLogin is what a user who is a voucher logs in by instead of a credential.
type VoucherLogin struct {
	// CodeHash stands for the voucher's code; see DirectoryOptions.VoucherHash.
	CodeHash [32]byte
	// ValidFor is how long the user is valid from the first login on, which was not yet:
	// until then, ExpiresAt is when that has to be. Zero: it was, and ExpiresAt counts.
	ValidFor time.Duration
}

// FirstUse is the first login of a user who is a voucher.
type FirstUse struct {
	UserID uuid.UUID
	At     time.Time
}

const codeHashLength = 32

// setVoucher makes the account a voucher: the secret is the hash of its code, and for how
// many seconds it is valid.
func (a *account) setVoucher(name string, v *VoucherLogin) {
	secret := binary.LittleEndian.AppendUint64(append([]byte(name), v.CodeHash[:]...), uint64(max(v.ValidFor, 0)/time.Second))
	a.scheme, a.text = schemeVoucher, string(secret)
}

// codeHash is the hash of a voucher's code.
func (a *account) codeHash() string { return a.secret()[:codeHashLength] }

// validFor is how long a voucher is valid from its first login on; zero: that was.
func (a *account) validFor() time.Duration {
	seconds := binary.LittleEndian.Uint64([]byte(a.secret()[codeHashLength:]))
	return time.Duration(min(seconds, uint64(math.MaxInt64/time.Second))) * time.Second
}

// putCode has a voucher found by its code, and what is none not any more.
func (t *userTable) putCode(a *account) error {
	if a.scheme != schemeVoucher {
		t.codes.remove(a.id)
		return nil
	}
	return t.codes.put(&account{id: a.id, text: a.codeHash() + a.name(), nameLength: codeHashLength})
}

// getCode sets a to the voucher whose code has the hash and reports whether there is one.
func (t *userTable) getCode(hash *[codeHashLength]byte, a *account) bool {
	var entry account
	return t.codes.get(hash[:], &entry) && t.get([]byte(entry.secret()), a) && a.scheme == schemeVoucher &&
		a.codeHash() == string(hash[:])
}

// Username returns the name of the voucher whose code was sent as User-Name; anything
// else as it is. So a NAS that does not take the name of the Access-Accept (RFC 2865
// §5.1) brings no code into the records.
func (d *Directory) Username(sent string) string {
	users := d.users.Load()
	if users.codes.live.Load() == 0 || d.options.VoucherHash == nil {
		return sent
	}
	var a account
	if users.get([]byte(sent), &a) {
		return sent
	}
	hash, ok := d.options.VoucherHash([]byte(sent))
	if !ok || !users.getCode(&hash, &a) {
		return sent
	}
	return strings.Clone(a.name())
}

// name is User-Name as it may be shown: of a voucher's code, what stands for it.
func (x *exchange) name() []byte {
	if x.shown != nil {
		return x.shown
	}
	return x.username
}

// shownOfCode is how much of a code that no voucher has is shown, so that the mistyped
// name of a user is still told apart.
const shownOfCode = 4

// identifyVoucher looks for the voucher whose code is the User-Name. A code may not be
// looked at while there were too many wrong ones.
func (a *Access) identifyVoucher(x *exchange, users *userTable) (found bool, d Decision) {
	hash, ok := a.hashCode(x.username)
	if !ok || sameStation(x.username, x.sent.callingStationID) {
		return false, x.goOn() // a device that is looked for by its address is no guess
	}
	x.shown = append(append([]byte{}, x.username[:shownOfCode]...), "…"...)
	if a.throttled(x, x.username) {
		return false, x.refuseAt(stepIdentify, ReasonThrottled, "")
	}
	if !users.getCode(&hash, &x.found) {
		a.guessed(x)
		return false, x.goOn()
	}
	x.byCode, x.shown = true, []byte(x.found.name())
	return true, x.goOn()
}

func (a *Access) hashCode(typed []byte) (hash [codeHashLength]byte, ok bool) {
	if f := a.options.Directory.options.VoucherHash; f != nil {
		return f(typed)
	}
	return hash, false
}

// authenticateVoucher checks the proof of a voucher. Who has sent its code as User-Name
// may leave the password empty, or send the code again, in the same spelling unless by
// PAP: since it is not stored, the name is what CHAP and MS-CHAP are checked against. Who
// has sent its serial as User-Name sends the code as User-Password.
func (a *Access) authenticateVoucher(x *exchange) Decision {
	switch x.method {
	case MethodPAP:
		password, ok := x.request.AppendUserPassword(x.passwordBuff[:0])
		if !ok {
			return x.refuse(ReasonMalformedRequest, "User-Password is not of 16 to 128 octets in blocks of 16")
		}
		if x.byCode && len(password) == 0 {
			return x.checked(true)
		}
		if !x.byCode && a.throttled(x, password) {
			return x.refuse(ReasonThrottled, "")
		}
		hash, ok := a.hashCode(password)
		right := ok && subtle.ConstantTimeCompare(hash[:], []byte(x.account.codeHash())) == 1
		if !right && !x.byCode && !x.assumed() {
			a.guessed(x)
		}
		return x.checked(right)
	case MethodNone:
		return x.refuse(ReasonNoCredential, "the request carries nothing to check")
	case MethodEAP:
		return x.refuse(ReasonMethodUnavailable, "EAP is not available")
	}
	if !x.byCode {
		return x.refuse(ReasonMethodUnavailable, "the code of a voucher is not stored: by CHAP and MS-CHAP, it has to be the User-Name as well")
	}
	if x.method == MethodCHAP {
		challenge := x.request.Packet.CHAPChallenge()
		return x.checked(radius.VerifyCHAP(x.sent.chapPassword, x.username, challenge) || radius.VerifyCHAP(x.sent.chapPassword, nil, challenge))
	}
	if x.method == MethodMSCHAP && x.mschap.response[1] != radius.MSCHAPUseNTResponse {
		return x.refuse(ReasonMethodUnavailable, "MS-CHAP with an LM response only")
	}
	hash := mschap.HashPassword(x.username)
	if x.method == MethodMSCHAP {
		return x.checked(x.mschap.verifyMSCHAP(&hash))
	}
	return x.checked(x.mschap.verifyMSCHAPv2(&hash, x.username))
}

// checkBegin has a voucher expire when it is valid no more: if it is new, so long after
// this login. Before that, it is to be used until it expires.
func (a *Access) checkBegin(x *exchange) Decision {
	validFor := x.account.validFor()
	if validFor == 0 {
		return x.goOn()
	}
	begun, known := x.now, false
	switch uses := a.options.FirstUses; {
	case uses != nil:
		begun, known = uses.at(x.account.id)
	case x.trace == nil:
		return x.refuseAt(stepUsable, ReasonInternal, "first uses of vouchers are not kept here")
	}
	if !known {
		begun = x.now
		if x.account.expires <= x.now.UnixMicro() {
			return x.goOn() // it was to be used before, and has expired
		}
		x.begins = x.trace == nil
	}
	x.account.expires = begun.Add(validFor).UnixMicro()
	return x.goOn()
}

// voucherMessage is what a Reply-Message says of a refused voucher to who has its code,
// unless the operator has other words.
func (x *exchange) voucherMessage(r Reason) string {
	if r == ReasonThrottled {
		return "Too many wrong codes: please wait a few minutes."
	}
	if x.account == nil || x.account.scheme != schemeVoucher {
		return ""
	}
	switch r {
	case ReasonExpired:
		return "This voucher has expired."
	case ReasonDisabled, ReasonSuspended:
		return "This voucher was revoked, or has been redeemed."
	case ReasonSimultaneousUse:
		return "This voucher is in use on another device."
	case ReasonTimeQuotaExhausted, ReasonDataQuotaExhausted:
		return "This voucher is used up."
	case ReasonOutsideLoginHours:
		return "This voucher cannot be used at this time."
	}
	return ""
}
