package aaa

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// AuthBatch is decisions on their way to a store, one after the other in one piece
// of memory that holds no pointers. The zero value is empty. It must not be changed
// while somebody reads it.
type AuthBatch struct {
	data []byte // entries, each of a multiple of eight octets
	n    int
}

// AuthEntry is a decision of an AuthBatch: an [AuthRecord] whose texts are slices of
// the batch, valid as long as the batch is not changed.
type AuthEntry struct {
	ID               uuid.UUID
	At               time.Time // in microseconds, in UTC
	Accepted         bool
	Reason           Reason
	Method           Method
	NASID            uuid.UUID
	NASAddr          netip.Addr
	SessionNonce     Nonce
	Username         []byte
	NASPortID        []byte
	CallingStationID []byte
	CalledStationID  []byte
	Detail           []byte
}

// NewAuthBatch returns a batch of the records.
func NewAuthBatch(records ...AuthRecord) *AuthBatch {
	b := new(AuthBatch)
	for i := range records {
		r := &records[i]
		e := AuthEntry{
			ID: r.ID, At: r.At, Accepted: r.Accepted, Reason: r.Reason, Method: r.Method, NASID: r.NASID, NASAddr: r.NASAddr,
			SessionNonce: r.SessionNonce, Username: clipText([]byte(r.Username)), NASPortID: clipText([]byte(r.NASPortID)),
			CallingStationID: clipText([]byte(r.CallingStationID)), CalledStationID: clipText([]byte(r.CalledStationID)),
		}
		detail := clip(r.Detail, maxDetail)
		from, size := len(b.data), e.size(detail)
		b.data = slices.Grow(b.data, size)[:from+size]
		e.put(b.data[from:], detail)
		b.n++
	}
	return b
}

// Len returns how many decisions there are.
func (b *AuthBatch) Len() int { return b.n }

// Reader returns a reader before the first decision.
func (b *AuthBatch) Reader() AuthReader { return AuthReader{rest: b.data} }

// Records returns copies of all decisions.
func (b *AuthBatch) Records() []AuthRecord {
	records := make([]AuthRecord, 0, b.n)
	for r := b.Reader(); r.Next(); {
		records = append(records, r.Record())
	}
	return records
}

// Times yields when the decisions were made, in UTC: of those that follow each other
// in one hour, the first.
func (b *AuthBatch) Times() iter.Seq[time.Time] {
	const hour = int64(time.Hour / time.Microsecond)
	return func(yield func(time.Time) bool) {
		last := int64(math.MinInt64)
		for rest := b.data; len(rest) > 0; rest = rest[entrySize(rest):] {
			at := int64(binary.LittleEndian.Uint64(rest[entryAt:]))
			if at/hour == last {
				continue
			}
			last = at / hour
			if !yield(time.UnixMicro(at).UTC()) {
				return
			}
		}
	}
}

// reset empties the batch and keeps its memory.
func (b *AuthBatch) reset() { b.data, b.n = b.data[:0], 0 }

// AuthReader reads a batch from front to back:
//
//	for r := batch.Reader(); r.Next(); {
//		use(r.Username)
//	}
type AuthReader struct {
	AuthEntry // valid if Next has returned true
	rest      []byte
}

// Next goes on to the next decision, if there is one. What a text column cannot hold
// is replaced in the texts: octets that are not UTF-8, and zero.
func (r *AuthReader) Next() bool {
	if len(r.rest) == 0 {
		return false
	}
	size := entrySize(r.rest)
	r.get(r.rest[:size])
	r.rest = r.rest[size:]
	return true
}

// Record returns a copy of the decision.
func (e *AuthEntry) Record() AuthRecord {
	return AuthRecord{
		ID: e.ID, At: e.At, Username: string(e.Username), Accepted: e.Accepted, Reason: e.Reason, Detail: string(e.Detail), Method: e.Method,
		NASID: e.NASID, NASAddr: e.NASAddr, NASPortID: string(e.NASPortID), CallingStationID: string(e.CallingStationID),
		CalledStationID: string(e.CalledStationID), SessionNonce: e.SessionNonce,
	}
}

// An entry in memory, numbers in little endian: its size, the reason, the method, the
// lengths of the texts, flags, an octet that is free, what is of fixed length, and
// the texts.
const (
	entryReason   = 2
	entryMethod   = 3
	entryLengths  = 4 // user name, port, calling and called station: an octet each
	entryDetail   = 8
	entryFlags    = 10
	entryNonce    = 12
	entryAt       = 24 // µs since 1970
	entryID       = 32
	entryNASID    = 48
	entryNASAddr  = 64
	entryTexts    = 80
	entryAlign    = 8
	maxEntry      = (entryTexts+4*maxEntryText+maxDetail)&^(entryAlign-1) + entryAlign
	maxEntryText  = math.MaxUint8 // an attribute has 253 octets at most
	maxDetail     = 500           // octets
	flagAccepted  = 1
	flagNASAddr   = 2 // an address is given
	flagNASAddrV4 = 4
)

