package aaa

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"radiusd/dictionary"
	"radiusd/radius"
)

// coaText is the part of a template that says how to act on a session (RFC 5176),
// as text; see docs/policy.md.
type coaText struct {
	Identify       []coaLineText `yaml:"identify"`
	Without        []string      `yaml:"without"`
	DisconnectOnly bool          `yaml:"disconnect_only"`
}

type coaLineText struct {
	Attribute string `yaml:"attribute"`
	Value     string `yaml:"value"`
	Proxied   bool   `yaml:"proxied"`
}

// coaTemplate says how to act on the sessions of one kind of NAS.
type coaTemplate struct {
	identify       []coaLine
	without        []*dictionary.Attribute // of a plan, what the NAS does not change in a session
	disconnectOnly bool                    // the NAS takes no CoA-Request
}

// coaLine is an attribute that identifies a session to its NAS. It is left out if
// the session does not have it.
type coaLine struct {
	attribute *dictionary.Attribute
	parts     []coaPart // the text of an attribute of a vendor
	value     func(s *Session) []byte
	proxied   bool // only if the request does not go to the address that the NAS gives itself
}

type coaPart struct {
	literal  string
	variable func(s *Session) string // nil: only the literal
}

// sessionAttributes are the attributes that identify a NAS or a session (RFC 5176
// section 3), and where they come from: as the NAS sent them.
var sessionAttributes = map[radius.Type]func(s *Session) []byte{
	radius.TypeUserName:           func(s *Session) []byte { return []byte(s.Username) },
	radius.TypeAcctSessionID:      func(s *Session) []byte { return []byte(s.AcctSessionID) },
	radius.TypeAcctMultiSessionID: func(s *Session) []byte { return []byte(s.AcctMultiSessionID) },
	radius.TypeNASIdentifier:      func(s *Session) []byte { return []byte(s.NASIdentifier) },
	radius.TypeNASPortID:          func(s *Session) []byte { return []byte(s.NASPortID) },
	radius.TypeCallingStationID:   func(s *Session) []byte { return []byte(s.CallingStationID) },
	radius.TypeCalledStationID:    func(s *Session) []byte { return []byte(s.CalledStationID) },
	radius.TypeNASPort: func(s *Session) []byte {
		if s.NASPort == 0 {
			return nil
		}
		return radius.AppendUint32(nil, radius.TypeNASPort, s.NASPort)[2:]
	},
	radius.TypeNASIPAddress:      func(s *Session) []byte { return addressValue(s.NASAddr, 4) },
	radius.TypeNASIPv6Address:    func(s *Session) []byte { return addressValue(s.NASAddr, 16) },
	radius.TypeFramedIPAddress:   func(s *Session) []byte { return addressValue(s.FramedIP, 4) },
	radius.TypeFramedIPv6Address: func(s *Session) []byte { return addressValue(s.FramedIPv6, 16) },
	radius.TypeFramedIPv6Prefix:  func(s *Session) []byte { return prefixValue(s.FramedIPv6Prefix) },
	radius.TypeDelegatedIPv6Prefix: func(s *Session) []byte {
		return prefixValue(s.DelegatedPrefix)
	},
}

// addressValue returns an address of the length in octets, or nothing.
func addressValue(a netip.Addr, length int) []byte {
	if a = a.Unmap(); a.BitLen() != 8*length {
		return nil
	}
	return a.AsSlice()
}

func prefixValue(p netip.Prefix) []byte {
	if !p.IsValid() || !p.Addr().Is6() {
		return nil
	}
	return radius.AppendPrefix(nil, 0, p)[2:]
}

// sessionVariables are what the text of a vendor's attribute may contain.
var sessionVariables = map[string]func(s *Session) string{
	"acct_session_id":       func(s *Session) string { return s.AcctSessionID },
	"acct_multi_session_id": func(s *Session) string { return s.AcctMultiSessionID },
	"username":              func(s *Session) string { return s.Username },
	"nas_identifier":        func(s *Session) string { return s.NASIdentifier },
	"nas_port_id":           func(s *Session) string { return s.NASPortID },
	"calling_station_id":    func(s *Session) string { return s.CallingStationID },
	"called_station_id":     func(s *Session) string { return s.CalledStationID },
	"framed_ip": func(s *Session) string {
		if !s.FramedIP.IsValid() {
			return ""
		}
		return s.FramedIP.String()
	},
}

// extend takes over what another template says.
func (t *coaTemplate) extend(base *coaTemplate) {
	if len(base.identify) > 0 {
		t.identify = base.identify
	}
	t.without = append(t.without, base.without...)
	t.disconnectOnly = t.disconnectOnly || base.disconnectOnly
}

// compileCoA adds what the text says to what the templates say that it extends:
// lines of its own replace theirs, the rest adds up.
func (t *template) compileCoA(dict *dictionary.Dictionary, text *coaText) error {
	if text == nil {
		return nil
	}
	t.coa.disconnectOnly = t.coa.disconnectOnly || text.DisconnectOnly
	if len(text.Identify) > 0 {
		t.coa.identify = nil
	}
	for i, lineText := range text.Identify {
		line, err := compileCoALine(dict, lineText)
		if err != nil {
			return fmt.Errorf("coa, identify, line %d, %s: %w", i+1, lineText.Attribute, err)
		}
		t.coa.identify = append(t.coa.identify, line)
	}
	t.coa.without = slices.Clip(t.coa.without)
	for _, name := range text.Without {
		attribute, err := dict.Resolve(name)
		if err != nil {
			return fmt.Errorf("coa, without: %w", err)
		}
		t.coa.without = append(t.coa.without, attribute)
	}
	return nil
}

