package aaa

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestPaceRestsAfterALittleWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pace := PaceOf(WithPace(ctx))
		step := func(work time.Duration) (rested time.Duration) {
			time.Sleep(work) // of the bubble's clock
			began := time.Now()
			pace.Step()
			return time.Since(began)
		}
		require.Zero(t, step(paceWork-1))
		require.Equal(t, paceRest, step(1))
		require.Zero(t, step(paceWork-1), "it begins anew")
		require.Equal(t, paceRest, step(time.Second))
		cancel()
		require.Zero(t, step(time.Second), "whoever waits for the end is not kept waiting")

		pace = PaceOf(t.Context())
		require.Nil(t, pace)
		require.Zero(t, step(time.Second), "without a pace nothing rests")
	})
}

// busyStore takes a while for each user, and rests as a store does.
type busyStore struct {
	*fakeStore
	perUser time.Duration
	working time.Duration // the longest time without a rest
	atOnce  int           // the most users read at once
}

func (s *busyStore) UsersByID(ctx context.Context, ids []uuid.UUID) ([]User, error) {
	s.atOnce = max(s.atOnce, len(ids))
	pace := PaceOf(ctx)
	began := time.Now()
	for range ids {
		time.Sleep(s.perUser) // work
		ended := time.Now()
		pace.Step()
		if rested := time.Since(ended); rested > 0 || pace == nil {
			s.working = max(s.working, ended.Sub(began))
			began = time.Now()
		}
	}
	return s.fakeStore.UsersByID(ctx, ids)
}

// Very many users that change at once are taken in little by little, and one that
// changes after them does not wait for them.
func TestDirectoryTakesManyChangesInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 20_000
		store := &busyStore{fakeStore: newFakeStore(), perUser: 100 * time.Microsecond}
		d := newDirectory(t, store)
		require.NoError(t, d.Load(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { d.Run(ctx); close(ended) }()

		for i := range many {
			store.putUser(User{Name: fmt.Sprint("user ", i)})
		}
		time.Sleep(time.Second)
		require.NotZero(t, d.Status().Users)
		urgent := store.putUser(User{Name: "urgent"})
		time.Sleep(time.Second)
		_, ok := d.User("urgent")
		require.True(t, ok, "in force within a second")
		urgent.Status = UserDisabled
		store.putUser(urgent)
		time.Sleep(time.Second)
		u, _ := d.User("urgent")
		require.Equal(t, UserDisabled, u.Status)
		require.Less(t, d.Status().Users, many, "while others still wait")

		time.Sleep(time.Minute)
		require.Equal(t, many+1, d.Status().Users)
		require.LessOrEqual(t, store.working, paceWork+store.perUser)
		require.LessOrEqual(t, store.atOnce, usersPerRead)
		cancel()
		<-ended
	})
}

// What could not be read is read later: the feed does not tell again.
func TestDirectoryForgetsNoChangeWhenTheStoreFails(t *testing.T) {
	store := newFakeStore()
	plan := store.putPlan(Plan{Name: "basic"})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	other := store.putPlan(Plan{Name: "other"})
	user := store.putUser(User{Name: "alice", PlanID: other.ID})
	failing := &failingStore{fakeStore: store}
	d.options.Store = failing
	for _, failing.method = range []string{"plans", "users"} {
		require.ErrorIs(t, d.Refresh(t.Context()), errStoreDown, failing.method)
		_, ok := d.User("alice")
		require.False(t, ok)
	}
	user.PlanID = plan.ID
	failing.method = ""
	require.NoError(t, d.Refresh(t.Context()))
	require.Equal(t, "other", d.PlanOf("alice"))
	store.putUser(user)
	require.NoError(t, d.Refresh(t.Context()))
	require.Equal(t, "basic", d.PlanOf("alice"))
}

// failingStore fails in one method.
type failingStore struct {
	*fakeStore
	method string
}

func (s *failingStore) EachUser(ctx context.Context, fn func(*User) error) error {
	if s.method == "everything" {
		return errStoreDown
	}
	return s.fakeStore.EachUser(ctx, fn)
}

func (s *failingStore) Plans(ctx context.Context) ([]Plan, error) {
	if s.method == "plans" {
		return nil, errStoreDown
	}
	return s.fakeStore.Plans(ctx)
}

func (s *failingStore) UsersByID(ctx context.Context, ids []uuid.UUID) ([]User, error) {
	if s.method == "users" {
		return nil, errStoreDown
	}
	return s.fakeStore.UsersByID(ctx, ids)
}

// As long as everything is to be read again and cannot be, no more users wait.
func TestDirectoryBoundsWhatWaitsWhenTheStoreFails(t *testing.T) {
	store := newFakeStore()
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	user := store.putUser(User{Name: "alice"})
	for len(store.changes) <= maxPending {
		store.changes = append(store.changes, Change{Entity: EntityUser, ID: user.ID})
	}
	failing := &failingStore{fakeStore: store, method: "everything"}
	d.options.Store = failing
	for range 3 {
		require.ErrorIs(t, d.Refresh(t.Context()), errStoreDown)
		require.LessOrEqual(t, len(d.pending), len(store.changes))
	}
	failing.method = ""
	require.NoError(t, d.Refresh(t.Context()))
	require.Empty(t, d.pending)
	_, ok := d.User("alice")
	require.True(t, ok)
}

