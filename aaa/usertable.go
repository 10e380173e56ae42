package aaa

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/google/uuid"
)

// account is a user as a decision uses it. Its text lies in the directory's memory
// and stays valid as long as it is held.
type account struct {
	id           uuid.UUID
	text         string // the name, then the credential's secret
	rules        *accountRules
	expires      int64  // Unix microseconds; math.MaxInt64: never
	plan         uint32 // place in the catalog; zero: no plan
	simultaneous int32  // zero leaves it to the plan
	nameLength   uint16
	status       UserStatus
	suspension   Suspension
	scheme       Scheme
}

// accountRules are what few users have: items and groups of their own.
type accountRules struct {
	policy policy
	groups []uint32 // places in the catalog, by ascending priority
}

func (a *account) name() string   { return a.text[:a.nameLength] }
func (a *account) secret() string { return a.text[a.nameLength:] }

// expiresAt returns the zero time for never.
func (a *account) expiresAt() time.Time {
	if a.expires == math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMicro(a.expires).UTC()
}

// userTable finds accounts by name. Any number of goroutines read it without a lock
// while one changes it.
//
// A name's hash picks one of a fixed number of segments. A segment is a small table
// with the records of its accounts packed one after another behind it. Records are
// added and never changed; a segment that is full, of records or of such that are no
// longer in use, is written anew and replaced as a whole. So nothing takes longer with
// a million users than with a thousand, the garbage collector sees a few thousand
// objects without pointers in place of millions, and a look-up goes to memory twice:
// for the slot and for the record.
type userTable struct {
	seed     maphash.Seed
	segments [userSegments]atomic.Pointer[userSegment]
	byID     map[uuid.UUID]uint64 // the hash of the user's name; for the writer alone
	live     atomic.Int64
	// codes has the users who are vouchers by the hash of their code; in it, the secret is
	// the user's name. Nil in codes itself.
	codes *userTable
}

const (
	userSegmentBits = 11
	userSegments    = 1 << userSegmentBits
)

// userSegment holds the accounts whose names' hashes begin alike.
type userSegment struct {
	slots []atomic.Uint32 // a power of two of them, never full
	data  []byte          // records; its length is what it has room for
	rules []*accountRules // of the records that have some; place zero means none

	// For the writer alone:
	used      int // of data
	usedRules int
	filled    int // slots that are not empty
}

// A slot has the bits of the hash that tell names apart, and where the record is, in
// units of its alignment.
const (
	slotOffsetBits = 22
	slotTagBits    = 32 - slotOffsetBits
	slotEmpty      = 0
	slotRemoved    = 1 // the account is gone, and probing goes on past it
	recordAlign    = 8
	recordFirst    = 2 * recordAlign // so that no slot of a record is empty or removed
	maxSegmentData = 1 << slotOffsetBits * recordAlign
)

// A record is, in this order: id, expires, plan, simultaneous, rules (their place in
// the segment), the lengths of name and secret, status with suspension, scheme, name,
// secret.
const recordHeader = 16 + 8 + 4 + 4 + 4 + 2 + 2 + 1 + 1

// errSegmentFull means that a segment cannot hold another record.
var errSegmentFull = errors.New("the directory has no room for the user")

func newUserTable() *userTable {
	codes := &userTable{seed: maphash.MakeSeed(), byID: map[uuid.UUID]uint64{}}
	return &userTable{seed: maphash.MakeSeed(), byID: map[uuid.UUID]uint64{}, codes: codes}
}

func (t *userTable) segment(hash uint64) *atomic.Pointer[userSegment] {
	return &t.segments[hash>>(64-userSegmentBits)]
}

// slotTag takes bits of the hash that pick neither the segment nor the slot.
func slotTag(hash uint64) uint32 {
	return uint32(hash >> (64 - userSegmentBits - slotTagBits) << slotOffsetBits)
}

const slotTagMask = math.MaxUint32 << slotOffsetBits & math.MaxUint32

func slotOffset(slot uint32) int { return int(slot&^slotTagMask) * recordAlign }

// get sets a to the account with the name and reports whether there is one.
func (t *userTable) get(name []byte, a *account) bool {
	hash := maphash.Bytes(t.seed, name)
	s := t.segment(hash).Load()
	if s == nil {
		return false
	}
	tag, mask := slotTag(hash), uint64(len(s.slots)-1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := s.slots[i].Load()
		if slot == slotEmpty {
			return false
		}
		if slot&slotTagMask == tag && slot != slotRemoved {
			if offset := slotOffset(slot); string(s.name(offset)) == string(name) {
				s.read(offset, a)
				return true
			}
		}
	}
}

