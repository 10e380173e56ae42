package aaa

import "time"

// SweepInterval is how often Sweep wants to be called: every session is then
// looked at once a minute.
const SweepInterval = time.Minute / liveShards

// Sweep looks at a small part of the sessions, the next one at each call: it ends
// those that have lapsed, and returns them for the stores to end them too (see
// [SessionCloser]), and forgets those that ended long ago. With a call every
// [SweepInterval] each session is looked at once a minute.
func (l *LiveSessions) Sweep() []Closing {
	l.writer.Lock()
	defer l.writer.Unlock()
	now := l.opt.Now()
	elapsed := l.elapsed(now)
	shard, users := &l.sessions[l.swept], &l.users[l.swept]
	l.swept = (l.swept + 1) % liveShards

	var closings []Closing
	var forgotten []*liveSession
	for ls := range shard.set.all() { // the writer alone changes the set
		idle := time.Duration(elapsed-ls.seen) * time.Millisecond
		switch {
		case ls.open && idle >= l.timeout(ls):
			var s Session
			ls.load(&s)
			s.Lapse()
			l.put(ls, &s, false)
			closings = append(closings, Closing{SessionID: s.ID, StoppedAt: s.StoppedAt, Others: l.resolver.others(&s)})
		case !ls.open && idle >= l.retention(ls):
			forgotten = append(forgotten, ls)
		}
	}
	for _, ls := range forgotten {
		l.forget(shard, ls)
	}
	users.sweep(now)
	return closings
}

// sweepAtOnce is how many users an Access-Request waits for at most.
const sweepAtOnce = 64

// sweep drops reservations that nothing came of, and users of whom nothing is left.
// Who moves within the set meanwhile may be passed over until the next time.
func (u *userShard) sweep(now time.Time) {
	for from, more := 0, true; more; from += sweepAtOnce {
		more = u.sweepSome(from, now)
	}
}

func (u *userShard) sweepSome(from int, now time.Time) (more bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var gone [sweepAtOnce]*liveUser
	n := 0
	for user := range u.set.some(from, sweepAtOnce) {
		if user.lapse(now); user.isEmpty() {
			gone[n] = user
			n++
		}
	}
	for _, user := range gone[:n] {
		u.drop(user)
	}
	return from+sweepAtOnce < len(u.set.slots)
}

// timeout is how long the session may be silent.
func (l *LiveSessions) timeout(ls *liveSession) time.Duration {
	switch {
	case l.opt.Liveness > 0:
		return l.opt.Liveness
	case ls.interval > 0:
		return max(3*time.Duration(ls.interval)*time.Second, l.opt.MinLiveness)
	default:
		return l.opt.SilentLiveness
	}
}

func (l *LiveSessions) retention(ls *liveSession) time.Duration {
	if ls.inferred {
		return l.opt.InferredRetention
	}
	return l.opt.ClosedRetention
}

func (l *LiveSessions) forget(shard *sessionShard, ls *liveSession) {
	nas, user := ls.nas, ls.user
	shard.mu.Lock()
	shard.set.remove(ls.id)
	ls.unlink()
	shard.mu.Unlock()
	if user != nil {
		l.leave(user, ls)
	}
	l.forgetNAS(nas)
}

// Lapse ends those of the sessions that are open and of which nothing was heard since
// their NAS has said that it does not know them, as Sweep ends those of which nothing
// was heard for too long. A record that comes nevertheless opens one again.
func (l *LiveSessions) Lapse(gone []GoneSession) {
	if len(gone) == 0 {
		return
	}
	l.writer.Lock()
	defer l.writer.Unlock()
	for _, g := range gone {
		ls := l.sessionShard(g.ID).set.get(g.ID)
		if ls == nil || !ls.open || ls.seen > l.elapsed(g.At) {
			continue
		}
		var s Session
		ls.load(&s)
		s.Lapse()
		l.put(ls, &s, false)
	}
}
