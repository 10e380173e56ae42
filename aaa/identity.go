package aaa

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Acct-Session-Ids repeat: between NASes, and on one NAS after it has rebooted.
// A session is therefore identified by the nonce that this server put into Class,
// together with Acct-Session-Id; or, when the NAS returns no Class of ours, by
// NAS, Acct-Session-Id, user name and boot epoch: the time of the latest
// Accounting-On of that NAS. What some NASes change during a session (NAS-Port,
// addresses) is no part of it.
//
// The start of a session that Acct-Session-Time gives is no part of it either:
// it differs by seconds from record to record, and test tools make it up.

// A Resolver gives records their SessionID and ID. It knows the boots of every
// NAS. The live sessions feed it, in the order of the journal, and every sink asks
// it, so that all agree. All methods are safe for concurrent use.
//
// One case needs more than the time of the boots: an Accounting-On that comes
// after the first records of sessions that began after it. Those sessions are
// pinned to the epoch they were first seen in, so that they are not torn in two.
type Resolver struct {
	mu    sync.RWMutex
	boots map[nasKey][]bootEpoch // ascending by time
}

// nasKey is what accounting means by a NAS. The identifier is empty for
// everything behind an address. Behind NAT, NASes that are several in the directory
// may well have the same private address and the same identifier, the maker's.
type nasKey struct {
	id         uuid.UUID // the directory's
	addr       netip.Addr
	identifier string
}

type bootEpoch struct {
	at     time.Time
	status AcctStatus
	seen   time.Time               // when the store had it; known only to those who Learn
	pinned map[sessionKey]struct{} // sessions later than this On that belong to an earlier epoch
}

// sessionKey is what identifies a session without Class within an epoch.
type sessionKey struct{ acctSessionID, username string }

const (
	// bootsKept is how many boots of a NAS are remembered. The epoch of sessions
	// that began before all of them is lost.
	bootsKept = 64
	// bootJitter is how far apart the times of one boot can be that come from two
	// copies of its record, when they were derived from Acct-Delay-Time.
	bootJitter = 2 * time.Second
)

// NewResolver returns a Resolver that knows no boots.
func NewResolver() *Resolver { return &Resolver{boots: make(map[nasKey][]bootEpoch)} }

// Resolve fills in the record's SessionID and ID. An Accounting-On or -Off that
// is a late copy of one already known gets its time as well.
func (v *Resolver) Resolve(r *Record) {
	v.resolveSession(r)
	if r.Status.boot() {
		r.ID = bootRecordID(r)
		return
	}
	r.ID = recordID(r)
	if !r.Status.session() {
		r.SessionID = uuid.Nil
	}
}

// resolveSession fills in what Resolve does but for the ID; a record that belongs to no
// session has the one it would belong to.
func (v *Resolver) resolveSession(r *Record) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	v.resolve(r)
}

// resolveSessions is resolveSession for the records up to the first one that tells of a boot,
// with it, and returns how many those are: of the others the boot is to be known first.
func (v *Resolver) resolveSessions(records []Record) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for i := range records {
		v.resolve(&records[i])
		if records[i].Status.boot() {
			return i + 1
		}
	}
	return len(records)
}

// resolve is resolveSession for who holds the lock.
func (v *Resolver) resolve(r *Record) {
	if r.Status.boot() {
		if i, ok := v.find(r); ok {
			r.EventTime = v.boots[nasKey{r.NASID, r.NASAddr, r.NASIdentifier}][i].at
		}
		r.SessionID = uuid.Nil
		return
	}
	r.SessionID = v.sessionID(r)
}

// add makes a boot known. The record is an Accounting-On or -Off; pins are the
// sessions without Class that were seen before it although they began after it.
// It reports whether the boot is a new one.
func (v *Resolver) add(r *Record, pins []sessionKey) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.find(r); known {
		return false
	}
	key := nasKey{r.NASID, r.NASAddr, strings.Clone(r.NASIdentifier)}
	epoch := bootEpoch{at: r.EventTime, status: r.Status}
	if r.Status == AcctOn {
		for _, pin := range pins {
			epoch.pin(pin)
		}
	}
	v.insert(key, epoch)
	return true
}