// The gauge counts down as changed users are read, and only then says that none waits.
func TestDirectoryTellsHowManyUsersWait(t *testing.T) {
	store := newFakeStore()
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	for i := range usersPerRead + 1 {
		store.putUser(User{Name: fmt.Sprint("user", i)})
	}
	failing := &failingStore{fakeStore: store, method: "users"}
	d.options.Store = failing
	require.ErrorIs(t, d.Refresh(t.Context()), errStoreDown)
	require.EqualValues(t, usersPerRead+1, d.waiting.Load())
	failing.method = ""
	require.NoError(t, d.Refresh(t.Context()))
	require.Zero(t, d.waiting.Load())
}

// pacedStore notes whether what writes decisions may rest.
type pacedStore struct {
	*fakeStore
	paces chan *Pace
}

func (s *pacedStore) AppendAuthRecords(ctx context.Context, batch *AuthBatch) error {
	s.paces <- PaceOf(ctx)
	return s.fakeStore.AppendAuthRecords(ctx, batch)
}

// Decisions are written while packets are answered, perhaps on the only processor.
func TestAuthRecorderLeavesTheProcessorToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pacedStore{newFakeStore(), make(chan *Pace)}
		r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.Run(ctx); close(ended) }()
		recorded(r, "alice", Decision{})
		pace := <-store.paces
		require.NotNil(t, pace)
		time.Sleep(paceWork)
		began := time.Now()
		pace.Step()
		require.Equal(t, paceRest, time.Since(began))

		synctest.Wait()
		recorded(r, "bob", Decision{})
		cancel()
		require.Nil(t, <-store.paces, "the last ones are not to take longer than they must")
		<-ended
	})
}

// noSessions is a store of none.
type noSessions struct{}

func (noSessions) SessionsByID(context.Context, []uuid.UUID) ([]Session, error) { return nil, nil }

func (noSessions) SessionsOfUsers(context.Context, []string, []netip.Addr, time.Time, int) ([]Session, error) {
	return nil, nil
}

func (noSessions) BootsOf(context.Context, []netip.Addr, time.Time) ([]Boot, error) { return nil, nil }

func (noSessions) EndByBoot(context.Context, Boot) error { return nil }

// Records of a batch are merged while packets are answered, perhaps on the only processor.
func TestMergeBatchLetsPacketsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := make([]Record, 10*stepAfter)
		for i := range records {
			records[i] = Record{Status: AcctInterim, SessionID: uuid.New(), EventTime: time.Now()}
		}
		merge := func(ctx context.Context) time.Duration {
			time.Sleep(paceWork) // what came before took long
			began := time.Now()
			_, err := MergeBatch(ctx, noSessions{}, records, time.UTC)
			require.NoError(t, err)
			return time.Since(began)
		}
		require.Equal(t, paceRest, merge(WithPace(t.Context())))
		require.Zero(t, merge(t.Context()))
	})
}

// Who waits for the network comes first, on the only processor, where a yield would let
// nobody in; and if nobody waits, the turn is over at once.
func TestTurnsLetPacketsIn(t *testing.T) {
	from, to, err := os.Pipe()
	require.NoError(t, err)
	defer from.Close()
	defer to.Close()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var came, ended atomic.Int64
	go func() {
		defer ended.Store(1)
		for {
			if _, err := from.Read(make([]byte, 1)); err != nil {
				return
			}
			came.Add(1)
		}
	}()
	turn := newTurn()
	require.NotNil(t, turn.wait)
	inTime := func(letIn func()) (times int) {
		for range 1000 {
			turn.take() // it waits for the pipe now
			before := came.Load()
			_, err := to.Write([]byte{1})
			require.NoError(t, err)
			if letIn(); came.Load() > before {
				times++
			}
		}
		return times
	}
	require.Greater(t, inTime(turn.take), 900, "now and then the scheduler prefers who has yielded")
	require.Less(t, inTime(runtime.Gosched), 500, "a yield would do")
	to.Close()
	require.Eventually(t, func() bool { return ended.Load() == 1 }, 20*time.Second, time.Millisecond)
}

// Others that leave it no time do not keep work from going on.
func TestTurnsKeepAShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := time.Duration(0)
		pace := PaceOf(withPace(t.Context(), func() { time.Sleep(away) }))
		turn := func() time.Duration {
			time.Sleep(pace.work) // work
			pace.Step()
			return pace.work
		}
		require.Equal(t, paceWork, turn())
		away = 12 * time.Millisecond
		require.Equal(t, 4*time.Millisecond, turn())
		away = time.Microsecond
		require.Equal(t, paceWork, turn())
		began := time.Now()
		pace.Step()
		require.Zero(t, time.Since(began), "it was just there")
	})
}
