package aaa

import "fmt"

// Reason says why an Access-Request was accepted or refused. The list is closed:
// reasons are metric labels and stand in auth_records.
type Reason uint8

// The reasons of a decision.
const (
	ReasonAccepted Reason = iota
	ReasonUnknownUser
	ReasonWrongPassword
	ReasonNoCredential       // the user has no secret, or the request carries nothing to check
	ReasonMethodUnavailable  // the stored credential cannot serve this method (CHAP against a hash)
	ReasonMethodNotAllowed   // the plan or an item forbids this method
	ReasonDisabled           // the user is disabled
	ReasonSuspended          // the user is suspended
	ReasonExpired            // past the user's expiry
	ReasonOutsideLoginHours  // not now
	ReasonNASNotAllowed      // not from this NAS
	ReasonStationNotAllowed  // not from this Calling-Station-Id
	ReasonCheckFailed        // another check item does not hold
	ReasonSimultaneousUse    // as many sessions as allowed are open or reserved
	ReasonTimeQuotaExhausted // no online time left in this period
	ReasonDataQuotaExhausted // no octets left in this period
	ReasonMalformedRequest   // attributes contradict each other or are of wrong length
	ReasonInternal           // the decision could not be made; the log says why
	ReasonThrottled          // too many wrong voucher codes from this station or NAS
	reasonCount
)

var reasonNames = [reasonCount]string{
	"accepted", "unknown_user", "wrong_password", "no_credential", "method_unavailable",
	"method_not_allowed", "disabled", "suspended", "expired", "outside_login_hours",
	"nas_not_allowed", "station_not_allowed", "check_failed", "simultaneous_use",
	"time_quota_exhausted", "data_quota_exhausted", "malformed_request", "internal", "throttled",
}

// String returns the reason as it stands in auth_records and in metrics.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

var reasonTexts = [reasonCount]string{
	"The user was let in.",
	"There is no user of this name.",
	"The password was wrong.",
	"The user has no password, or the request carried none.",
	"The password is stored in a form that this authentication method cannot use: CHAP needs it in cleartext, MS-CHAP in cleartext or as an NT hash.",
	"The plan or an item of policy forbids this authentication method.",
	"The user is disabled.",
	"The user is suspended.",
	"The user has expired.",
	"The user may not log in at this time.",
	"The user may not log in from this NAS.",
	"The user may not log in from this station.",
	"A check item does not hold for the request.",
	"The user has as many sessions open as are allowed.",
	"The online time of this period is used up.",
	"The amount of data of this period is used up.",
	"The request is malformed: its attributes contradict each other, or have a wrong length.",
	"No decision could be made; the server's log says why.",
	"Too many wrong codes of vouchers came from this station, or from this NAS and the code is a short one; it is not looked at for a while.",
}

// Sentence says the reason to a person.
func (r Reason) Sentence() string {
	if r < reasonCount {
		return reasonTexts[r]
	}
	return r.String()
}

// ParseReason reads a reason as String writes it.
func ParseReason(s string) (Reason, error) {
	for i, name := range reasonNames {
		if s == name {
			return Reason(i), nil
		}
	}
	return 0, fmt.Errorf("unknown reason %q", s)
}