// insert keeps the boots of a NAS in ascending order and bounded.
func (v *Resolver) insert(key nasKey, epoch bootEpoch) {
	boots := v.boots[key]
	i, _ := slices.BinarySearchFunc(boots, epoch.at, func(b bootEpoch, at time.Time) int { return b.at.Compare(at) })
	boots = slices.Insert(boots, i, epoch)
	if len(boots) > bootsKept {
		boots = slices.Delete(boots, 0, len(boots)-bootsKept)
	}
	v.boots[key] = boots
}

func (e *bootEpoch) pin(key sessionKey) {
	if e.pinned == nil {
		e.pinned = make(map[sessionKey]struct{})
	}
	e.pinned[sessionKey{acctSessionID: strings.Clone(key.acctSessionID), username: strings.Clone(key.username)}] = struct{}{}
}

// find returns the known boot that the record tells of.
func (v *Resolver) find(r *Record) (int, bool) {
	for i, b := range v.boots[nasKey{r.NASID, r.NASAddr, r.NASIdentifier}] {
		if b.status != r.Status {
			continue
		}
		apart := b.at.Sub(r.EventTime).Abs()
		if apart == 0 || r.EventDerived && r.Delay > 0 && apart <= bootJitter {
			return i, true
		}
	}
	return 0, false
}

// load replaces what is known by the boots of a store.
func (v *Resolver) load(boots []Boot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.boots)
	for _, b := range boots {
		v.insert(nasKey{b.NASID, b.NASAddr, strings.Clone(b.NASIdentifier)}, bootEpoch{at: b.At, status: b.Status})
	}
}

// pinStored pins a session that a store holds under an earlier epoch than the
// boots say, which is how an Accounting-On that came late shows afterwards.
func (v *Resolver) pinStored(s *Session) {
	if _, ok := ParseClass(s.Class); ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	r := &Record{NASID: s.NASID, NASAddr: s.NASAddr, NASIdentifier: s.NASIdentifier, AcctSessionID: s.AcctSessionID,
		Username: s.Username, EventTime: s.UpdatedAt}
	var later []*bootEpoch
	for epoch := range v.epochs(r) {
		if hashedSessionID(r, epoch.at) == s.ID {
			break
		}
		later = append(later, epoch)
	}
	for _, epoch := range later {
		// Only sessions that began after the boot are pinned: an older one that
		// still had records after it is not the one that goes on.
		if !epoch.at.After(s.StartedAt) {
			epoch.pin(sessionKey{s.AcctSessionID, s.Username})
		}
	}
}

// Boots returns the boots that concern a NAS, those of everything behind its
// address included.
func (v *Resolver) Boots(nas uuid.UUID, addr netip.Addr, identifier string) []Boot {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var boots []Boot
	for _, key := range nasKeys(nas, addr, identifier) {
		for _, b := range v.boots[key] {
			boots = append(boots, Boot{NASID: key.id, NASAddr: key.addr, NASIdentifier: key.identifier, Status: b.status, At: b.at})
		}
	}
	return boots
}

// nasKeys returns the keys under which boots that concern a NAS are filed.
func nasKeys(nas uuid.UUID, addr netip.Addr, identifier string) []nasKey {
	if identifier == "" {
		return []nasKey{{nas, addr, ""}}
	}
	return []nasKey{{nas, addr, identifier}, {nas, addr, ""}}
}

// epochs yields the epochs that the record can belong to, the latest first.
// The caller holds the lock.
func (v *Resolver) epochs(r *Record) func(yield func(*bootEpoch) bool) {
	return func(yield func(*bootEpoch) bool) {
		own := v.boots[nasKey{r.NASID, r.NASAddr, r.NASIdentifier}]
		var shared []bootEpoch
		if r.NASIdentifier != "" {
			shared = v.boots[nasKey{r.NASID, r.NASAddr, ""}]
		}
		i, j := len(own)-1, len(shared)-1
		for i >= 0 || j >= 0 {
			var b *bootEpoch
			if j < 0 || i >= 0 && !own[i].at.Before(shared[j].at) {
				b = &own[i]
				i--
			} else {
				b = &shared[j]
				j--
			}
			if b.status == AcctOn && !b.at.After(r.EventTime) && !yield(b) {
				return
			}
		}
	}
}

