package aaa

import (
	"runtime"
	"time"
)

// LiveBatch is how many records are looked up at a time: [LiveSessions.ObserveBatch] takes
// any number, and gains nothing by more.
const LiveBatch = prefetchMost

// ObserveBatch is Observe for each of the records, in their order. Where the sessions are many,
// most of the time goes into waiting for memory, which it does for all of a batch at once.
func (l *LiveSessions) ObserveBatch(records []Record) {
	l.writer.Lock()
	defer l.writer.Unlock()
	now := l.opt.Now()
	for len(records) > 0 {
		n := l.resolver.resolveSessions(records[:min(len(records), LiveBatch)])
		found := l.prefetch(records[:n])
		for i := range records[:n] {
			if found[i] == nil {
				found[i] = l.session(&records[i]) // a record before it may be the first one
			}
			l.observe(&records[i], found[i], now)
		}
		records = records[n:]
	}
}

// observe takes a record that is resolved, and of the session that it belongs to.
func (l *LiveSessions) observe(r *Record, ls *liveSession, now time.Time) {
	switch {
	case r.Status.boot():
		l.applyBoot(r)
	case r.Status.session():
		l.applySession(ls, r, now)
	}
}

// prefetch finds the records' sessions and reads what they have in memory, in steps, so that
// the processor waits for all of them at once and not for one after the other. The caller is
// the writer.
func (l *LiveSessions) prefetch(records []Record) (found [LiveBatch]*liveSession) {
	var sum byte
	for i := range records {
		set := &l.sessionShard(records[i].SessionID).set
		if set.count > 0 {
			place := int(set.hash(records[i].SessionID)) & (len(set.slots) - 1)
			sum += set.tags[place]
			found[i] = set.slots[place] // any, so that its cache line comes
		}
	}
	for i := range records {
		found[i] = l.session(&records[i])
	}
	for _, ls := range found[:len(records)] {
		if ls != nil {
			sum += ls.packed[0] + ls.packed[len(ls.packed)/2] + ls.packed[len(ls.packed)-1]
			if ls.user != nil && ls.user.usage != nil {
				sum += byte(ls.user.usage.day)
			}
		}
	}
	runtime.KeepAlive(sum)
	return found
}