// entrySize is the size of the entry at the front of b.
func entrySize(b []byte) int { return int(binary.LittleEndian.Uint16(b)) }

// size is how many octets put wants. The texts are of maxEntryText octets at most,
// the detail of maxDetail.
func (e *AuthEntry) size(detail string) int {
	n := entryTexts + len(e.Username) + len(e.NASPortID) + len(e.CallingStationID) + len(e.CalledStationID) + len(detail)
	return (n + entryAlign - 1) &^ (entryAlign - 1)
}

// put writes the entry, with another detail, to b, which is of its size.
func (e *AuthEntry) put(b []byte, detail string) {
	_ = b[entryTexts-1]
	binary.LittleEndian.PutUint16(b, uint16(len(b)))
	b[entryReason], b[entryMethod] = byte(e.Reason), byte(e.Method)
	b[entryLengths], b[entryLengths+1] = byte(len(e.Username)), byte(len(e.NASPortID))
	b[entryLengths+2], b[entryLengths+3] = byte(len(e.CallingStationID)), byte(len(e.CalledStationID))
	binary.LittleEndian.PutUint16(b[entryDetail:], uint16(len(detail)))
	var flags byte
	if e.Accepted {
		flags = flagAccepted
	}
	if e.NASAddr.IsValid() {
		flags |= flagNASAddr
		if e.NASAddr.Is4() {
			flags |= flagNASAddrV4
		}
	}
	b[entryFlags] = flags
	copy(b[entryNonce:], e.SessionNonce[:])
	binary.LittleEndian.PutUint64(b[entryAt:], uint64(e.At.UnixMicro()))
	copy(b[entryID:], e.ID[:])
	copy(b[entryNASID:], e.NASID[:])
	addr := e.NASAddr.As16()
	copy(b[entryNASAddr:], addr[:])
	n := entryTexts
	n += copy(b[n:], e.Username)
	n += copy(b[n:], e.NASPortID)
	n += copy(b[n:], e.CallingStationID)
	n += copy(b[n:], e.CalledStationID)
	copy(b[n:], detail)
}

// get reads the entry that b is.
func (e *AuthEntry) get(b []byte) {
	_ = b[entryTexts-1]
	e.Reason, e.Method = Reason(b[entryReason]), Method(b[entryMethod])
	flags := b[entryFlags]
	e.Accepted = flags&flagAccepted != 0
	e.SessionNonce = Nonce(b[entryNonce:])
	e.At = time.UnixMicro(int64(binary.LittleEndian.Uint64(b[entryAt:]))).UTC()
	e.ID = uuid.UUID(b[entryID:entryNASID])
	e.NASID = uuid.UUID(b[entryNASID:entryNASAddr])
	e.NASAddr = netip.Addr{}
	if flags&flagNASAddr != 0 {
		e.NASAddr = netip.AddrFrom16([16]byte(b[entryNASAddr:entryTexts]))
		if flags&flagNASAddrV4 != 0 {
			e.NASAddr = e.NASAddr.Unmap()
		}
	}
	texts := b[entryTexts:]
	for i, text := range [4]*[]byte{&e.Username, &e.NASPortID, &e.CallingStationID, &e.CalledStationID} {
		n := int(b[entryLengths+i])
		*text, texts = texts[:n:n], texts[n:]
	}
	n := int(binary.LittleEndian.Uint16(b[entryDetail:]))
	e.Detail = texts[:n:n]
	if !isPlain(b[entryTexts : len(b)-len(texts)+n]) {
		for _, text := range [5]*[]byte{&e.Username, &e.NASPortID, &e.CallingStationID, &e.CalledStationID, &e.Detail} {
			*text = storable(*text)
		}
	}
}

// isPlain reports whether b is ASCII without a zero.
func isPlain(b []byte) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		// Where no octet has its highest bit set, one that is zero has it set after
		// the subtraction.
		if w := binary.LittleEndian.Uint64(b); (w|(w-low))&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c == 0 || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// storable replaces what a text column cannot hold.
func storable(b []byte) []byte {
	replacement := []byte("\uFFFD")
	if bytes.IndexByte(b, 0) >= 0 {
		b = bytes.ReplaceAll(b, []byte{0}, replacement)
	}
	if utf8.Valid(b) {
		return b
	}
	return bytes.ToValidUTF8(b, replacement)
}

func clipText(b []byte) []byte { return b[:min(len(b), maxEntryText)] }

// clip cuts a text to at most n octets, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// AppendSessionNonce appends the nonce as it is stored: in hex, nothing for none.
func (e *AuthEntry) AppendSessionNonce(b []byte) []byte {
	if e.SessionNonce == (Nonce{}) {
		return b
	}
	return hex.AppendEncode(b, e.SessionNonce[:])
}