func (v *Resolver) sessionID(r *Record) uuid.UUID {
	if nonce, ok := ParseClass(r.Class); ok {
		return classSessionID(nonce, r.AcctSessionID)
	}
	for epoch := range v.epochs(r) {
		if epoch.pinned != nil {
			if _, pinned := epoch.pinned[sessionKey{r.AcctSessionID, r.Username}]; pinned {
				continue
			}
		}
		return hashedSessionID(r, epoch.at)
	}
	return hashedSessionID(r, time.Time{})
}

// classSessionID identifies a session by the nonce in its Class.
func classSessionID(nonce Nonce, acctSessionID string) uuid.UUID {
	var h identityHash
	h.text("session by class")
	h.text(string(nonce[:]))
	h.text(acctSessionID)
	return h.sum()
}

// hashedSessionID identifies a session without Class; the zero epoch is a NAS
// that was never heard to boot.
func hashedSessionID(r *Record, epoch time.Time) uuid.UUID {
	var h identityHash
	h.text("session by epoch")
	h.nas(r)
	h.text(r.AcctSessionID)
	h.text(r.Username)
	if epoch.IsZero() {
		h.number(0)
	} else {
		h.number(uint64(epoch.UnixMicro()))
	}
	return h.sum()
}

// recordID is the same for two records that mean the same: same session, status,
// event time and counters (RFC 2866 §5.2 has Acct-Delay-Time, Identifier and so the
// packet differ). A derived event time, arrival less delay, is off by a second or
// so on a retransmission, so it does not count where Acct-Session-Time tells the
// records of a session apart; where that is missing too, the minute does.
func recordID(r *Record) uuid.UUID {
	var h identityHash
	h.text("record")
	h.text(string(r.SessionID[:]))
	h.number(uint64(r.Status))
	switch {
	case !r.EventDerived:
		h.number(uint64(r.EventTime.UnixMicro()))
	case !r.HasSeconds:
		h.number(uint64(r.EventTime.Unix() / 60))
	default:
		h.number(0)
	}
	for _, n := range [...]uint64{r.SessionSeconds, r.InputOctets, r.OutputOctets, r.InputPackets, r.OutputPackets} {
		h.number(n)
	}
	return h.sum()
}

// bootRecordID identifies an Accounting-On or -Off.
func bootRecordID(r *Record) uuid.UUID {
	var h identityHash
	h.text("boot")
	h.text(string(r.NASID[:]))
	h.nas(r)
	h.number(uint64(r.Status))
	h.number(uint64(r.EventTime.UnixMicro()))
	return h.sum()
}

// identityHash collects fields and makes a UUIDv8 of them (RFC 9562 §5.8). Fields
// are delimited by their lengths; what does not fit the buffer goes to the heap.
type identityHash struct {
	buf  [512]byte
	long []byte
	n    int
}

func (h *identityHash) text(s string) {
	h.number(uint64(len(s)))
	h.add([]byte(s)...)
}

func (h *identityHash) number(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	h.add(b[:]...)
}

func (h *identityHash) nas(r *Record) {
	addr := r.NASAddr.As16()
	h.add(addr[:]...)
	h.text(r.NASIdentifier)
}

func (h *identityHash) add(b ...byte) {
	if h.long == nil && h.n+len(b) <= len(h.buf) {
		h.n += copy(h.buf[h.n:], b)
		return
	}
	if h.long == nil {
		h.long = slices.Clone(h.buf[:h.n])
	}
	h.long = append(h.long, b...)
}

func (h *identityHash) sum() uuid.UUID {
	data := h.long
	if data == nil {
		data = h.buf[:h.n]
	}
	digest := sha256.Sum256(data)
	id := uuid.UUID(digest[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return id
}
