package aaa

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// userShard holds what is live of the users whose names hash to it.
type userShard struct {
	mu sync.Mutex
	m  map[string]*liveUser
}

// liveUser is under the lock of its shard, its name aside.
type liveUser struct {
	name         string
	sessions     []*liveSession // that are remembered, open or not
	open         int32
	reservations []reservation
	usage        *liveUsage // nil: none
}

// reservation is a place held for a session that is about to begin.
type reservation struct {
	nonce   Nonce
	nas     netip.Addr
	station string // normal form
	device  uint64
	lapses  time.Time
}

func (l *LiveSessions) userShard(name string) *userShard {
	return &l.users[maphash.String(l.seed, name)%liveShards]
}

// user returns the live user of that name. The caller holds the shard's lock.
func (u *userShard) user(name string) *liveUser {
	found := u.m[name]
	if found == nil {
		name = strings.Clone(name)
		found = &liveUser{name: name}
		u.m[name] = found
	}
	return found
}

// Reserve implements [Limits].
func (l *LiveSessions) Reserve(r Reservation) bool {
	shard := l.userShard(r.Username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	u := shard.user(r.Username)
	u.lapse(r.At)

	// A device is known by its station and port; where either is missing, every
	// request is taken for a device of its own.
	var device uint64
	if r.CallingStationID != "" && r.NASPortID != "" {
		device = l.device(r.NASAddr, r.NASPortID, r.CallingStationID)
	}
	taken := int(u.open)
	if device != 0 && u.has(device) {
		taken--
	}
	for i := range u.reservations {
		other := &u.reservations[i]
		if device != 0 && other.device == device || other.device != 0 && u.has(other.device) {
			continue // its place is the one of this device, or of the session it replaces
		}
		taken++
	}
	if taken >= r.Limit {
		return false
	}
	if device != 0 {
		u.reservations = slices.DeleteFunc(u.reservations, func(o reservation) bool { return o.device == device })
	}
	u.reservations = append(u.reservations, reservation{
		nonce: r.Nonce, nas: r.NASAddr, station: r.CallingStationID, device: device,
		lapses: r.At.Add(l.opt.ReservationTTL),
	})
	return true
}

// Open returns how many sessions the user has open.
func (l *LiveSessions) Open(username string) int {
	shard := l.userShard(username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if u := shard.m[username]; u != nil {
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
func (l *LiveSessions) takeOver(username string, r *Record, known bool) {
	nonce, ok := ParseClass(r.Class)
	if !ok && known || username == "" {
		return
	}
	shard := l.userShard(username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	u := shard.m[username]
	if u == nil || len(u.reservations) == 0 {
		return
	}
	station := NormalizeStation(r.CallingStationID)
	i := slices.IndexFunc(u.reservations, func(o reservation) bool {
		if ok {
			return o.nonce == nonce
		}
		return o.nas == r.NASAddr && (o.station == "" || station == "" || o.station == station)
	})
	if i >= 0 {
		u.reservations = slices.Delete(u.reservations, i, i+1)
	}
}

// device hashes what tells a device on a port from others; never zero.
func (l *LiveSessions) device(nas netip.Addr, port, station string) uint64 {
	return maphash.Comparable(l.seed, device{nas: nasKey{addr: nas}, station: station, port: port}) | 1
}

// userOf returns the user that the session is to belong to; nil without a name.
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
	return shard.user(s.Username)
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
		device = l.device(s.NASAddr, d.port, d.station)
	}
	shard := l.userShard(u.name)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if join {
		ls.slot = int32(len(u.sessions))
		u.sessions = append(u.sessions, ls)
		if ls.open {
			u.open++
		}
	}
	ls.device = device
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
	shard := l.userShard(u.name)
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
	if len(user.sessions) == 0 && len(user.reservations) == 0 && user.usage == nil {
		delete(u.m, user.name)
	}
}
