package aaa

import "github.com/google/uuid"

// countOn takes an interim that says of its session what the record before it said, and
// only counts on, as nearly every record does. It does what merge would do, without
// unpacking the attributes. It reports false, and has changed nothing, if the record may
// mean more than that.
func (l *LiveSessions) countOn(ls *liveSession, r *Record) (t Step, ok bool) {
	if r.Status != AcctInterim || ls.packed == "" {
		return t, false
	}
	u := unpacker{ls.packed}
	var s Session
	if flags := u.head(&ls.counters, &s); flags&(packStopped|packStopInferred) != 0 || s.StartedAt.IsZero() {
		return t, false
	}
	if ls.counters.updated <= 0 || !r.EventTime.After(s.UpdatedAt) || !l.saysTheSame(ls, u.s, r) {
		return t, false
	}
	started, wrapped, before, from := s.StartedAt, s.CounterWrapped, s.used(), s.UpdatedAt
	s.mergeStart(r)
	s.mergeCounters(r)
	if s.UpdatedAt = r.EventTime; s.CounterWrapped != wrapped || wrapped && !ls.nas.wrapped || !s.StartedAt.Equal(started) {
		return t, false
	}
	shard := l.sessionShard(ls.id)
	shard.mu.Lock()
	ls.counters = countersOf(&s)
	shard.mu.Unlock()
	if l.changed != nil {
		l.changed(ls.id, "")
	}
	return r.step(from, before, s.used()), true
}

// saysTheSame reports whether the record has the attributes that the record before it had,
// with the same values. said is where those stand in ls.packed.
func (l *LiveSessions) saysTheSame(ls *liveSession, said string, r *Record) bool {
	nas := ls.nas
	if r.Username != "" && (ls.user == nil || ls.user.name != r.Username) ||
		r.NASID != uuid.Nil && nas.id != r.NASID || r.NASAddr.IsValid() && nas.addr != r.NASAddr ||
		r.NASIdentifier != "" && nas.identifier != r.NASIdentifier {
		return false
	}
	l.scratch, _ = appendSaid(l.scratch[:0], r)
	return len(l.scratch) <= len(said) && said[:len(l.scratch)] == string(l.scratch)
}
