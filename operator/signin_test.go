package operator_test

import (
	"encoding/base64"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"

	"radiusd/operator"
)

func TestSignIn(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		alice := w.add("alice", "support")
		tokens := w.signIn("  ALICE ")
		assert.Equal(t, alice.ID, tokens.OperatorID)
		p, err := w.Authenticate(ctx, tokens.Access, here)
		require.NoError(t, err)
		assert.Equal(t, operator.Actor{Kind: operator.ActorOperator, ID: alice.ID, Name: "alice", Addr: here}, p.Actor)
		assert.True(t, p.Can(operator.UsersWrite))
		assert.False(t, p.Can(operator.OperatorsWrite))
		assert.False(t, p.MFA)
		assert.Equal(t, tokens.SessionID, p.SessionID)
		o, err := w.Operator(ctx, alice.ID)
		require.NoError(t, err)
		assert.Equal(t, w.clock.Now(), o.LastSignInAt)

		// Another process takes the token too, and makes no second key.
		other := w.another()
		_, err = other.Authenticate(ctx, tokens.Access, here)
		require.NoError(t, err)
		_, err = w.Authenticate(ctx, other.signIn("alice").Access, here)
		require.NoError(t, err)
		keys, err := w.store.SigningKeys(ctx)
		require.NoError(t, err)
		assert.Len(t, keys, 1)

		w.clock.add(operator.AccessTokenLife)
		_, err = w.Authenticate(ctx, tokens.Access, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated, "expired")
	})
}

// TestSignInTellsNothing: a name that does not exist costs the same work and gives
// the same answer as a wrong password.
func TestSignInTellsNothing(t *testing.T) {
	w := sqliteWorld(t)
	ctx := t.Context()
	w.add("alice", "support")
	disabled := w.add("bob", "support")
	status := operator.Disabled
	_, err := w.ChangeOperator(ctx, local, disabled.ID, operator.OperatorChange{Status: &status})
	require.NoError(t, err)
	_, err = w.CreateOperator(ctx, local, operator.NewOperator{Name: "carol"})
	require.NoError(t, err)
	var hashes int
	w.CountHashes(func() { hashes++ })
	for _, tt := range []struct{ name, login, password, reason string }{
		{"wrong password", "alice", wrongPassword, "wrong password"},
		{"nobody", "mallory", rightPassword, "no such operator"},
		{"disabled", "bob", rightPassword, "disabled"},
		{"no password", "carol", rightPassword, "wrong password"},
		{"no name", "", "", "no such operator"},
		{"hostile name", "a\x00' OR 1=1 --\xff", rightPassword, "no such operator"},
		{"huge password", "alice", rightPassword + string(make([]byte, 1<<20)), "wrong password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.clock.add(time.Hour)
			hashes = 0
			w.takeEvents()
			result, err := w.SignIn(ctx, tt.login, tt.password, here)
			assert.Nil(t, result)
			assert.Equal(t, operator.ErrBadCredentials, err)
			assert.Equal(t, 1, hashes)
			events := w.takeEvents()
			require.Len(t, events, 1)
			assert.Equal(t, operator.SignInFailed, events[0].Kind)
			assert.Equal(t, tt.reason, events[0].Reason)
			if events[0].OperatorID == uuid.Nil {
				assert.Empty(t, events[0].Name, "what was typed is not repeated")
			}
		})
	}
}

// TestThrottle: after five failures nothing is looked at for a while, not even the
// right password, for an account that exists and for one that does not.
func TestThrottle(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.add("alice", "support")
		other := w.another()
		hashes := 0
		w.CountHashes(func() { hashes++ })
		other.CountHashes(func() { hashes++ })
		for n, name := range []string{"alice", "mallory"} {
			addr := func(i int) (a [16]byte) { return [16]byte{0x20, 1, 0xd, 0xb8, byte(n), byte(i)} }
			for i := range 5 {
				_, err := w.SignIn(ctx, name, wrongPassword, addrOf(addr(i)))
				require.Equal(t, operator.ErrBadCredentials, err, "%s %d", name, i)
			}
			hashes = 0
			for _, process := range []*world{w, other} {
				_, err := process.SignIn(ctx, name, rightPassword, addrOf(addr(9)))
				assert.Equal(t, &operator.ThrottledError{RetryAfter: time.Second}, err, name)
			}
			assert.Zero(t, hashes, "nothing was looked at")
			w.clock.add(time.Second)
			_, err := other.SignIn(ctx, name, wrongPassword, addrOf(addr(10)))
			require.Equal(t, operator.ErrBadCredentials, err)
			_, err = w.SignIn(ctx, name, rightPassword, addrOf(addr(11)))
			assert.Equal(t, &operator.ThrottledError{RetryAfter: 2 * time.Second}, err, "it doubles")
		}
		w.clock.add(2 * time.Second)
		_, err := w.SignIn(ctx, "alice", rightPassword, here)
		require.NoError(t, err)
		for range 4 {
			_, err := w.SignIn(ctx, "alice", wrongPassword, here)
			require.Equal(t, operator.ErrBadCredentials, err, "a success forgets the account's failures")
		}
		w.clock.add(15 * time.Minute)
		for range 4 {
			_, err := w.SignIn(ctx, "alice", wrongPassword, here)
			require.Equal(t, operator.ErrBadCredentials, err, "after a quarter of an hour they are forgotten")
		}
	})
}

