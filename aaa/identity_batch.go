package aaa

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Several nodes write to one store. The NAS that boots tells one of them, and the
// sessions that begin then may be heard of by another, which takes them for ones of
// the epoch before; and the nodes write at their own pace. So it is the store that
// has the last word on the ids of records without our Class, in the transaction
// that takes them: by the boots it has and the sessions it has. What a node's own
// Resolver says is for its live view.

// SeenBoot is a boot with the time it was written to the store, by the store's clock.
type SeenBoot struct {
	Boot
	SeenAt time.Time
}

// Learn adds boots that a store has. Those known already change nothing.
func (v *Resolver) Learn(boots []SeenBoot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range boots {
		key := nasKey{b.NASID, b.NASAddr, b.NASIdentifier}
		if slices.ContainsFunc(v.boots[key], func(e bootEpoch) bool { return e.status == b.Status && e.at.Equal(b.At) }) {
			continue
		}
		key.identifier = strings.Clone(key.identifier)
		v.insert(key, bootEpoch{at: b.At, status: b.Status, seen: b.SeenAt})
	}
}

// Knows reports whether the boot is known.
func (v *Resolver) Knows(b *Boot) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.ContainsFunc(v.boots[nasKey{b.NASID, b.NASAddr, b.NASIdentifier}], func(e bootEpoch) bool {
		return e.status == b.Status && e.at.Equal(b.At)
	})
}

// BatchIdentity says which sessions the records of a batch belong to. It is made by
// Resolver.Identify, and complete after Decide.
type BatchIdentity struct {
	records []Record
	copied  bool // records are b's own
	open    []openIdentity
}

// openIdentity is a record whose session may stand in the store under several ids.
type openIdentity struct {
	record int
	ids    []uuid.UUID // the one of the latest epoch first
	since  time.Time   // the latest epoch: a session of an earlier id must have begun then or later
}

// storeClockSkew is how far the clocks of a node and the store may be apart.
const storeClockSkew = 2 * time.Minute

// notSeenYet is later than every time: the store has not got a boot of the batch.
var notSeenYet = time.Unix(1<<40, 0)

// NeedBoots reports whether the ids of the records depend on boots.
func NeedBoots(records []Record) bool {
	for i := range records {
		if records[i].needsBoots() {
			return true
		}
	}
	return false
}

func (r *Record) needsBoots() bool {
	if r.Status.boot() {
		return true
	}
	_, ours := ParseClass(r.Class)
	return !ours
}

// Identify gives the records that have no Class of ours the ids that the boots in
// the store, which v has learnt, and those of the batch say. It neither changes nor
// keeps the records; without such records it costs next to nothing.
func (v *Resolver) Identify(records []Record) *BatchIdentity {
	b := &BatchIdentity{records: records}
	boots := v.bootsOf(records)
	if boots == nil {
		return b
	}
	for i := range records {
		if !records[i].needsBoots() {
			continue
		}
		r := records[i]
		if !r.Status.session() {
			boots.Resolve(&r)
		} else {
			ids, since := boots.candidates(&r)
			if len(ids) > 1 {
				b.open = append(b.open, openIdentity{record: i, ids: ids, since: since})
			}
			r.belong(ids[0])
		}
		b.put(i, &r)
	}
	return b
}

// bootsOf returns a Resolver with the boots of the NASes from which there are
// records without our Class, those of the batch included; nil if there are none.
func (v *Resolver) bootsOf(records []Record) *Resolver {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var w *Resolver
	var last nasKey
	for i := range records {
		r := &records[i]
		if !r.needsBoots() {
			continue
		}
		if w == nil {
			w = NewResolver()
		} else if key := (nasKey{r.NASID, r.NASAddr, r.NASIdentifier}); key == last && !r.Status.boot() {
			continue
		}
		for _, key := range nasKeys(r.NASID, r.NASAddr, r.NASIdentifier) {
			if _, copied := w.boots[key]; !copied {
				w.boots[key] = slices.Clip(v.boots[key]) // so that insert does not write to it
			}
		}
		last = nasKey{r.NASID, r.NASAddr, r.NASIdentifier}
		if r.Status.boot() {
			if _, known := w.find(r); !known {
				w.boots[last] = slices.Clone(w.boots[last])
				w.insert(last, bootEpoch{at: r.EventTime, status: r.Status, seen: notSeenYet})
			}
		}
	}
	return w
}

