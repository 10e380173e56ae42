package cli

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"layeh.com/radius/rfc2759"

	"radiusd/radius"
)

// passwordMethods are the methods by which test and bench can log in.
var passwordMethods = []string{"pap", "chap", "mschap", "mschapv2"}

// addPassword adds what proves the password by the method. proof, unless nil,
// checks that an Access-Accept comes from a server that knows the password.
func addPassword(m *radius.Message, method string, secret []byte, name, password string) (proof func(radius.Packet) error, err error) {
	switch method {
	case "pap":
		return nil, m.AddUserPassword(secret, password)
	case "chap":
		var id [1]byte
		rand.Read(id[:])
		m.AddCHAPPassword(id[0], password)
		return nil, nil
	case "mschap":
		return nil, addMSCHAP(m, password)
	case "mschapv2":
		return addMSCHAPv2(m, name, password)
	}
	return nil, fmt.Errorf("unknown method %q", method)
}

// addMSCHAP adds challenge and response of MS-CHAP (RFC 2548 section 2.1.3).
func addMSCHAP(m *radius.Message, password string) error {
	unicode, err := rfc2759.ToUTF16([]byte(password))
	if err != nil {
		return fmt.Errorf("the password is not UTF-8: %w", err)
	}
	var challenge [8]byte
	rand.Read(challenge[:])
	response := make([]byte, radius.MSCHAPResponseLength)
	rand.Read(response[:1])
	response[1] = radius.MSCHAPUseNTResponse
	copy(response[26:], rfc2759.ChallengeResponse(challenge[:], rfc2759.NTPasswordHash(unicode)))
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, challenge[:])
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPResponse, response)
	return nil
}

// addMSCHAPv2 adds challenge and response of MS-CHAPv2 (RFC 2548 section 2.3.2).
// The returned function checks the server's MS-CHAP2-Success.
func addMSCHAPv2(m *radius.Message, name, password string) (func(radius.Packet) error, error) {
	// The hash takes the name without a domain (RFC 2759 section 4).
	user := []byte(name[strings.LastIndexByte(name, '\\')+1:])
	var challenge [16]byte
	rand.Read(challenge[:])
	response := make([]byte, radius.MSCHAPResponseLength)
	rand.Read(response[:1])
	peer := response[2:18]
	rand.Read(peer)
	nt, err := rfc2759.GenerateNTResponse(challenge[:], peer, user, []byte(password))
	if err != nil {
		return nil, fmt.Errorf("the password is not UTF-8: %w", err)
	}
	copy(response[26:], nt)
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, challenge[:])
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Response, response)

	return func(reply radius.Packet) error {
		want, err := rfc2759.GenerateAuthenticatorResponse(challenge[:], peer, nt, user, []byte(password))
		if err != nil {
			return err
		}
		success, ok := reply.Attributes().Vendor(radius.VendorMicrosoft, radius.MSCHAP2Success)
		if !ok {
			return errors.New("the Access-Accept has no MS-CHAP2-Success: the server does not prove that it knows the password")
		}
		if len(success) < 1+len(want) || success[0] != response[0] || subtle.ConstantTimeCompare(success[1:1+len(want)], []byte(want)) != 1 {
			return errors.New("the MS-CHAP2-Success is wrong: the server does not know the password")
		}
		return nil
	}, nil
}