func TestThrottleByAddress(t *testing.T) {
	w := sqliteWorld(t)
	ctx := t.Context()
	w.add("alice", "support")
	a := addrOf([16]byte{0x20, 1, 0xd, 0xb8, 15: 1})
	sameHost := addrOf([16]byte{0x20, 1, 0xd, 0xb8, 15: 2})
	for i := range 5 {
		_, err := w.SignIn(ctx, string(rune('a'+i)), wrongPassword, a)
		require.Equal(t, operator.ErrBadCredentials, err)
	}
	var throttled *operator.ThrottledError
	_, err := w.SignIn(ctx, "alice", rightPassword, sameHost)
	require.ErrorAs(t, err, &throttled, "one machine has a /64")
	w.signIn("alice") // from elsewhere

	// Who has an account cannot go on for ever by signing in to it in between.
	w.clock.add(time.Second)
	_, err = w.SignIn(ctx, "alice", rightPassword, a)
	require.NoError(t, err)
	_, err = w.SignIn(ctx, "f", wrongPassword, a)
	require.Equal(t, operator.ErrBadCredentials, err)
	_, err = w.SignIn(ctx, "g", wrongPassword, a)
	require.ErrorAs(t, err, &throttled)
}

// TestThrottleAtOnce: many attempts at once are no more than many in turn.
func TestThrottleAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		w.add("alice", "support")
		var looked atomic.Int32
		w.CountHashes(func() { looked.Add(1) })
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				_, err := w.SignIn(t.Context(), "alice", wrongPassword, addrOf([16]byte{0x20, 1, byte(i)}))
				assert.Error(t, err)
			})
		}
		all.Wait()
		assert.EqualValues(t, 5, looked.Load())
	})
}

func TestLockAfter(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 0, 4: 0, 5: time.Second, 6: 2 * time.Second, 14: 512 * time.Second, 15: 15 * time.Minute, 1000: 15 * time.Minute} {
		assert.Equal(t, want, operator.LockAfter(failures), "%d", failures)
	}
}

func TestHashesAreBounded(t *testing.T) {
	w := sqliteWorld(t)
	w.add("alice", "support")
	release := make(chan struct{})
	var running, most atomic.Int32
	w.HashBy(func(_, _ []byte) []byte {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		running.Add(-1)
		return make([]byte, 32)
	})
	var busy atomic.Int32
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			_, err := w.SignIn(t.Context(), uuid.NewString(), wrongPassword, addrOf([16]byte{0x20, byte(i), 1}))
			if err == operator.ErrBusy {
				busy.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return busy.Load() > 0 }, time.Minute, 5*time.Millisecond)
	close(release)
	all.Wait()
	assert.LessOrEqual(t, int(most.Load()), runtime.GOMAXPROCS(0))
}

func addrOf(a [16]byte) netip.Addr { return netip.AddrFrom16(a) }

// TestArgon2id has passwords hashed as outside of tests.
func TestArgon2id(t *testing.T) {
	w := sqliteWorld(t)
	w.HashBy(operator.Argon2id)
	alice := w.add("alice", "support")
	w.signIn("alice")
	_, err := w.SignIn(t.Context(), "alice", wrongPassword, here)
	require.ErrorIs(t, err, operator.ErrBadCredentials)
	stored, err := w.store.OperatorByID(t.Context(), alice.ID)
	require.NoError(t, err)
	rest, ok := strings.CutPrefix(string(stored.PasswordHash), "$argon2id$v=19$m=19456,t=2,p=1$")
	require.True(t, ok, "of the cost that OWASP asks for")
	saltText, keyText, _ := strings.Cut(rest, "$")
	salt, err := base64.RawStdEncoding.DecodeString(saltText)
	require.NoError(t, err)
	key, err := base64.RawStdEncoding.DecodeString(keyText)
	require.NoError(t, err)
	require.Equal(t, argon2.IDKey([]byte(rightPassword), salt, 2, 19*1024, 1, 32), key)
}
