package aaa

import (
	"crypto/subtle"
	"encoding/binary"

	"radiusd/radius"
	"radiusd/radius/mschap"
)

const serviceTypeCallCheck = 10 // RFC 2865 §5.6

// identify finds the method and the account. An unknown user goes on, so that the
// work for a refusal does not tell who exists.
func (a *Access) identify(x *exchange) Decision {
	var problem string
	x.method, problem = x.read()
	x.username = x.sent.userName
	if x.username == nil && x.isCallCheck() {
		// The device is what is asked about (RFC 2865 §5.6).
		x.username = x.sent.callingStationID
	}
	if problem != "" {
		return x.refuse(ReasonMalformedRequest, problem)
	}
	if len(x.username) == 0 {
		return x.refuse(ReasonMalformedRequest, "no User-Name")
	}
	users := a.options.Directory.users.Load()
	x.catalog = a.options.Directory.catalog.Load()
	found := users.get(x.username, &x.found)
	if !found {
		if mac, ok := AppendMAC(x.macBuffer[:0], x.username); ok {
			found = users.get(mac, &x.found)
		}
	}
	if !found && users.codes.live.Load() > 0 {
		var d Decision
		if found, d = a.identifyVoucher(x, users); !d.Accepted() {
			return d
		}
	}
	if !found {
		return x.goOn()
	}
	x.account = &x.found
	x.renamed = x.account.name() != string(x.username)
	if x.account.scheme == SchemeMAC && x.method != MethodEAP {
		x.method = MethodMAC // EAP is a proof of its own, which an address does not replace
	}
	x.plan = a.noPlan
	if x.account.plan != 0 {
		x.plan = x.catalog.plan(x.account.plan)
	}
	return x.goOn()
}

// read finds the attributes that the decision needs, and among them what is to be
// checked.
func (x *exchange) read() (method Method, problem string) {
	count := 0
	found := func(m Method) {
		method = m
		count++
	}
	for t, value := range x.attributes.All() {
		switch t {
		case radius.TypeUserName:
			first(&x.sent.userName, value)
		case radius.TypeUserPassword:
			first(&x.sent.userPassword, value)
			found(MethodPAP)
		case radius.TypeCHAPPassword:
			first(&x.sent.chapPassword, value)
			found(MethodCHAP)
			if len(value) != 17 {
				problem = "CHAP-Password is not of 17 octets"
			}
		case radius.TypeNASIPAddress:
			first(&x.sent.nasAddr, value)
		case radius.TypeNASIPv6Address:
			first(&x.sent.nasIPv6Addr, value)
		case radius.TypeNASPort:
			first(&x.sent.nasPort, value)
		case radius.TypeNASPortID:
			first(&x.sent.nasPortID, value)
		case radius.TypeServiceType:
			first(&x.sent.serviceType, value)
		case radius.TypeCallingStationID:
			first(&x.sent.callingStationID, value)
		case radius.TypeCalledStationID:
			first(&x.sent.calledStationID, value)
		case radius.TypeAcctSessionID:
			first(&x.sent.acctSessionID, value)
		case radius.TypeEAPMessage:
			first(&x.sent.eapMessage, value)
		case radius.TypeVendorSpecific:
			if len(value) < 4 || binary.BigEndian.Uint32(value) != radius.VendorMicrosoft {
				continue
			}
			for t, value := range radius.Attributes(value[4:]).All() {
				switch t {
				case radius.MSCHAPChallenge:
					x.mschap.challenge = value
				case radius.MSCHAPResponse:
					found(MethodMSCHAP)
					x.mschap.response = value
				case radius.MSCHAP2Response:
					found(MethodMSCHAPv2)
					x.mschap.response = value
				}
			}
		}
	}
	if x.sent.eapMessage != nil {
		found(MethodEAP)
	}
	if count > 1 {
		// "An Access-Request MUST NOT contain both" (RFC 2865 §4.1).
		return method, "more than one of User-Password, CHAP-Password, MS-CHAP and EAP"
	}
	if problem == "" && method == MethodMSCHAP {
		problem = x.mschap.problem(msCHAPChallengeLength)
	}
	if problem == "" && method == MethodMSCHAPv2 {
		problem = x.mschap.problem(msCHAP2ChallengeLength)
	}
	return method, problem
}

