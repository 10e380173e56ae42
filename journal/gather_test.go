package journal_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
	"radiusd/journal/journaltest"
)

// syncTime is how long a disk takes for a sync here.
const syncTime = 300 * time.Microsecond

type slow struct{ *journaltest.Disk }

type slowFile struct{ journal.File }

func (s slow) Create(name string) (journal.File, error) {
	f, err := s.Disk.Create(name)
	return slowFile{f}, err
}

func (f slowFile) SyncData() error {
	after(syncTime)
	return f.File.SyncData()
}

func openSlow(t *testing.T) *journal.Journal {
	j, err := journal.Open(journal.Options{Dir: dir, FS: slow{journaltest.New(1)}})
	require.NoError(t, err)
	return j
}

// TestRecordsThatKeepComingAreGathered: a group for every 1.5 ms, or nearly.
func TestRecordsThatKeepComingAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openSlow(t)
		record := make([]byte, 100)
		for range 5_000 {
			for range 3 {
				require.NoError(t, j.Append(record, nil))
			}
			after(100 * time.Microsecond)
		}
		require.NoError(t, j.Close())
		s := j.Stats()
		require.Equal(t, uint64(15_000), s.Records)
		require.InDelta(t, 15_000/45, s.Groups, 20)
	})
}

// TestWhoWaitsForAnswersIsNotWaitedFor: 20 senders, each with one record under way.
func TestWhoWaitsForAnswersIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openSlow(t)
		record := make([]byte, 100)
		const senders, rounds = 20, 500
		acknowledged := make(chan struct{}, senders)
		c := journal.CommittedFunc(func(journal.Position, error) { acknowledged <- struct{}{} })
		round := func() {
			for range senders {
				require.NoError(t, j.Append(record, c))
			}
			for range senders {
				<-acknowledged
			}
		}
		for range 100 {
			round() // until it is known
		}
		began := time.Now()
		for range rounds {
			round()
		}
		require.Less(t, time.Since(began), rounds*2*syncTime)

		// There are fewer now, and no round waits for long for the others.
		began = time.Now()
		for range 10 {
			require.NoError(t, j.Append(record, c))
			require.NoError(t, j.Append(record, c))
			<-acknowledged
			<-acknowledged
		}
		require.LessOrEqual(t, time.Since(began), 10*2*time.Millisecond)
		require.NoError(t, j.Close())
	})
}

// TestAlarmEndsWhileAGroupIsGathered: what wakes the committer while it lets a group
// fill is not only for the group.
func TestAlarmEndsWhileAGroupIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := small(nil) // 32 KiB in segments of 4 KiB
		opt.FS = slow{journaltest.New(1)}
		j, err := journal.Open(opt)
		require.NoError(t, err)
		j.Retain("sql", 0)
		add := func(n int) {
			for range n {
				require.NoError(t, j.Append(make([]byte, 1000), nil))
			}
			synctest.Wait()
		}
		for !j.Stats().NearlyFull {
			add(1)
			after(time.Second)
		}
		add(1) // while it is synced, a group of two fills
		add(2)
		after(2*syncTime + syncTime/2)
		require.Equal(t, 2, j.Stats().LastGroup, "the committer waits for more")
		for j.Stats().Bytes >= opt.MaxBytes*70/100 { // the last deletion wakes it
			j.Retain("sql", j.Stats().Oldest+(4<<10))
		}
		after(time.Second)
		require.False(t, j.Stats().NearlyFull)
		require.NoError(t, j.Close())
	})
}
