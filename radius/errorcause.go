package radius

import "strconv"

// ErrorCause is why a NAS refuses a Disconnect-Request or CoA-Request (RFC 5176
// section 3.5). Zero: it gives none.
type ErrorCause uint32

// The causes, by the number that IANA assigned.
const (
	ErrorCauseResidualContextRemoved      ErrorCause = 201 // in an ACK
	ErrorCauseInvalidEAPPacket            ErrorCause = 202
	ErrorCauseUnsupportedAttribute        ErrorCause = 401
	ErrorCauseMissingAttribute            ErrorCause = 402
	ErrorCauseNASIdentificationMismatch   ErrorCause = 403
	ErrorCauseInvalidRequest              ErrorCause = 404
	ErrorCauseUnsupportedService          ErrorCause = 405
	ErrorCauseUnsupportedExtension        ErrorCause = 406
	ErrorCauseInvalidAttributeValue       ErrorCause = 407
	ErrorCauseAdministrativelyProhibited  ErrorCause = 501
	ErrorCauseRequestNotRoutable          ErrorCause = 502
	ErrorCauseSessionContextNotFound      ErrorCause = 503
	ErrorCauseSessionContextNotRemovable  ErrorCause = 504
	ErrorCauseProxyProcessingError        ErrorCause = 505
	ErrorCauseResourcesUnavailable        ErrorCause = 506
	ErrorCauseRequestInitiated            ErrorCause = 507
	ErrorCauseMultipleSessionsUnsupported ErrorCause = 508
	ErrorCauseLocationInfoRequired        ErrorCause = 509 // RFC 5580
	ErrorCauseResponseTooBig              ErrorCause = 601 // RFC 7930
)

// errorCauseNames are the names as FreeRADIUS's dictionary has them.
var errorCauseNames = map[ErrorCause]string{
	ErrorCauseResidualContextRemoved:      "Residual-Context-Removed",
	ErrorCauseInvalidEAPPacket:            "Invalid-EAP-Packet",
	ErrorCauseUnsupportedAttribute:        "Unsupported-Attribute",
	ErrorCauseMissingAttribute:            "Missing-Attribute",
	ErrorCauseNASIdentificationMismatch:   "NAS-Identification-Mismatch",
	ErrorCauseInvalidRequest:              "Invalid-Request",
	ErrorCauseUnsupportedService:          "Unsupported-Service",
	ErrorCauseUnsupportedExtension:        "Unsupported-Extension",
	ErrorCauseInvalidAttributeValue:       "Invalid-Attribute-Value",
	ErrorCauseAdministrativelyProhibited:  "Administratively-Prohibited",
	ErrorCauseRequestNotRoutable:          "Proxy-Request-Not-Routable",
	ErrorCauseSessionContextNotFound:      "Session-Context-Not-Found",
	ErrorCauseSessionContextNotRemovable:  "Session-Context-Not-Removable",
	ErrorCauseProxyProcessingError:        "Proxy-Processing-Error",
	ErrorCauseResourcesUnavailable:        "Resources-Unavailable",
	ErrorCauseRequestInitiated:            "Request-Initiated",
	ErrorCauseMultipleSessionsUnsupported: "Multiple-Session-Selection-Unsupported",
	ErrorCauseLocationInfoRequired:        "Location-Info-Required",
	ErrorCauseResponseTooBig:              "Response-Too-Big",
}

// String returns the name, as in "Session-Context-Not-Found", the number if there
// is none, and "" for zero.
func (e ErrorCause) String() string {
	if name, ok := errorCauseNames[e]; ok {
		return name
	}
	if e == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(e), 10)
}

// ErrorCause returns the Error-Cause, or zero if there is none or it is malformed.
// Of several (RFC 5176 section 3.6 allows them in a NAK), the first one counts.
func (a Attributes) ErrorCause() ErrorCause {
	cause, _ := a.Uint32(TypeErrorCause)
	return ErrorCause(cause)
}
