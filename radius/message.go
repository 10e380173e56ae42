package radius

import (
	"crypto/rand"
	"fmt"
	"net/netip"
)

// Message is a request that is yet to be given an identifier and signed. The zero
// value with a Code is ready for use. Attributes are added in wire form; the Add
// methods panic as the Append functions do when a value is too long.
type Message struct {
	Code Code
	// Attributes are the encoded attributes. If there is a Message-Authenticator
	// among them, of 16 octets of any content, it is signed where it stands.
	Attributes []byte
	// Authenticator is the Request Authenticator of an Access-Request or
	// Status-Server; zeros are replaced by a random one when it is first needed. For
	// other codes it is not used.
	Authenticator [AuthenticatorLength]byte
	// OmitMessageAuthenticator leaves it to Attributes whether there is a
	// Message-Authenticator. By default it is the first attribute of every request
	// but Accounting-Request, for which RFC 2869 does not define it.
	OmitMessageAuthenticator bool
}

// Add appends an attribute.
func (m *Message) Add(t Type, value []byte) {
	m.Attributes = AppendAttribute(m.Attributes, t, value)
}

// AddString appends an attribute with text.
func (m *Message) AddString(t Type, value string) {
	m.Attributes = AppendString(m.Attributes, t, value)
}

// AddUint32 appends an attribute with an integer.
func (m *Message) AddUint32(t Type, value uint32) {
	m.Attributes = AppendUint32(m.Attributes, t, value)
}

// AddAddr appends an attribute with an IPv4 or IPv6 address.
func (m *Message) AddAddr(t Type, addr netip.Addr) {
	m.Attributes = AppendAddr(m.Attributes, t, addr)
}

// AddVendor appends a Vendor-Specific attribute with one attribute of the vendor.
func (m *Message) AddVendor(vendor uint32, t uint8, value []byte) {
	m.Attributes = AppendVendor(m.Attributes, vendor, t, value)
}

// RequestAuthenticator returns m.Authenticator, which it makes random first if it is
// zeros. Passwords in an Access-Request are encrypted with it.
func (m *Message) RequestAuthenticator() *[AuthenticatorLength]byte {
	if m.Authenticator == zeroAuthenticator {
		rand.Read(m.Authenticator[:])
	}
	return &m.Authenticator
}

// AddUserPassword appends a User-Password, encrypted with the secret of the server
// that the message goes to. A password of more than [MaxPasswordLength] octets is an
// error.
func (m *Message) AddUserPassword(secret []byte, password string) error {
	value, err := NewHasher(secret).AppendEncryptedUserPassword(nil, []byte(password), m.RequestAuthenticator())
	if err != nil {
		return err
	}
	m.Add(TypeUserPassword, value)
	return nil
}

// AddCHAPPassword appends a CHAP-Password that answers the Request Authenticator,
// so that no CHAP-Challenge is needed.
func (m *Message) AddCHAPPassword(identifier uint8, password string) {
	value := CHAPPassword(identifier, []byte(password), m.RequestAuthenticator()[:])
	m.Add(TypeCHAPPassword, value[:])
}

// AppendTo appends the message as a packet, signed with the secret of h. Attributes
// that are not well-formed or do not fit into a packet are an error.
func (m *Message) AppendTo(dst []byte, identifier uint8, h *Hasher) ([]byte, error) {
	authenticator := &zeroAuthenticator
	if m.Code.randomRequest() {
		authenticator = m.RequestAuthenticator()
	}
	start := len(dst)
	dst = AppendHeader(dst, m.Code, identifier, authenticator)
	if !m.OmitMessageAuthenticator && m.Code != AccountingRequest && !Attributes(m.Attributes).Has(TypeMessageAuthenticator) {
		dst = AppendMessageAuthenticator(dst)
	}
	dst = append(dst, m.Attributes...)
	if n := len(dst) - start; n > MaxLength {
		return dst[:start], fmt.Errorf("radius: %v of %d octets, at most %d fit into a packet", m.Code, n, MaxLength)
	}
	SetLength(dst[start:])
	p, discard := Parse(dst[start:])
	if discard != 0 {
		return dst[:start], fmt.Errorf("radius: %v: %v", m.Code, discard)
	}
	for i := HeaderLength; i < len(p); i += int(p[i+1]) {
		if Type(p[i]) == TypeMessageAuthenticator && p[i+1] == messageAuthenticatorLength {
			h.SignMessageAuthenticator(p, i, nil)
			break
		}
	}
	h.SignRequest(p)
	return dst, nil
}
