//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
)

// What this program knows of RADIUS. It is written again rather than taken from package
// radius, since a floor and a judge that share their code with what they measure would
// move along with it.

const (
	secret       = "benchmark-secret"
	headerLength = 20

	accessRequest      = 1
	accessAccept       = 2
	accountingRequest  = 4
	accountingResponse = 5

	attrUserName             = 1
	attrUserPassword         = 2
	attrCHAPPassword         = 3
	attrNASIPAddress         = 4
	attrNASPort              = 5
	attrServiceType          = 6
	attrFramedProtocol       = 7
	attrFramedIPAddress      = 8
	attrClass                = 25
	attrVendorSpecific       = 26
	attrSessionTimeout       = 27
	attrCalledStationID      = 30
	attrCallingStationID     = 31
	attrNASIdentifier        = 32
	attrAcctStatusType       = 40
	attrAcctInputOctets      = 42
	attrAcctOutputOctets     = 43
	attrAcctSessionID        = 44
	attrAcctAuthentic        = 45
	attrAcctSessionTime      = 46
	attrAcctInputPackets     = 47
	attrAcctOutputPackets    = 48
	attrAcctTerminateCause   = 49
	attrAcctInputGigawords   = 52
	attrAcctOutputGigawords  = 53
	attrEventTimestamp       = 55
	attrCHAPChallenge        = 60
	attrNASPortType          = 61
	attrMessageAuthenticator = 80
	attrAcctInterimInterval  = 85
	attrNASPortID            = 87
	attrFramedPool           = 88

	vendorMicrosoft     = 311
	msCHAPChallenge     = 11
	msMPPEEncPolicy     = 7
	msMPPEEncTypes      = 8
	msMPPESendKey       = 16
	msMPPERecvKey       = 17
	msCHAP2Response     = 25
	msCHAP2Success      = 26
	vendorMikrotik      = 14988
	mikrotikRateLimit   = 8
	msCHAP2SuccessBytes = 43 // identifier, S= and forty digits
)

// userName is the name of user n, of twelve octets whatever the number.
func userName(n int) string { return fmt.Sprintf("user%08d", n) }

// limited reports whether a user may have one session only; one in ten may.
func limited(user int) bool { return user%10 == 0 }

// appendPassword appends the password of a user: the name turned round, so that a floor
// has something to compare with that it need not look up.
func appendPassword(dst, name []byte) []byte {
	for i := len(name) - 1; i >= 0; i-- {
		dst = append(dst, name[i])
	}
	return dst
}

func appendHeader(dst []byte, code, identifier byte, authenticator *[16]byte) []byte {
	return append(append(dst, code, identifier, 0, 0), authenticator[:]...)
}

// setLength writes the length of a packet that is complete.
func setLength(p []byte) { binary.BigEndian.PutUint16(p[2:], uint16(len(p))) }

func appendAttribute(dst []byte, t byte, value []byte) []byte {
	return append(append(dst, t, byte(2+len(value))), value...)
}

func appendText(dst []byte, t byte, value string) []byte {
	return append(append(dst, t, byte(2+len(value))), value...)
}

func appendInteger(dst []byte, t byte, value uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, t, 6), value)
}

func appendVendor(dst []byte, vendor uint32, t byte, value []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, attrVendorSpecific, byte(8+len(value))), vendor)
	return append(append(dst, t, byte(2+len(value))), value...)
}

// planReply is what the plan of the users adds to an Access-Accept, for a NAS of
// Mikrotik: see planFlags. The floors answer with it as well.
func planReply() []byte {
	reply := appendInteger(nil, attrServiceType, 2)
	reply = appendInteger(reply, attrFramedProtocol, 1)
	reply = appendText(reply, attrFramedPool, planPool)
	reply = appendInteger(reply, attrSessionTimeout, 86400)
	reply = appendInteger(reply, attrAcctInterimInterval, 300)
	return appendVendor(reply, vendorMikrotik, mikrotikRateLimit, []byte(planRate))
}

const (
	planPool = "subscribers"
	planRate = "10M/50M"
)
