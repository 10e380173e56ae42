package aaa

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"radiusd/dictionary"
	"radiusd/radius"
)

// Bounds of what is believed of a NAS's clock.
const (
	clockAhead  = time.Hour          // Event-Timestamp may be later than receipt by this
	clockBehind = 7 * 24 * time.Hour // and earlier by this, with records that were kept back
	// clockUnset: an Event-Timestamp before 2000 is from a clock that nobody has
	// set since power came on. It orders nothing and is taken as not sent.
	clockUnset = 946684800
	// clockImpossible is how far ahead an Event-Timestamp is taken as not sent too. No
	// time zone that a NAS takes for UTC explains more, and an Accounting-On from
	// there would end all sessions until then.
	clockImpossible = 24 * time.Hour
	// longestDelay bounds Acct-Delay-Time; more is a defect of the NAS.
	longestDelay = 366 * 24 * time.Hour
)

// A Decoder makes Records of the journal's envelopes. It may be used by many
// goroutines.
type Decoder struct{ causes []string }

// NewDecoder takes the names of Acct-Terminate-Cause from the dictionary.
func NewDecoder(d *dictionary.Dictionary) *Decoder {
	var causes []string
	if attribute, ok := d.ByType(uint8(radius.TypeAcctTerminateCause)); ok {
		for _, v := range attribute.Values() {
			if n := int(v.Number); n < 1<<16 {
				for len(causes) <= n {
					causes = append(causes, "")
				}
				causes[n] = v.Name
			}
		}
	}
	return &Decoder{causes: causes}
}

// Decode reads an envelope into r; SessionID and ID are for a Resolver to fill
// in. r shares no memory with envelope. malformed is the number of attributes that
// were left out because their value is not what their type has. An error says that
// the envelope tells of no record at all.
func (d *Decoder) Decode(envelope []byte, r *Record) (malformed int, err error) {
	return d.decode(envelope, r, false)
}

// DecodeView is Decode for a record that is looked at and not kept: its strings and
// Class share memory with envelope, and change with it.
func (d *Decoder) DecodeView(envelope []byte, r *Record) (malformed int, err error) {
	return d.decode(envelope, r, true)
}

func (d *Decoder) decode(envelope []byte, r *Record, view bool) (malformed int, err error) {
	e, err := ParseEnvelope(envelope)
	if err != nil {
		return 0, err
	}
	if e.Packet.Code() != radius.AccountingRequest {
		return 0, fmt.Errorf("%w: %s", errEnvelope, e.Packet.Code())
	}
	f := recordFields{d: d, r: r, attributes: e.Packet.Attributes(), view: view}
	if view {
		f.text = unsafe.String(unsafe.SliceData(f.attributes), len(f.attributes))
	} else {
		f.text = string(f.attributes)
	}
	*r = Record{NASID: e.NASID, NASAddr: e.Source, ReceivedAt: e.Received}
	f.read()
	if r.Status == 0 {
		return f.malformed, errors.New("accounting record without a known Acct-Status-Type")
	}
	f.total(&r.InputOctets, f.inputGigawords)
	f.total(&r.OutputOctets, f.outputGigawords)
	f.eventTime()
	return f.malformed, nil
}

// recordFields collects what the attributes say.
type recordFields struct {
	d          *Decoder
	r          *Record
	attributes radius.Attributes
	text       string // the attributes as a string that the record's strings share
	view       bool   // Class shares memory with the attributes
	malformed  int

	seen                            [4]uint64 // types of which the first one counted
	inputGigawords, outputGigawords uint32
	timestamp                       uint32 // Event-Timestamp
}

// first reports whether this is the first attribute of its type, and notes it. In
// accounting each of them stands at most once (RFC 2866 §5.13), Class aside.
func (f *recordFields) first(t radius.Type) bool {
	word, bit := t>>6, uint64(1)<<(t&63)
	if f.seen[word]&bit != 0 {
		return false
	}
	f.seen[word] |= bit
	return true
}

