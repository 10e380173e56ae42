package radius

import "strconv"

// Code says what a packet is (RFC 2865 section 3).
type Code uint8

// The packet codes, by the number that IANA assigned.
const (
	AccessRequest      Code = 1  // RFC 2865
	AccessAccept       Code = 2  // RFC 2865
	AccessReject       Code = 3  // RFC 2865
	AccountingRequest  Code = 4  // RFC 2866
	AccountingResponse Code = 5  // RFC 2866
	AccessChallenge    Code = 11 // RFC 2865
	StatusServer       Code = 12 // RFC 5997
	StatusClient       Code = 13 // RFC 2865, reserved
	DisconnectRequest  Code = 40 // RFC 5176
	DisconnectACK      Code = 41 // RFC 5176
	DisconnectNAK      Code = 42 // RFC 5176
	CoARequest         Code = 43 // RFC 5176
	CoAACK             Code = 44 // RFC 5176
	CoANAK             Code = 45 // RFC 5176
	ProtocolError      Code = 52 // RFC 7930
)

// String returns the name of the code as the RFCs write it, as in
// "Access-Request", or "Code-99" for a code that has none.
func (c Code) String() string {
	switch c {
	case AccessRequest:
		return "Access-Request"
	case AccessAccept:
		return "Access-Accept"
	case AccessReject:
		return "Access-Reject"
	case AccountingRequest:
		return "Accounting-Request"
	case AccountingResponse:
		return "Accounting-Response"
	case AccessChallenge:
		return "Access-Challenge"
	case StatusServer:
		return "Status-Server"
	case StatusClient:
		return "Status-Client"
	case DisconnectRequest:
		return "Disconnect-Request"
	case DisconnectACK:
		return "Disconnect-ACK"
	case DisconnectNAK:
		return "Disconnect-NAK"
	case CoARequest:
		return "CoA-Request"
	case CoAACK:
		return "CoA-ACK"
	case CoANAK:
		return "CoA-NAK"
	case ProtocolError:
		return "Protocol-Error"
	}
	return "Code-" + strconv.Itoa(int(c))
}

// hashedRequest reports whether the Request Authenticator of a packet with this
// code is a hash of the packet under the secret (RFC 2866 section 3, RFC 5176
// section 2.3). That of Access-Request and Status-Server is random.
func (c Code) hashedRequest() bool {
	return c == AccountingRequest || c == DisconnectRequest || c == CoARequest
}

// randomRequest reports whether the Request Authenticator of a packet with this
// code is random (RFC 2865 section 3, RFC 5997 section 3).
func (c Code) randomRequest() bool { return c == AccessRequest || c == StatusServer }

// Answers reports whether a packet with code c may be the response to a request
// with the given code.
func (c Code) Answers(request Code) bool {
	switch request {
	case AccessRequest:
		return c == AccessAccept || c == AccessReject || c == AccessChallenge || c == ProtocolError
	case AccountingRequest:
		return c == AccountingResponse || c == ProtocolError
	case StatusServer: // RFC 5997 section 3
		return c == AccessAccept || c == AccountingResponse || c == ProtocolError
	case DisconnectRequest:
		return c == DisconnectACK || c == DisconnectNAK || c == ProtocolError
	case CoARequest:
		return c == CoAACK || c == CoANAK || c == ProtocolError
	}
	return false
}
