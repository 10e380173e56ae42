package aaa

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Provenance says which event each descriptive attribute of a session is from.
// Attributes may change during a session and be missing from some records; the
// kept value is the one of the latest event that had it, whatever order the
// records came in. The zero value has no attributes. It is a value as database/sql
// takes and scans it: some 20 octets.
type Provenance struct {
	at [attributeCount]int64 // event time in µs since 1970; zero: no value
}

// attribute is a descriptive attribute of a session. The numbers stand in
// stored Provenances: add at the end only.
type attribute uint8

const (
	attrUsername attribute = iota
	attrMultiSessionID
	attrNASID
	attrNASAddr
	attrNASIdentifier
	attrNASPort
	attrNASPortID
	attrFramedIP
	attrFramedIPv6
	attrFramedIPv6Prefix
	attrDelegatedPrefix
	attrCallingStationID
	attrCalledStationID
	attrClass
	attrPlan
	attributeCount
)

const provenanceVersion = 1

// AppendTo appends the stored form.
func (p *Provenance) AppendTo(b []byte) []byte {
	latest := slices.Max(p.at[:])
	b = append(b, provenanceVersion, byte(attributeCount))
	b = binary.AppendVarint(b, latest)
	for _, at := range p.at {
		if at == 0 {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, uint64(latest-at)+1)
		}
	}
	return b
}

var errProvenance = errors.New("malformed session provenance")

// parse reads what AppendTo wrote and returns the octets after it.
func (p *Provenance) parse(b []byte) (rest []byte, err error) {
	*p = Provenance{}
	if len(b) < 2 || b[0] != provenanceVersion {
		return nil, errProvenance
	}
	count := int(b[1])
	latest, n := binary.Varint(b[2:])
	if n <= 0 {
		return nil, errProvenance
	}
	b = b[2+n:]
	for i := range count {
		lag, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errProvenance
		}
		b = b[n:]
		if i < len(p.at) && lag != 0 {
			p.at[i] = latest - int64(lag-1)
		}
	}
	return b, nil
}

// Value implements driver.Valuer.
func (p Provenance) Value() (driver.Value, error) { return p.AppendTo(nil), nil }

// Scan implements sql.Scanner; NULL and the empty value are the zero Provenance.
func (p *Provenance) Scan(src any) error {
	var b []byte
	switch v := src.(type) {
	case nil:
	case []byte:
		b = v
	case string:
		b = []byte(v)
	default:
		return fmt.Errorf("scan session provenance from %T", src)
	}
	if len(b) == 0 {
		*p = Provenance{}
		return nil
	}
	rest, err := p.parse(b)
	if err == nil && len(rest) != 0 {
		err = errProvenance
	}
	return err
}

// takes decides whether a value of an event at the given time replaces the one
// that is kept. Of two values of the same time the greater is kept.
func (p *Provenance) takes(a attribute, at int64, order int) bool {
	if kept := p.at[a]; kept != 0 && (at < kept || at == kept && order <= 0) {
		return false
	}
	p.at[a] = at
	return true
}

func (p *Provenance) mergeString(a attribute, at int64, kept *string, sent string) {
	if sent != "" && p.takes(a, at, strings.Compare(sent, *kept)) {
		*kept = sent
	}
}

func (p *Provenance) mergeBytes(a attribute, at int64, kept *[]byte, sent []byte) {
	if len(sent) != 0 && p.takes(a, at, slices.Compare(sent, *kept)) {
		*kept = sent
	}
}

func (p *Provenance) mergeAddr(a attribute, at int64, kept *netip.Addr, sent netip.Addr) {
	if sent.IsValid() && p.takes(a, at, sent.Compare(*kept)) {
		*kept = sent
	}
}

func (p *Provenance) mergePrefix(a attribute, at int64, kept *netip.Prefix, sent netip.Prefix) {
	if sent.IsValid() && p.takes(a, at, sent.Compare(*kept)) {
		*kept = sent
	}
}

func (p *Provenance) mergeUint32(a attribute, at int64, kept *uint32, sent uint32) {
	if sent != 0 && p.takes(a, at, int(int64(sent)-int64(*kept))) {
		*kept = sent
	}
}

func (p *Provenance) mergeID(a attribute, at int64, kept *uuid.UUID, sent uuid.UUID) {
	if sent != uuid.Nil && p.takes(a, at, slices.Compare(sent[:], kept[:])) {
		*kept = sent
	}
}
