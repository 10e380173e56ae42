package aaa

import (
	"net/netip"

	"github.com/google/uuid"
)

// LiveFilter picks live sessions; a zero field picks all.
type LiveFilter struct {
	Username string
	NASAddr  netip.Addr
	OpenOnly bool
}

// Session returns a copy of the session of that id, if it is remembered.
func (l *LiveSessions) Session(id uuid.UUID) (Session, bool) {
	shard := l.sessionShard(id)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	ls := shard.set.get(id)
	if ls == nil {
		return Session{}, false
	}
	var s Session
	ls.load(&s)
	return s, true
}

// Each calls fn with a copy of every session that the filter picks, in no order,
// until fn returns false. No lock is held during the call. Sessions that come, go
// or change meanwhile are seen before or after the change.
func (l *LiveSessions) Each(filter LiveFilter, fn func(*Session) bool) {
	var found []Session
	for i := range l.sessions {
		found = l.sessions[i].collect(filter, found[:0])
		for j := range found {
			if !fn(&found[j]) {
				return
			}
		}
	}
}

// collect appends the shard's sessions that the filter picks.
func (shard *sessionShard) collect(filter LiveFilter, found []Session) []Session {
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	for ls := range shard.set.all() {
		if filter.Username != "" && (ls.user == nil || ls.user.name != filter.Username) ||
			filter.NASAddr.IsValid() && ls.nas.addr != filter.NASAddr {
			continue
		}
		var s Session
		ls.load(&s)
		if !filter.OpenOnly || s.Open() {
			found = append(found, s)
		}
	}
	return found
}

// OpenCount returns how many sessions are open.
func (l *LiveSessions) OpenCount() int { return int(l.open.Load()) }
