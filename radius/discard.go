package radius

// Discard is why a packet gets no answer. Silence is an answer too, and each has
// its reason and its count; the zero value means that there is none.
type Discard uint8

// The reasons, by the step that finds them.
const (
	// DiscardMalformedHeader: shorter than a header, or a length that is below 20,
	// above 4096 or beyond the datagram (RFC 2865 section 3).
	DiscardMalformedHeader Discard = iota + 1
	// DiscardMalformedAttribute: attributes that do not fill the packet exactly.
	DiscardMalformedAttribute
	// DiscardTooManyAttributes: more than MaxAttributes.
	DiscardTooManyAttributes
	// DiscardUnknownNAS: no NAS has the source address (RFC 2865 section 3).
	DiscardUnknownNAS
	// DiscardWrongCode: a code that is not for this port, or not one at all.
	DiscardWrongCode
	// DiscardMessageAuthenticatorMissing: it is required, by the NAS's setting, by
	// EAP-Message (RFC 3579 section 3.2) or by Status-Server (RFC 5997 section 3).
	DiscardMessageAuthenticatorMissing
	// DiscardMessageAuthenticatorInvalid: wrong, of wrong length, or twice.
	DiscardMessageAuthenticatorInvalid
	// DiscardProxyStateLimited: Proxy-State without Message-Authenticator, which is
	// what the BlastRADIUS attack needs (CVE-2024-3596).
	DiscardProxyStateLimited
	// DiscardAuthenticatorInvalid: a Request Authenticator that the secret does not
	// make (RFC 2866 section 3, RFC 5176 section 2.3), or such a Response
	// Authenticator.
	DiscardAuthenticatorInvalid
	// DiscardDuplicateInProgress: a repeat of a request that is being worked on
	// (RFC 5080 section 2.2.2).
	DiscardDuplicateInProgress
	// DiscardReplaced: the same port and identifier came with a new request before
	// this one was answered (RFC 5080 section 2.2.2).
	DiscardReplaced
	// DiscardOverload: more came than can be handled, and the source had its share of
	// what waits already.
	DiscardOverload
	// DiscardNotRecorded: an accounting record that could not be stored (RFC 2866
	// section 4.1).
	DiscardNotRecorded
	// DiscardForbiddenAttribute: an attribute that this code must not carry.
	DiscardForbiddenAttribute
	// DiscardMissingAttribute: an attribute that this code must carry is not there.
	DiscardMissingAttribute
	// DiscardNotReady: a Status-Server on a port that cannot do its work now
	// (RFC 5997 section 4.2).
	DiscardNotReady
	// DiscardReplyTooLong: the reply does not fit into a packet.
	DiscardReplyTooLong
	// DiscardHandler: the handler ended without an answer.
	DiscardHandler
	// DiscardShutdown: the server stopped before the answer was ready.
	DiscardShutdown

	// discardCount is one more than the last reason.
	discardCount
)

// discardNames are the values of the metric's label.
var discardNames = [discardCount]string{
	0:                                  "none",
	DiscardMalformedHeader:             "malformed_header",
	DiscardMalformedAttribute:          "malformed_attribute",
	DiscardTooManyAttributes:           "too_many_attributes",
	DiscardUnknownNAS:                  "unknown_nas",
	DiscardWrongCode:                   "wrong_code",
	DiscardMessageAuthenticatorMissing: "message_authenticator_missing",
	DiscardMessageAuthenticatorInvalid: "message_authenticator_invalid",
	DiscardProxyStateLimited:           "proxy_state_limited",
	DiscardAuthenticatorInvalid:        "authenticator_invalid",
	DiscardDuplicateInProgress:         "duplicate_in_progress",
	DiscardReplaced:                    "replaced",
	DiscardOverload:                    "overload",
	DiscardNotRecorded:                 "not_recorded",
	DiscardForbiddenAttribute:          "forbidden_attribute",
	DiscardMissingAttribute:            "missing_attribute",
	DiscardNotReady:                    "not_ready",
	DiscardReplyTooLong:                "reply_too_long",
	DiscardHandler:                     "handler",
	DiscardShutdown:                    "shutdown",
}

// String returns the reason in the form that metrics and logs use, as in
// "unknown_nas"; "none" for the zero value.
func (d Discard) String() string {
	if d >= discardCount {
		return "invalid"
	}
	return discardNames[d]
}