func (f *recordFields) read() {
	offset := 0
	for t, value := range f.attributes.All() {
		offset += 2
		text := f.text[offset : offset+len(value)]
		offset += len(value)
		if wanted(t) && (f.first(t) || t == radius.TypeClass) && !f.set(t, value, text) {
			f.malformed++
		}
	}
}

// wanted reports whether the type is one that a Record has.
func wanted(t radius.Type) bool {
	switch t {
	case radius.TypeUserName, radius.TypeNASIPAddress, radius.TypeNASPort, radius.TypeFramedIPAddress,
		radius.TypeClass, radius.TypeCalledStationID, radius.TypeCallingStationID, radius.TypeNASIdentifier,
		radius.TypeAcctStatusType, radius.TypeAcctDelayTime, radius.TypeAcctInputOctets, radius.TypeAcctOutputOctets,
		radius.TypeAcctSessionID, radius.TypeAcctSessionTime, radius.TypeAcctInputPackets, radius.TypeAcctOutputPackets,
		radius.TypeAcctTerminateCause, radius.TypeAcctMultiSessionID, radius.TypeAcctInputGigawords,
		radius.TypeAcctOutputGigawords, radius.TypeEventTimestamp, radius.TypeNASPortID, radius.TypeNASIPv6Address,
		radius.TypeFramedIPv6Prefix, radius.TypeDelegatedIPv6Prefix, radius.TypeFramedIPv6Address:
		return true
	}
	return false
}

// set takes one attribute and reports false if its value is malformed.
func (f *recordFields) set(t radius.Type, value []byte, text string) bool {
	r := f.r
	switch t {
	case radius.TypeUserName:
		r.Username = plainText(text)
	case radius.TypeAcctSessionID:
		r.AcctSessionID = plainText(text)
	case radius.TypeAcctMultiSessionID:
		r.AcctMultiSessionID = plainText(text)
	case radius.TypeNASIdentifier:
		r.NASIdentifier = plainText(text)
	case radius.TypeNASPortID:
		r.NASPortID = plainText(text)
	case radius.TypeCalledStationID:
		r.CalledStationID = plainText(text)
	case radius.TypeCallingStationID:
		r.CallingStationID = plainText(text)
	case radius.TypeClass:
		_, ours := ParseClass(value)
		if _, had := ParseClass(r.Class); r.Class == nil || ours && !had {
			if r.Class = value; !f.view {
				r.Class = []byte(text)
			}
		}
	case radius.TypeNASIPAddress:
		return f.nasAddr(value, 4)
	case radius.TypeNASIPv6Address:
		return f.nasAddr(value, 16)
	case radius.TypeFramedIPAddress:
		return setAddr(&r.FramedIP, value, 4)
	case radius.TypeFramedIPv6Address:
		return setAddr(&r.FramedIPv6, value, 16)
	case radius.TypeFramedIPv6Prefix:
		return f.prefix(&r.FramedIPv6Prefix, t)
	case radius.TypeDelegatedIPv6Prefix:
		return f.prefix(&r.DelegatedPrefix, t)
	default:
		if len(value) != 4 {
			return false
		}
		return f.setNumber(t, binary.BigEndian.Uint32(value))
	}
	return true
}

// setNumber takes an attribute of the type integer or date.
func (f *recordFields) setNumber(t radius.Type, n uint32) bool {
	r := f.r
	switch t {
	case radius.TypeAcctStatusType:
		r.Status = knownStatus(n)
		return r.Status != 0
	case radius.TypeNASPort:
		r.NASPort = n
	case radius.TypeAcctDelayTime:
		r.Delay = time.Duration(n) * time.Second
		if r.Delay > longestDelay {
			r.Delay = 0
			return false
		}
	case radius.TypeEventTimestamp:
		f.timestamp = n
	case radius.TypeAcctSessionTime:
		r.HasSeconds, r.SessionSeconds = true, uint64(n)
	case radius.TypeAcctInputOctets:
		r.HasOctets, r.InputOctets = true, uint64(n)
	case radius.TypeAcctOutputOctets:
		r.HasOctets, r.OutputOctets = true, uint64(n)
	case radius.TypeAcctInputGigawords:
		r.HasGigawords, r.HasOctets, f.inputGigawords = true, true, n
	case radius.TypeAcctOutputGigawords:
		r.HasGigawords, r.HasOctets, f.outputGigawords = true, true, n
	case radius.TypeAcctInputPackets:
		r.InputPackets = uint64(n)
	case radius.TypeAcctOutputPackets:
		r.OutputPackets = uint64(n)
	case radius.TypeAcctTerminateCause:
		r.TerminateCause = f.d.cause(n)
	}
	return true
}

