package aaa

import (
	"time"

	"github.com/google/uuid"
)

// Several nodes share what each knows of the sessions: a node tells of those that
// its records change, and hears which of its own ended elsewhere.

// SharedSession is a session as one node tells others of it.
type SharedSession struct {
	Session
	Silent   time.Duration // since it was last heard of, at this node
	Interval time.Duration // the longest between its interims; zero: there were none
}

// SharedEnd is what is known elsewhere of a session that has ended.
type SharedEnd struct {
	SessionID      uuid.UUID
	UpdatedAt      time.Time // latest event time of its records
	StoppedAt      time.Time
	StopInferred   bool
	TerminateCause string
	Used           Usage // its counters
}

// OnChange has fn called with the id of each session that a record or Sweep
// changes, and with the user whom it has left if its User-Name became another one.
// fn must not block, and not call methods of l. It is set before the first of them.
func (l *LiveSessions) OnChange(fn func(id uuid.UUID, left string)) {
	l.writer.Lock()
	defer l.writer.Unlock()
	l.changed = fn
}

// sharedChunk bounds how long the writer waits for those who read.
const sharedChunk = 256

// Shared calls fn for those of the sessions that are remembered. fn must not keep
// s, which is used again. No lock is held meanwhile.
func (l *LiveSessions) Shared(ids []uuid.UUID, fn func(s *SharedSession)) {
	found := make([]SharedSession, 0, min(len(ids), sharedChunk))
	for len(ids) > 0 {
		n := min(len(ids), sharedChunk)
		found = l.collectShared(ids[:n], found[:0])
		ids = ids[n:]
		for i := range found {
			fn(&found[i])
		}
	}
}

func (l *LiveSessions) collectShared(ids []uuid.UUID, found []SharedSession) []SharedSession {
	l.writer.Lock()
	defer l.writer.Unlock()
	now := l.elapsed(l.opt.Now())
	for _, id := range ids {
		if ls := l.sessionShard(id).set.get(id); ls != nil {
			found = append(found, SharedSession{})
			s := &found[len(found)-1]
			ls.load(&s.Session)
			s.Silent = time.Duration(max(now-ls.seen, 0)) * time.Millisecond
			s.Interval = time.Duration(ls.interval) * time.Second
		}
	}
	return found
}

// IDs appends the ids of the sessions in one of [LiveShards] parts of the view,
// open or not.
func (l *LiveSessions) IDs(shard int, ids []uuid.UUID) []uuid.UUID {
	s := &l.sessions[shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	for ls := range s.set.all() {
		ids = append(ids, ls.id)
	}
	return ids
}

// LiveShards is how many parts there are for IDs.
const LiveShards = liveShards

// EndShared takes in that sessions have ended elsewhere. Those that are not known
// here, or whose Stop was seen, stay as they are, and so do those of which a later
// record is known here. OnChange is not told.
func (l *LiveSessions) EndShared(ends []SharedEnd) {
	l.writer.Lock()
	defer l.writer.Unlock()
	changed := l.changed
	l.changed = nil
	defer func() { l.changed = changed }()
	for i := range ends {
		if ls := l.sessionShard(ends[i].SessionID).set.get(ends[i].SessionID); ls != nil {
			l.endShared(ls, &ends[i])
		}
	}
}

func (l *LiveSessions) endShared(ls *liveSession, end *SharedEnd) {
	var s Session
	ls.load(&s)
	if s.stopSeen() {
		return
	}
	r := Record{
		Status: AcctInterim, SessionID: s.ID, EventTime: end.UpdatedAt, ReceivedAt: l.opt.Now(),
		HasSeconds: true, SessionSeconds: end.Used.Seconds,
		HasOctets: true, HasGigawords: true, InputOctets: end.Used.InputOctets, OutputOctets: end.Used.OutputOctets,
	}
	if !end.StopInferred {
		r.Status, r.EventTime, r.TerminateCause = AcctStop, end.StoppedAt, end.TerminateCause
	}
	t := StepOf(&s, &r)
	if end.StopInferred && !end.StoppedAt.Before(s.UpdatedAt) {
		s.infer(end.StoppedAt, end.TerminateCause)
	}
	l.put(ls, &s, false)
	l.addStep(ls.user, t, r.ReceivedAt)
}

// Hold notes a place that was given to the session of the nonce by a view that
// several nodes share, whatever the limit, so that it counts if this node has to
// go on alone.
func (l *LiveSessions) Hold(r Reservation, nonce Nonce) {
	shard := l.userShard(r.Username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	u := shard.user(r.Username)
	u.lapse(r.At)
	if running, _ := l.running(u, &r); running != nil && running.open {
		return
	}
	u.hold(l.reservationOf(&r, nonce))
}
