package journal_test

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
	"radiusd/journal/journaltest"
)

func TestAFailingDeviceRefusesAndRecoversByItself(t *testing.T) {
	for name, tc := range map[string]struct {
		fail func(*journaltest.Disk)
		heal func(*journaltest.Disk)
		want []error
	}{
		"sync error": {
			func(d *journaltest.Disk) { d.FailSyncs(syscall.EIO) },
			func(d *journaltest.Disk) { d.FailSyncs(nil); d.Evict() },
			[]error{journal.ErrFailed, syscall.EIO},
		},
		"short write": {
			func(d *journaltest.Disk) { d.FailWrites(syscall.EIO) },
			func(d *journaltest.Disk) { d.FailWrites(nil) },
			[]error{journal.ErrFailed, syscall.EIO},
		},
		"no space": {
			func(d *journaltest.Disk) { d.SetCapacity(d.Used() + 200) },
			func(d *journaltest.Disk) { d.SetCapacity(-1) },
			[]error{journal.ErrFull, syscall.ENOSPC},
		},
		"quota": {
			func(d *journaltest.Disk) { d.FailSyncs(syscall.EDQUOT) },
			func(d *journaltest.Disk) { d.FailSyncs(nil) },
			[]error{journal.ErrFull, syscall.EDQUOT},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := journaltest.New(1)
				j, err := journal.Open(small(disk))
				require.NoError(t, err)
				good := mustAppend(t, j, record(1))
				r := reader(t, j, 0)

				tc.fail(disk)
				var told, refused []error
				for range 3 {
					err := j.Append(make([]byte, 500), journal.CommittedFunc(
						func(end journal.Position, err error) { told = append(told, err) }))
					if err != nil { // the group of those before has failed already
						refused = append(refused, err)
					}
				}
				synctest.Wait()
				told = append(told, refused...)
				require.Len(t, told, 3, "nothing of the group is acknowledged")
				for range 5 {
					err := j.Append(record(2), nil)
					for _, want := range tc.want {
						require.ErrorIs(t, err, want)
						require.ErrorIs(t, errors.Join(told...), want)
						require.ErrorIs(t, j.Stats().Err, want)
					}
					after(time.Second)
				}
				require.Equal(t, good, j.End())

				tc.heal(disk)
				after(2 * time.Second)
				require.NoError(t, j.Stats().Err)
				mustAppend(t, j, record(3))
				require.Equal(t, uint64(1), j.Stats().Failures)
				for _, n := range []uint64{1, 3} {
					b, _, err := r.Next(t.Context())
					require.NoError(t, err)
					require.Equal(t, record(n), b)
				}
				require.NoError(t, j.Close())

				disk.Restart()
				j, err = journal.Open(small(disk))
				require.NoError(t, err)
				r = reader(t, j, good)
				b, _, err := r.Next(t.Context())
				require.NoError(t, err)
				require.Equal(t, record(3), b, "the failed group does not come back")
				require.NoError(t, j.Close())
			})
		})
	}
}

func TestWhatFilledDuringAFailureIsToldAsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, permits := journaltest.New(1), make(chan struct{})
		opt := small(disk)
		opt.FS = stalled{disk, permits}
		j, err := journal.Open(opt)
		require.NoError(t, err)
		var told []int
		for i := range 4 {
			require.NoError(t, j.Append(make([]byte, 100), journal.CommittedFunc(func(_ journal.Position, err error) {
				require.ErrorIs(t, err, journal.ErrFailed)
				told = append(told, i)
			})))
			synctest.Wait() // the first group syncs, the others fill the next
		}
		disk.FailSyncs(syscall.EIO)
		close(permits)
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2, 3}, told)
		require.ErrorIs(t, j.Append([]byte("x"), nil), journal.ErrFailed)
		require.NoError(t, j.Close(), "a failing journal closes at once")
	})
}