// nasAddr: NAS-IP-Address counts before NAS-IPv6-Address, and the unspecified
// address is none.
func (f *recordFields) nasAddr(value []byte, length int) bool {
	addr, ok := netip.AddrFromSlice(value)
	if !ok || len(value) != length {
		return false
	}
	if length == 16 && f.seenType(radius.TypeNASIPAddress) && f.r.NASAddr.Is4() {
		return true
	}
	if addr = addr.Unmap(); !addr.IsUnspecified() {
		f.r.NASAddr = addr
	}
	return true
}

// prefix: bits set past the prefix's length occur in the field and are cleared.
func (f *recordFields) prefix(kept *netip.Prefix, t radius.Type) bool {
	prefix, ok := f.attributes.Prefix(t)
	if ok {
		*kept = prefix
	}
	return ok
}

func (f *recordFields) seenType(t radius.Type) bool { return f.seen[t>>6]&(1<<(t&63)) != 0 }

// total adds the gigawords to the octets (RFC 2869 §5.1, §5.2). The sum stays
// within what SQL's integers hold, so a NAS that sends 0xFFFFFFFF gigawords has
// sent very much and not less than nothing.
func (f *recordFields) total(octets *uint64, gigawords uint32) {
	*octets = min(*octets+uint64(gigawords)<<32, math.MaxInt64)
}

// eventTime: Event-Timestamp if it was sent, and Acct-Delay-Time is not subtracted
// from it; else receipt less Acct-Delay-Time (RFC 2866 §5.2, RFC 2869 §5.3).
func (f *recordFields) eventTime() {
	r := f.r
	r.EventTime = time.Unix(int64(f.timestamp), 0).UTC()
	if f.timestamp < clockUnset || r.EventTime.Sub(r.ReceivedAt) > clockImpossible {
		r.EventTime, r.EventDerived = r.ReceivedAt.Add(-r.Delay), true
		r.ClockOff = f.seenType(radius.TypeEventTimestamp)
	}
	if ahead := r.EventTime.Sub(r.ReceivedAt); ahead > clockAhead || ahead < -clockBehind {
		r.ClockOff = true
	}
}

// cause returns the name of an Acct-Terminate-Cause, or its number.
func (d *Decoder) cause(n uint32) string {
	if int64(n) < int64(len(d.causes)) && d.causes[n] != "" {
		return d.causes[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

func setAddr(addr *netip.Addr, value []byte, length int) bool {
	a, ok := netip.AddrFromSlice(value)
	if !ok || len(value) != length {
		return false
	}
	// 0.0.0.0 and :: are sent before an address is known; 255.255.255.255 and
	// 255.255.255.254 ask for one (RFC 2865 §5.8).
	if !a.IsUnspecified() && a != anyAddress && a != nasSelected {
		*addr = a
	}
	return true
}

var (
	anyAddress  = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	nasSelected = netip.AddrFrom4([4]byte{255, 255, 255, 254})
)

// isPlainText reports whether plainText would change nothing.
func isPlainText[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 || s[i] >= utf8.RuneSelf {
			return utf8.ValidString(string(s)) && strings.IndexByte(string(s), 0) < 0
		}
	}
	return true
}

// plainText makes text of a value: what is not UTF-8, and the NUL that SQL does
// not take, is written as \xNN, so that different values stay different.
func plainText(s string) string {
	if isPlainText(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		if c == 0 || c == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}