func compileCoALine(dict *dictionary.Dictionary, text coaLineText) (coaLine, error) {
	attribute, err := dict.Resolve(text.Attribute)
	if err != nil {
		return coaLine{}, err
	}
	line := coaLine{attribute: attribute, proxied: text.Proxied}
	if len(attribute.OID) == 1 {
		line.value = sessionAttributes[radius.Type(attribute.OID[0])]
		switch {
		case line.value == nil:
			return line, errors.New("does not identify a session (RFC 5176 section 3)")
		case text.Value != "":
			return line, errors.New("takes no value: it is that of the session")
		}
		return line, nil
	}
	if attribute.Encrypt != dictionary.EncryptNone {
		return line, errors.New("is encrypted, which a request that is hashed cannot have")
	}
	if text.Value == "" {
		return line, errors.New("needs a value")
	}
	for rest := text.Value; rest != ""; {
		literal, variable, found := strings.Cut(rest, "{")
		part := coaPart{literal: literal}
		rest = ""
		if found {
			name, after, closed := strings.Cut(variable, "}")
			if part.variable = sessionVariables[name]; part.variable == nil || !closed {
				return line, fmt.Errorf("%q: unknown variable %q", text.Value, name)
			}
			rest = after
		}
		line.parts = append(line.parts, part)
	}
	return line, nil
}

// pair returns the line's attribute for a session; false if it is left out.
func (l *coaLine) pair(s *Session, proxied bool) (dictionary.Pair, bool) {
	pair := dictionary.Pair{Attr: l.attribute, Op: dictionary.OpEq}
	if l.proxied && !proxied {
		return pair, false
	}
	if l.value != nil {
		pair.Value = l.value(s)
		return pair, len(pair.Value) > 0
	}
	var text strings.Builder
	for _, part := range l.parts {
		text.WriteString(part.literal)
		if part.variable == nil {
			continue
		}
		value := part.variable(s)
		if value == "" {
			return pair, false
		}
		text.WriteString(value)
	}
	var err error
	pair.Value, err = l.attribute.ParseValue(text.String())
	return pair, err == nil
}

// identification returns the attributes by which the NAS finds the session. proxied:
// the request goes to another address than the one that the NAS gives itself.
func (t *coaTemplate) identification(s *Session, proxied bool) []dictionary.Pair {
	var pairs []dictionary.Pair
	for i := range t.identify {
		if pair, ok := t.identify[i].pair(s, proxied); ok {
			pairs = append(pairs, pair)
		}
	}
	return pairs
}

// changes reports whether an attribute of a plan changes a session that is open.
func (t *coaTemplate) changes(a *dictionary.Attribute) bool {
	return !slices.Contains(t.without, a) && changeAllowed(a) == nil
}

// changeAllowed refuses attributes that must not be in a CoA-Request or that would
// be taken for the session's identification there (RFC 5176 section 3.6).
func changeAllowed(a *dictionary.Attribute) error {
	if a.Internal {
		return fmt.Errorf("%s never goes into a packet", a.Name)
	}
	if a.Encrypt != dictionary.EncryptNone {
		// The Request Authenticator that it would be encrypted with is a hash over it.
		return fmt.Errorf("%s is encrypted, which a CoA-Request cannot have (RFC 5176 section 2.3)", a.Name)
	}
	if len(a.OID) != 1 {
		return replyAllowed(a)
	}
	t := radius.Type(a.OID[0])
	if _, identifies := sessionAttributes[t]; identifies && t != radius.TypeDelegatedIPv6Prefix {
		return fmt.Errorf("%s identifies the session in a CoA-Request, so it cannot be changed (RFC 5176 section 3)", a.Name)
	}
	switch t {
	case radius.TypeUserPassword, radius.TypeCHAPPassword, radius.TypeCHAPChallenge, radius.TypeARAPPassword,
		radius.TypeAcctStatusType, radius.TypeAcctDelayTime, radius.TypeAcctInputOctets, radius.TypeAcctOutputOctets,
		radius.TypeAcctAuthentic, radius.TypeAcctSessionTime, radius.TypeAcctInputPackets, radius.TypeAcctOutputPackets,
		radius.TypeAcctTerminateCause, radius.TypeAcctLinkCount, radius.TypeAcctInputGigawords, radius.TypeAcctOutputGigawords,
		radius.TypeEAPMessage, radius.TypeProxyState, radius.TypeErrorCause, radius.TypeChargeableUserIdentity, radius.TypeNASPortType:
		return fmt.Errorf("%s does not belong into a CoA-Request (RFC 5176 section 3.6)", a.Name)
	case radius.TypeMessageAuthenticator, radius.TypeEventTimestamp:
		return fmt.Errorf("%s is added to every request", a.Name)
	case radius.TypeFramedInterfaceID:
		return fmt.Errorf("%s identifies the session in a CoA-Request, so it cannot be changed (RFC 5176 section 3)", a.Name)
	}
	return nil
}