// prefetchMost is how many names prefetch takes at most.
const prefetchMost = 32

// prefetch reads what get will read for each of the names. It does so in steps, so
// that the processor waits for all of them at once and not for one after the other.
func (t *userTable) prefetch(names [][]byte) {
	var hashes [prefetchMost]uint64
	var segments [prefetchMost]*userSegment
	var offsets [prefetchMost]int
	for i, name := range names {
		hashes[i] = maphash.Bytes(t.seed, name)
		segments[i] = t.segment(hashes[i]).Load()
	}
	for i := range names {
		if s := segments[i]; s != nil {
			offsets[i] = slotOffset(s.slots[hashes[i]&uint64(len(s.slots)-1)].Load())
		}
	}
	var sum byte
	for i := range names {
		if s := segments[i]; s != nil {
			// The record, and the cache line after its first: most end there.
			sum += s.data[offsets[i]] + s.data[min(offsets[i]+63, len(s.data)-1)]
		}
	}
	runtime.KeepAlive(sum)
}

// name returns the name in the record at the offset.
func (s *userSegment) name(offset int) []byte {
	r := s.data[offset:]
	return r[recordHeader:][:binary.LittleEndian.Uint16(r[36:])]
}

// record returns the record at the offset.
func (s *userSegment) record(offset int) []byte {
	r := s.data[offset:]
	return r[:recordSize(int(binary.LittleEndian.Uint16(r[36:]))+int(binary.LittleEndian.Uint16(r[38:])))]
}

// read takes the record at the offset apart.
func (s *userSegment) read(offset int, a *account) {
	r := (*[recordHeader]byte)(s.data[offset:])
	a.id = uuid.UUID(r[:16])
	a.expires = int64(binary.LittleEndian.Uint64(r[16:]))
	a.plan = binary.LittleEndian.Uint32(r[24:])
	a.simultaneous = int32(binary.LittleEndian.Uint32(r[28:]))
	a.rules = nil
	if place := binary.LittleEndian.Uint32(r[32:]); place != 0 {
		a.rules = s.rules[place]
	}
	a.nameLength = binary.LittleEndian.Uint16(r[36:])
	a.status, a.suspension, a.scheme = UserStatus(r[40]&0xf), Suspension(r[40]>>4), Scheme(r[41])
	text := s.data[offset+recordHeader:][:int(a.nameLength)+int(binary.LittleEndian.Uint16(r[38:]))]
	// What a record holds is never changed, as a string must not be.
	a.text = unsafe.String(unsafe.SliceData(text), len(text))
}

// rulesPlace returns where the rules of the record at the offset are; zero: it has none.
func (s *userSegment) rulesPlace(offset int) uint32 {
	return binary.LittleEndian.Uint32(s.data[offset+32:])
}

// setRules gives a record that is not published yet its rules.
func (s *userSegment) setRules(offset int, rules *accountRules) {
	binary.LittleEndian.PutUint32(s.data[offset+32:], uint32(s.usedRules))
	s.rules[s.usedRules] = rules
	s.usedRules++
}

// recordSize is how much room a record takes with so many octets of name and secret.
func recordSize(text int) int {
	return (recordHeader + text + recordAlign - 1) &^ (recordAlign - 1)
}

// append writes a record, for which there is room, and returns its offset.
func (s *userSegment) append(a *account) (offset int) {
	offset = s.used
	r := s.data[offset:]
	copy(r, a.id[:])
	binary.LittleEndian.PutUint64(r[16:], uint64(a.expires))
	binary.LittleEndian.PutUint32(r[24:], a.plan)
	binary.LittleEndian.PutUint32(r[28:], uint32(a.simultaneous))
	if a.rules != nil {
		s.setRules(offset, a.rules)
	}
	binary.LittleEndian.PutUint16(r[36:], a.nameLength)
	binary.LittleEndian.PutUint16(r[38:], uint16(len(a.text)-int(a.nameLength)))
	r[40], r[41] = byte(a.status)|byte(a.suspension)<<4, byte(a.scheme)
	copy(r[recordHeader:], a.text)
	s.used += recordSize(len(a.text))
	return offset
}

// put publishes an account in place of the one with the same id, whatever its name
// was. The new name is found before the old one is gone. Name and secret may have
// math.MaxUint16 octets each.
func (t *userTable) put(a *account) error {
	hash := maphash.String(t.seed, a.name())
	if err := t.insert(hash, a); err != nil {
		return err
	}
	if old, ok := t.byID[a.id]; ok {
		t.clear(old, a.id, a.name())
	}
	t.byID[a.id] = hash
	return nil
}