// problem says what is wrong with the attributes, if anything.
func (m *msCHAP) problem(challengeLength int) string {
	if len(m.response) != radius.MSCHAPResponseLength {
		return "the MS-CHAP response is not of 50 octets"
	}
	if len(m.challenge) != challengeLength {
		return "MS-CHAP-Challenge is absent or of wrong length"
	}
	return ""
}

func (x *exchange) isCallCheck() bool {
	service := x.sent.serviceType
	return len(service) == 4 && binary.BigEndian.Uint32(service) == serviceTypeCallCheck
}

// authenticate checks the proof against the account's credential.
func (a *Access) authenticate(x *exchange) Decision {
	if x.account != nil && x.account.scheme == schemeVoucher {
		return a.authenticateVoucher(x) // whatever Auth-Type says: its name is no secret
	}
	if x.account != nil && x.controls.authType == authTypeAccept {
		return x.goOn() // Auth-Type := Accept: the password does not matter
	}
	switch x.method {
	case MethodPAP:
		return a.authenticatePAP(x)
	case MethodCHAP:
		return x.authenticateCHAP()
	case MethodMSCHAP, MethodMSCHAPv2:
		return x.authenticateMSCHAP()
	case MethodMAC:
		return x.authenticateMAC()
	case MethodEAP:
		return x.refuse(ReasonMethodUnavailable, "EAP is not available")
	default:
		return x.unlessUnknown(ReasonNoCredential, "the request carries nothing to check")
	}
}

// unlessUnknown refuses for the reason if the user exists.
func (x *exchange) unlessUnknown(reason Reason, detail string) Decision {
	if x.account == nil {
		return x.refuse(ReasonUnknownUser, "")
	}
	return x.refuse(reason, detail)
}

// checked is the decision once a password was compared.
func (x *exchange) checked(match bool) Decision {
	switch {
	case x.account == nil:
		return x.refuse(ReasonUnknownUser, "")
	case !match && !x.assumed():
		return x.refuse(ReasonWrongPassword, "")
	}
	x.authentic = true
	return x.goOn()
}

// authenticatePAP checks User-Password (RFC 2865 §5.2).
func (a *Access) authenticatePAP(x *exchange) Decision {
	password, ok := x.request.AppendUserPassword(x.passwordBuff[:0])
	if !ok {
		return x.refuse(ReasonMalformedRequest, "User-Password is not of 16 to 128 octets in blocks of 16")
	}
	if x.account == nil {
		return x.checked(false)
	}
	secret := x.account.secret()
	switch x.account.scheme {
	case SchemeCleartext:
		return x.checked(secret != "" && equalString(password, secret))
	case SchemeNTHash:
		hash := mschap.HashPassword(password)
		return x.checked(equalString(hash[:], secret))
	case SchemeHash:
		return a.authenticateHash(x, secret, password)
	}
	return x.refuse(ReasonNoCredential, "the user has no password")
}

// authenticateHash checks a password against a hash; a slow one off the listener.
func (a *Access) authenticateHash(x *exchange, stored string, password []byte) Decision {
	if x.assumed() {
		return x.checked(true)
	}
	slow := a.hasher.slow(stored)
	if slow && a.verified != nil && a.verified.has(stored, password) {
		return x.checked(true)
	}
	if slow && !x.mayBlock {
		x.deferred = true
		return x.goOn()
	}
	match, err := a.hasher.verify(stored, password)
	if err != nil {
		return x.refuse(ReasonInternal, err.Error())
	}
	if match && slow && a.verified != nil {
		a.verified.add(stored, password)
	}
	return x.checked(match)
}

