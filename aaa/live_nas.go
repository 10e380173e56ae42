package aaa

import (
	"slices"
	"strings"
)

// nasOf returns the NAS of the session, a new one if need be.
func (l *LiveSessions) nasOf(ls *liveSession, s *Session) *liveNAS {
	key := nasKey{s.NASID, s.NASAddr, s.NASIdentifier}
	n := ls.nas
	if n == nil || n.nasKey != key {
		n = l.nases[key]
	}
	if n == nil {
		key.identifier = strings.Clone(key.identifier)
		n = &liveNAS{nasKey: key}
		n.ring.next, n.ring.previous = &n.ring, &n.ring
		l.nases[key] = n
		l.byAddr[key.addr] = append(l.byAddr[key.addr], n)
	}
	return n
}

// link puts the session into the NAS's ring.
func (ls *liveSession) link(n *liveNAS) {
	ls.nas = n
	ls.previous, ls.next = n.ring.previous, &n.ring
	ls.previous.next, ls.next.previous = ls, ls
	n.count++
}

// unlink takes it out.
func (ls *liveSession) unlink() {
	if ls.nas == nil {
		return
	}
	ls.previous.next, ls.next.previous = ls.next, ls.previous
	ls.previous, ls.next = nil, nil
	ls.nas.count--
	ls.nas = nil
}

// forgetNAS drops a NAS without sessions.
func (l *LiveSessions) forgetNAS(n *liveNAS) {
	if n.count > 0 {
		return
	}
	delete(l.nases, n.nasKey)
	left := slices.DeleteFunc(l.byAddr[n.addr], func(m *liveNAS) bool { return m == n })
	if len(left) == 0 {
		delete(l.byAddr, n.addr)
	} else {
		l.byAddr[n.addr] = left
	}
}