// remove takes the account with the id out, if there is one.
func (t *userTable) remove(id uuid.UUID) {
	if hash, ok := t.byID[id]; ok {
		t.clear(hash, id, "")
		delete(t.byID, id)
	}
	if t.codes != nil {
		t.codes.remove(id)
	}
}

func (t *userTable) insert(hash uint64, a *account) error {
	published := t.segment(hash)
	s := published.Load()
	if s == nil || !s.hasRoom(a) {
		renewed, err := s.renew(t.seed, a)
		if err != nil {
			return err
		}
		s = renewed
		published.Store(s)
	}
	slot := slotTag(hash) | uint32(s.append(a)/recordAlign)
	mask := uint64(len(s.slots) - 1)
	var free *atomic.Uint32
	for i := hash & mask; ; i = (i + 1) & mask {
		switch other := s.slots[i].Load(); {
		case other == slotEmpty:
			if free == nil {
				free = &s.slots[i]
				s.filled++
			}
			free.Store(slot)
			t.live.Add(1)
			return nil
		case other == slotRemoved:
			if free == nil {
				free = &s.slots[i]
			}
		case other&slotTagMask == slotTag(hash) && string(s.name(slotOffset(other))) == a.name():
			s.slots[i].Store(slot)
			return nil
		}
	}
}

// clear empties the slots of the account with the id whose name has the hash, but
// that of the name to keep.
func (t *userTable) clear(hash uint64, id uuid.UUID, keep string) {
	s := t.segment(hash).Load()
	mask := uint64(len(s.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := s.slots[i].Load()
		if slot == slotEmpty {
			return
		}
		if slot == slotRemoved || slot&slotTagMask != slotTag(hash) {
			continue
		}
		offset := slotOffset(slot)
		if bytes.Equal(s.data[offset:offset+len(id)], id[:]) && string(s.name(offset)) != keep {
			s.slots[i].Store(slotRemoved)
			t.live.Add(-1)
		}
	}
}

// hasRoom reports whether the account fits in, and a quarter of the slots stays empty.
func (s *userSegment) hasRoom(a *account) bool {
	return 4*(s.filled+1) <= 3*len(s.slots) && s.used+recordSize(len(a.text)) <= len(s.data) &&
		(a.rules == nil || s.usedRules < len(s.rules))
}

// renew returns the segment with room for another account, and some more, without
// what is no longer in use. s may be nil.
func (s *userSegment) renew(seed maphash.Seed, another *account) (*userSegment, error) {
	live, size, rules := 1, recordSize(len(another.text)), 0
	if another.rules != nil {
		rules = 1
	}
	for offset := range s.records {
		live++
		size += len(s.record(offset))
		if s.rulesPlace(offset) != 0 {
			rules++
		}
	}
	size += recordFirst + max(size/8, 2*recordHeader)&^(recordAlign-1)
	if size > maxSegmentData {
		return nil, errSegmentFull
	}
	if rules > 0 {
		rules += 1 + rules/8 + 1
	}
	slots := 4
	for 2*slots < 3*live {
		slots *= 2
	}
	renewed := &userSegment{
		slots: make([]atomic.Uint32, slots), data: make([]byte, size), rules: make([]*accountRules, rules),
		used: recordFirst, usedRules: 1, filled: live - 1,
	}
	mask := uint64(slots - 1)
	for offset := range s.records {
		hash := maphash.Bytes(seed, s.name(offset))
		i := hash & mask
		for renewed.slots[i].Load() != slotEmpty {
			i = (i + 1) & mask
		}
		copied := renewed.used
		renewed.used += copy(renewed.data[copied:], s.record(offset))
		if place := s.rulesPlace(offset); place != 0 {
			renewed.setRules(copied, s.rules[place])
		}
		renewed.slots[i].Store(slotTag(hash) | uint32(copied/recordAlign))
	}
	return renewed, nil
}

// records yields the offsets of the records in use.
func (s *userSegment) records(yield func(offset int) bool) {
	if s == nil {
		return
	}
	for i := range s.slots {
		if slot := s.slots[i].Load(); slot != slotEmpty && slot != slotRemoved && !yield(slotOffset(slot)) {
			return
		}
	}
}

// each calls fn for every account that is in the table throughout the call. The
// account is valid during the call.
func (t *userTable) each(fn func(*account) error) error {
	var a account
	for i := range t.segments {
		s := t.segments[i].Load()
		for offset := range s.records {
			s.read(offset, &a)
			if err := fn(&a); err != nil {
				return err
			}
		}
	}
	return nil
}
