package aaa

import (
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// TestUserWithABeginningSessionIsNotDropped: a place is given up while the first
// session of the user is taken in, between the steps of put.
func TestUserWithABeginningSessionIsNotDropped(t *testing.T) {
	l := NewLiveSessions(LiveOptions{})
	ls := &liveSession{id: uuid.New()}
	s := Session{ID: ls.id, AcctSessionID: "1", Username: "alice", NASAddr: netip.MustParseAddr("192.0.2.1")}
	user := l.userOf(ls, &s)
	l.Release("alice", Nonce{1})
	ls.user = user
	l.settleUser(user, ls, &s, true)
	require.Same(t, user, l.userShard("alice").set.get("alice"))
	grant := l.Reserve(Reservation{Username: "alice", Limit: 1, Nonce: Nonce{2}})
	require.False(t, grant.Reserved, "the session counts")

	l.leave(user, ls)
	require.Nil(t, l.userShard("alice").set.get("alice"), "nothing is left")
}