// A sync fails, which leaves the pages clean in the cache, and the process is
// killed before it can cut them. The next process reads them, so from then on
// they must survive.
func TestRecoveredRecordsAreDurableBeforeTheyAreRead(t *testing.T) {
	for seed := range uint64(50) {
		disk := journaltest.New(seed)
		j, err := journal.OpenStepped(small(disk))
		require.NoError(t, err)
		require.NoError(t, j.Append(record(1), nil))
		disk.FailSyncs(syscall.EIO)
		disk.CutPowerAfter(2) // the write and the sync, but not the truncation
		j.Step()
		disk.FailSyncs(nil)
		disk.Kill()

		j, err = journal.OpenStepped(small(disk))
		require.NoError(t, err)
		b, end, ok, err := reader(t, j, 0).TryNext()
		require.NoError(t, err)
		require.True(t, ok, "the cache has it")
		require.Equal(t, record(1), b)

		disk.Restart()
		j, err = journal.OpenStepped(small(disk))
		require.NoError(t, err)
		require.Equal(t, end, j.End(), "seed %d", seed)
	}
}

// A process is killed when it has given a new segment its name and not yet synced
// the folder. The next one finds the segment and goes on in it; then the power goes.
func TestASegmentThatAKilledProcessMadeKeepsItsName(t *testing.T) {
	for seed := range uint64(20) {
		disk := journaltest.New(seed)
		disk.CutPowerAfter(4) // creation, write, sync and renaming, but not the sync of the folder
		_, err := journal.OpenStepped(small(disk))
		require.ErrorIs(t, err, journaltest.ErrPowerCut)
		disk.Kill()

		j, err := journal.OpenStepped(small(disk))
		require.NoError(t, err)
		var end journal.Position
		require.NoError(t, j.Append(record(1), journal.CommittedFunc(func(at journal.Position, err error) { end = at })))
		j.Step()
		require.NotZero(t, end)
		disk.Restart()
		j, err = journal.OpenStepped(small(disk))
		require.NoError(t, err)
		require.Equal(t, end, j.End(), "seed %d", seed)
	}
}

func TestAJournalBeginsOnAFullDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := journaltest.New(1)
		disk.SetCapacity(0)
		j, err := journal.Open(small(disk))
		require.NoError(t, err)
		require.ErrorIs(t, j.Append(record(1), nil), journal.ErrFull)
		require.ErrorIs(t, j.Stats().Err, syscall.ENOSPC)
		r := reader(t, j, 0)
		_, _, ok, err := r.TryNext()
		require.NoError(t, err)
		require.False(t, ok)

		disk.SetCapacity(-1)
		after(2 * time.Second)
		require.NoError(t, j.Stats().Err)
		mustAppend(t, j, record(1))
		b, _, err := r.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, record(1), b)
		require.NoError(t, j.Close())

		disk = journaltest.New(1)
		disk.FailSyncs(syscall.EIO)
		_, err = journal.Open(small(disk))
		require.ErrorIs(t, err, syscall.EIO, "what does not pass by itself is said at once")
	})
}

// Of a group that the power cut off, the first record is lost and those behind it are
// not. The tail is cut, so that they do not come back behind a record that is written
// where the first one was.
func TestWhatWasCutDoesNotComeBack(t *testing.T) {
	disk := journaltest.New(1)
	j, err := journal.OpenStepped(small(disk))
	require.NoError(t, err)
	of := func(n byte) []byte { return bytes.Repeat([]byte{n}, 200) }
	for n := range byte(3) {
		require.NoError(t, j.Append(of(n), nil))
	}
	disk.CutPowerAfter(1) // the write, but not the sync
	j.Step()
	disk.Kill()
	disk.Content(dir + "/" + journal.SegmentName(0))[journal.SegmentHeader+50] ^= 1

	for life := range byte(2) {
		j, err = journal.OpenStepped(small(disk))
		require.NoError(t, err)
		r := reader(t, j, 0)
		for n := range life {
			b, _, ok, err := r.TryNext()
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, of(100+n), b)
		}
		_, _, ok, err := r.TryNext()
		require.NoError(t, err)
		require.False(t, ok, "life %d", life)
		require.NoError(t, j.Append(of(100+life), nil))
		j.Step()
		disk.Kill()
	}
}
