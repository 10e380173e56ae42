package aaa

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// userShard holds what is live of the users whose names hash to it.
type userShard struct {
	mu  sync.Mutex
	set liveSet[string, *liveUser]
}

func (u *liveUser) key() string { return u.name }

// liveUser is under the lock of its shard, its name and that aside.
type liveUser struct {
	name         string
	shard        *userShard
	sessions     []*liveSession // that are remembered, open or not
	open         int32
	joining      bool // the writer is about to add a session
	reservations []reservation
	usage        *liveUsage // nil: none
}

// reservation is a place held for a session that is about to begin.
type reservation struct {
	nonce   Nonce
	nas     netip.Addr
	station uint64 // hash of its normal form; zero: not sent
	device  uint64
	named   uint64 // zero: the request had no Acct-Session-Id
	lapses  time.Time
}

func (l *LiveSessions) userShard(name string) *userShard {
	return &l.users[maphash.String(l.seed, name)%liveShards]
}

// user returns the live user of that name. The caller holds the shard's lock.
func (u *userShard) user(name string) *liveUser {
	found := u.set.get(name)
	if found == nil {
		name = strings.Clone(name)
		found = &liveUser{name: name, shard: u}
		u.set.add(found)
	}
	return found
}

// Reserve implements [Limits].
func (l *LiveSessions) Reserve(r Reservation) Grant {
	c := l.today(r.At)
	shard := l.userShard(r.Username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	u := shard.set.get(r.Username)
	var g Grant
	for p := range r.Quotas {
		if quota := &r.Quotas[p]; quota.Limits() {
			g.Used[p] = u.used(Period(p), c)
			if quota.UsedUp(g.Used[p]) {
				return g
			}
		}
	}
	running, nonce := l.running(u, &r)
	if r.Limit == 0 {
		g.Nonce, g.Reserved = nonce, true
		return g
	}
	g.Nonce, g.Reserved = l.place(shard.user(r.Username), &r, running, nonce)
	return g
}

// place takes one of the user's places, if one is left. The caller holds the
// shard's lock.
func (l *LiveSessions) place(u *liveUser, r *Reservation, running *liveSession, nonce Nonce) (Nonce, bool) {
	u.lapse(r.At)
	p := l.reservationOf(r, nonce)
	taken := int(u.open)
	if running != nil && running.open || p.device != 0 && u.has(p.device) {
		taken--
	}
	for i := range u.reservations {
		other := &u.reservations[i]
		switch {
		case p.named != 0 && other.named == p.named:
			p.nonce = other.nonce // the session that has not begun yet asks again
		case other.nonce == p.nonce, p.device != 0 && other.device == p.device, other.device != 0 && u.has(other.device):
			// Its place is the one of this device, or of the session it replaces.
		default:
			taken++
		}
	}
	if taken >= r.Limit {
		return Nonce{}, false
	}
	if running != nil && running.open {
		return nonce, true // it has its place
	}
	u.hold(p)
	return p.nonce, true
}

// reservationOf makes the place that is asked for.
func (l *LiveSessions) reservationOf(r *Reservation, nonce Nonce) reservation {
	p := reservation{nonce: nonce, nas: r.NASAddr, station: l.textHash(r.CallingStationID), lapses: r.At.Add(l.opt.ReservationTTL)}
	if len(r.AcctSessionID) > 0 {
		p.named = l.named(r.NASAddr, maphash.Bytes(l.seed, r.AcctSessionID))
	}
	// A device is known by its station and port; where either is missing, every
	// request is taken for a device of its own.
	if port := l.textHash(r.NASPortID); port != 0 && p.station != 0 {
		p.device = l.device(r.NASAddr, port, p.station)
	}
	return p
}

// hold keeps a place in lieu of those of the same nonce, device or session.
func (u *liveUser) hold(p reservation) {
	u.reservations = slices.DeleteFunc(u.reservations, func(o reservation) bool {
		return o.nonce == p.nonce || p.device != 0 && o.device == p.device || p.named != 0 && o.named == p.named
	})
	u.reservations = append(u.reservations, p)
}

// Release implements [Limits].
func (l *LiveSessions) Release(username string, nonce Nonce) {
	shard := l.userShard(username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	u := shard.set.get(username)
	if u == nil {
		return
	}
	u.reservations = slices.DeleteFunc(u.reservations, func(o reservation) bool { return o.nonce == nonce })
	shard.drop(u)
}

// Waits implements [Limits]: what is in memory is known at once.
func (l *LiveSessions) Waits() bool { return false }

// running finds the session that is authenticated again, and the nonce that it
// carries; a session that only fell silent counts as running. Without one, it
// returns the nonce of the reservation. The caller holds the lock of the user, who
// may be nil.
func (l *LiveSessions) running(u *liveUser, r *Reservation) (found *liveSession, nonce Nonce) {
	nonce = r.Nonce
	if u == nil || len(r.AcctSessionID) == 0 || len(u.sessions) == 0 {
		return nil, nonce
	}
	named := l.named(r.NASAddr, maphash.Bytes(l.seed, r.AcctSessionID))
	var latest Session
	for _, ls := range u.sessions {
		if ls.named != named {
			continue
		}
		var s Session
		shard := l.sessionShard(ls.id)
		shard.mu.RLock()
		ls.load(&s)
		shard.mu.RUnlock()
		if (found == nil || s.StartedAt.After(latest.StartedAt)) && r.asksFor(&s) {
			found, latest = ls, s
		}
	}
	if found != nil {
		nonce, _ = ParseClass(latest.Class)
	}
	return found, nonce
}

// asksFor reports whether the session is the one of the request and may go on.
func (r *Reservation) asksFor(s *Session) bool {
	return (s.Open() || s.StopInferred && s.TerminateCause == CauseLapsed) && s.AcctSessionID == string(r.AcctSessionID) &&
		s.NASAddr == r.NASAddr && (s.NASID == r.NASID || s.NASID == uuid.Nil || r.NASID == uuid.Nil)
}

// named tells what a NAS calls a session from what others do, by a hash of the
// Acct-Session-Id; never zero.
func (l *LiveSessions) named(nas netip.Addr, acctSessionID uint64) uint64 {
	return maphash.Comparable(l.seed, nas) ^ acctSessionID | 1
}

// Open returns how many sessions the user has open.
func (l *LiveSessions) Open(username string) int {
	shard := l.userShard(username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if u := shard.set.get(username); u != nil {
		return int(u.open)
	}
	return 0
}

// has reports whether the device has a session open.
func (u *liveUser) has(device uint64) bool {
	for _, s := range u.sessions {
		if s.open && s.device == device {
			return true
		}
	}
	return false
}

// lapse drops reservations that nothing came of.
func (u *liveUser) lapse(now time.Time) {
	u.reservations = slices.DeleteFunc(u.reservations, func(r reservation) bool { return !now.Before(r.lapses) })
	if len(u.reservations) == 0 {
		u.reservations = nil
	}
}

// takeOver gives the reservation up that a record of the session shows to be
// used: the one of its nonce, or, when the NAS returns no Class and this is the
// first record of the session, the oldest from the same NAS and station.
func (l *LiveSessions) takeOver(u *liveUser, r *Record, known bool) {
	nonce, ok := ParseClass(r.Class)
	if !ok && known || u == nil {
		return
	}
	u.shard.mu.Lock()
	defer u.shard.mu.Unlock()
	if len(u.reservations) == 0 {
		return
	}
	station := l.textHash([]byte(NormalizeStation(r.CallingStationID)))
	i := slices.IndexFunc(u.reservations, func(o reservation) bool {
		if ok {
			return o.nonce == nonce
		}
		return o.nas == r.NASAddr && (o.station == 0 || station == 0 || o.station == station)
	})
	if i >= 0 {
		u.reservations = slices.Delete(u.reservations, i, i+1)
	}
}

// device hashes what tells a device on a port from others; never zero. Port and
// station are hashes themselves.
func (l *LiveSessions) device(nas netip.Addr, port, station uint64) uint64 {
	return maphash.Comparable(l.seed, struct {
		nas           netip.Addr
		port, station uint64
	}{nas, port, station}) | 1
}

// textHash is zero for no text, and only then.
func (l *LiveSessions) textHash(text []byte) uint64 {
	if len(text) == 0 {
		return 0
	}
	return maphash.Bytes(l.seed, text) | 1
}

// userOf returns the user that the session is to belong to; nil without a name. One
// whom the session is to join is not dropped until it has.
func (l *LiveSessions) userOf(ls *liveSession, s *Session) *liveUser {
	if s.Username == "" {
		return nil
	}
	if ls.user != nil && ls.user.name == s.Username {
		return ls.user
	}
	shard := l.userShard(s.Username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	user := shard.user(s.Username)
	user.joining = true
	return user
}

// settleUser brings the user's view of a session up to date, and says whether it
// opened or closed.
func (l *LiveSessions) settleUser(u *liveUser, ls *liveSession, s *Session, join bool) (opened, closed bool) {
	isOpen := s.Open()
	if u == nil {
		opened, closed = isOpen && !ls.open, !isOpen && ls.open
		ls.open = isOpen
		return opened, closed
	}
	var device uint64
	if d, ok := deviceOf(s); ok {
		device = l.device(s.NASAddr, l.textHash([]byte(d.port)), l.textHash([]byte(d.station)))
	}
	named := l.named(s.NASAddr, maphash.String(l.seed, s.AcctSessionID))
	u.shard.mu.Lock()
	defer u.shard.mu.Unlock()
	if join {
		ls.slot = int32(len(u.sessions))
		u.sessions = append(u.sessions, ls)
		u.joining = false
		if ls.open {
			u.open++
		}
	}
	ls.device, ls.named = device, named
	switch {
	case isOpen && !ls.open:
		u.open++
		opened = true
	case !isOpen && ls.open:
		u.open--
		closed = true
	}
	ls.open = isOpen
	return opened, closed
}

// leave takes the session from a user, who is dropped when nothing is left.
func (l *LiveSessions) leave(u *liveUser, ls *liveSession) {
	shard := u.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	last := len(u.sessions) - 1
	moved := u.sessions[last]
	u.sessions[ls.slot], moved.slot = moved, ls.slot
	u.sessions[last] = nil
	u.sessions = u.sessions[:last]
	if ls.open {
		u.open--
	}
	shard.drop(u)
}

// drop forgets a user of whom nothing is left. The caller holds the lock.
func (u *userShard) drop(user *liveUser) {
	if user.isEmpty() {
		u.set.remove(user.name)
	}
}

func (u *liveUser) isEmpty() bool {
	return !u.joining && len(u.sessions) == 0 && len(u.reservations) == 0 && u.usage == nil
}