// candidates returns the ids under which the session of a record without Class may
// stand in the store, and the latest epoch. There is one but for a session that
// began before the store knew of the boots that its epoch begins with: its first
// records may have been taken for ones of an earlier epoch.
func (v *Resolver) candidates(r *Record) (ids []uuid.UUID, since time.Time) {
	began := r.began().Add(-storeClockSkew)
	for epoch := range v.epochs(r) {
		if len(ids) == 0 {
			since = epoch.at
		}
		ids = append(ids, hashedSessionID(r, epoch.at))
		if epoch.seen.Before(began) {
			return ids, since
		}
	}
	return append(ids, hashedSessionID(r, time.Time{})), since
}

// began is when the session began, or earlier, by this server's clock; zero: the
// record does not say. A NAS whose clock is ahead may date it too late, and one that
// has kept the record for long, without saying so, may deliver it late: the earlier
// of both counts.
func (r *Record) began() time.Time {
	at := r.ReceivedAt.Add(-r.Delay)
	if r.EventTime.Before(at) {
		at = r.EventTime
	}
	switch {
	case r.Status == AcctStart:
		return at
	case r.HasSeconds && r.SessionSeconds < uint64(longestSession/time.Second):
		return at.Add(-time.Duration(r.SessionSeconds) * time.Second)
	}
	return time.Time{}
}

// belong makes the record one of a session.
func (r *Record) belong(session uuid.UUID) {
	if r.SessionID != session {
		r.SessionID = session
		r.ID = recordID(r)
	}
}

// put replaces a record, in a copy of the batch.
func (b *BatchIdentity) put(i int, r *Record) {
	old := &b.records[i]
	if old.ID == r.ID && old.SessionID == r.SessionID && old.EventTime.Equal(r.EventTime) {
		return
	}
	if !b.copied {
		b.records, b.copied = slices.Clone(b.records), true
	}
	b.records[i] = *r
}

// EachID calls fn for the ids of all sessions that the records may belong to; for
// some more than once.
func (b *BatchIdentity) EachID(fn func(uuid.UUID)) {
	for i := range b.records {
		if b.records[i].SessionID != uuid.Nil {
			fn(b.records[i].SessionID)
		}
	}
	for i := range b.open {
		for _, id := range b.open[i].ids[1:] {
			fn(id)
		}
	}
}

// Decide chooses among the ids of a session the one under which the store has it,
// if it does: find returns the sessions that exist. It returns the records of the
// batch with their ids.
//
// A session that stands under the id of an earlier epoch keeps it if it began after
// the latest boot: its first record was taken before the boot was. One that began
// before is another, which the boot has ended.
func (b *BatchIdentity) Decide(find func(uuid.UUID) *Session) []Record {
	for _, o := range b.open {
		for n, id := range o.ids {
			s := find(id)
			if s == nil || n > 0 && s.StartedAt.Before(o.since) {
				continue
			}
			r := b.records[o.record]
			r.belong(id)
			b.put(o.record, &r)
			break
		}
	}
	return b.records
}

// othersAtMost bounds the ids of others: boots come seldom.
const othersAtMost = 4

// others returns the ids beside its own under which a store that other nodes write
// to may have the session: they may have known of a boot earlier, or later.
func (v *Resolver) others(s *Session) (ids []uuid.UUID) {
	if _, ours := ParseClass(s.Class); ours {
		return nil
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := &Record{NASID: s.NASID, NASAddr: s.NASAddr, NASIdentifier: s.NASIdentifier, AcctSessionID: s.AcctSessionID,
		Username: s.Username, EventTime: s.UpdatedAt}
	add := func(epoch time.Time) {
		if id := hashedSessionID(r, epoch); id != s.ID && len(ids) < othersAtMost {
			ids = append(ids, id)
		}
	}
	for epoch := range v.epochs(r) {
		add(epoch.at)
	}
	add(time.Time{})
	return ids
}
