package operator_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/internal/teststore"
	"radiusd/operator"
	"radiusd/store"
	"radiusd/store/seal"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	if err := testserver.Leaked(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const (
	rightPassword = "violet-cactus-9 drums"
	wrongPassword = "violet-cactus-8 drums"
)

var here = netip.MustParseAddr("192.0.2.7")

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a service on a store.
type world struct {
	*operator.Service
	t       testing.TB
	clock   *clock
	store   *store.Store
	options store.Options
	mu      sync.Mutex
	events  []operator.SignInEvent
}

// engines runs a test on both databases.
func engines(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, newWorld(t, teststore.SQLite(t)))
	})
	t.Run("Postgres", func(t *testing.T) {
		test(t, newWorld(t, teststore.Postgres(t)))
	})
}

// sqliteWorld is for what the database has no part in.
func sqliteWorld(t testing.TB) *world {
	return newWorld(t, teststore.SQLite(t))
}

func newWorld(t testing.TB, options store.Options) *world {
	options.Sealer = seal.New(seal.NewKey())
	return openWorld(t, options, &clock{now: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)})
}

// another is another process on the same store.
func (w *world) another() *world { return openWorld(w.t, w.options, w.clock) }

func openWorld(t testing.TB, options store.Options, c *clock) *world {
	t.Helper()
	w := &world{t: t, clock: c, options: options}
	options.Now = c.Now
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	w.store = s
	w.Service, err = operator.New(operator.Options{Store: s, Now: c.Now, Notify: w.notify})
	require.NoError(t, err)
	w.HashBy(func(password, salt []byte) []byte { // TestArgon2id has the real one
		sum := sha256.Sum256(slices.Concat(salt, password))
		return sum[:]
	})
	return w
}

// events are those that came since the last call.
func (w *world) takeEvents() []operator.SignInEvent {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.events
	w.events = nil
	return list
}

func (w *world) notify(_ context.Context, event operator.SignInEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

var local = operator.Local("root")

// add makes an operator with the right password.
func (w *world) add(name string, roles ...string) *operator.Operator {
	w.t.Helper()
	o, err := w.CreateOperator(w.t.Context(), local, operator.NewOperator{Name: name, Password: rightPassword, Roles: roles})
	require.NoError(w.t, err)
	w.clock.add(time.Second)
	return o
}

// signIn signs an operator in who has no second factor.
func (w *world) signIn(name string) *operator.Tokens {
	w.t.Helper()
	result, err := w.SignIn(w.t.Context(), name, rightPassword, here)
	require.NoError(w.t, err)
	require.NotNil(w.t, result.Tokens)
	return result.Tokens
}

// as is the principal of an operator who signs in.
func (w *world) as(name string) operator.Principal {
	w.t.Helper()
	p, err := w.Authenticate(w.t.Context(), w.signIn(name).Access, here)
	require.NoError(w.t, err)
	return p
}