// authenticateCHAP checks CHAP-Password against CHAP-Challenge, or else the
// Request Authenticator (RFC 2865 §5.3, §2.2).
func (x *exchange) authenticateCHAP() Decision {
	challenge := x.request.Packet.CHAPChallenge()
	if x.account == nil {
		return x.checked(false)
	}
	switch x.account.scheme {
	case SchemeCleartext:
		secret := append(x.passwordBuff[:0], x.account.secret()...)
		return x.checked(len(secret) > 0 && radius.VerifyCHAP(x.sent.chapPassword, secret, challenge))
	case SchemeNone:
		return x.refuse(ReasonNoCredential, "the user has no password")
	}
	return x.refuse(ReasonMethodUnavailable, "CHAP needs the password in clear, the user has only a hash")
}

// authenticateMSCHAP checks MS-CHAP-Response or MS-CHAP2-Response.
func (x *exchange) authenticateMSCHAP() Decision {
	if x.method == MethodMSCHAP && x.mschap.response[1] != radius.MSCHAPUseNTResponse {
		return x.unlessUnknown(ReasonMethodUnavailable, "MS-CHAP with an LM response only")
	}
	if x.account == nil {
		return x.checked(false)
	}
	secret := x.account.secret()
	var hash mschap.NTHash
	switch x.account.scheme {
	case SchemeCleartext:
		if secret == "" {
			return x.checked(false)
		}
		hash = mschap.HashPassword(secret)
	case SchemeNTHash:
		if len(secret) != len(hash) {
			return x.checked(false)
		}
		copy(hash[:], secret)
	case SchemeNone:
		return x.refuse(ReasonNoCredential, "the user has no password")
	default:
		return x.refuse(ReasonMethodUnavailable, "MS-CHAP needs the password in clear or an NT hash, the user has another hash")
	}
	if x.method == MethodMSCHAP {
		return x.checked(x.mschap.verifyMSCHAP(&hash))
	}
	return x.checked(x.mschap.verifyMSCHAPv2(&hash, x.username))
}

// authenticateMAC lets a device in that is known by its address alone. The
// Calling-Station-Id must be that address if it is sent. The password must be the
// address in any spelling; it may be empty or absent if the address is confirmed
// by Calling-Station-Id or the request is a Call-Check.
func (x *exchange) authenticateMAC() Decision {
	address := x.account.name()
	var buffer [17]byte
	is := func(raw []byte) bool {
		mac, ok := AppendMAC(buffer[:0], raw)
		return ok && string(mac) == address
	}
	confirmed := x.sent.callingStationID != nil
	if confirmed && !is(x.sent.callingStationID) {
		return x.refuse(ReasonStationNotAllowed, "Calling-Station-Id is another address than the device's")
	}
	bare := confirmed || x.isCallCheck()
	password, isPAP := x.request.AppendUserPassword(x.passwordBuff[:0])
	switch {
	case isPAP && len(password) > 0:
		return x.checked(is(password))
	case x.sent.userPassword != nil && !isPAP:
		return x.refuse(ReasonMalformedRequest, "User-Password is not of 16 to 128 octets in blocks of 16")
	case x.sent.chapPassword != nil:
		// The password is the address as the NAS spells it in User-Name.
		challenge := x.request.Packet.CHAPChallenge()
		return x.checked(radius.VerifyCHAP(x.sent.chapPassword, x.username, challenge) ||
			bare && radius.VerifyCHAP(x.sent.chapPassword, nil, challenge))
	case len(x.mschap.response) > 0:
		return x.refuse(ReasonMethodUnavailable, "MAC authentication goes by PAP or CHAP")
	case bare:
		return x.checked(true)
	}
	return x.refuse(ReasonNoCredential, "no password, and neither Calling-Station-Id nor Call-Check confirms the address")
}

// equalString compares in time that depends on the length of a only.
func equalString(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	var different byte
	for i := range a {
		different |= a[i] ^ b[i]
	}
	return subtle.ConstantTimeByteEq(different, 0) == 1
}
