package journal_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
	"radiusd/journal/journaltest"
)

// files are the segments and the spare in the journal's folder.
func files(t *testing.T, disk *journaltest.Disk) []string {
	t.Helper()
	names, err := disk.ReadDir(dir)
	require.NoError(t, err)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, ".journal") })
}

// intoPrepared opens a stepped journal, appends records 0 and 1, and gives it with
// record 1 in a prepared segment that begins where record 0 ends.
func intoPrepared(t *testing.T, opt journal.Options) (*journal.Journal, journal.Position) {
	t.Helper()
	j, err := journal.OpenStepped(journal.Prepared(opt, 1, 0, 0))
	require.NoError(t, err)
	require.NoError(t, j.Append(fullRecord(0), nil))
	j.Step()
	base := j.End()
	for j.PrepareStep() {
	}
	require.NoError(t, j.Append(fullRecord(1), nil))
	j.Step()
	require.True(t, j.ActivePrepared())
	return j, base
}

func TestAJournalUnderLoadWritesIntoPreparedSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := journaltest.New(1)
		opt := small(disk)
		j, err := journal.Open(journal.Prepared(opt, 1500, time.Millisecond, time.Second))
		require.NoError(t, err)
		r := reader(t, j, 0)
		for n := range 10 {
			mustAppend(t, j, fullRecord(n))
			b, _, err := r.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, fullRecord(n), b, "a reader follows")
			after(time.Second)
		}
		require.True(t, j.ActivePrepared())
		// The first segment was left for the spare, the others were filled.
		first := journal.Position(2000)
		require.Equal(t, []string{journal.SegmentName(0), journal.SegmentName(first), journal.SegmentName(first + 4000),
			journal.SpareName}, files(t, disk))
		require.Len(t, disk.Content(dir+"/"+journal.SegmentName(first)), journal.SegmentHeader+4000, "what is left over is given back")
		require.Len(t, disk.Content(dir+"/"+journal.SegmentName(first+4000)), int(opt.SegmentBytes))

		info, err := journal.InspectFS(disk, dir)
		require.NoError(t, err)
		require.Zero(t, info.Torn, "zeros are room for what is to come")
		require.Nil(t, info.Damage)
		require.Equal(t, j.End(), info.End)
		require.Equal(t, j.Stats().Bytes, info.Bytes)
		report, err := journal.VerifyFS(disk, dir)
		require.NoError(t, err)
		require.Zero(t, report.Torn)
		require.Empty(t, report.Damage)
		require.Equal(t, uint64(10), report.Records)

		require.NoError(t, j.Close())
		require.Len(t, files(t, disk), 3, "no spare is left behind")
		require.Len(t, disk.Content(dir+"/"+journal.SegmentName(first+4000)),
			journal.SegmentHeader+4000+journal.FrameHeader, "nor zeros")
	})
}

func TestLittleTrafficPreparesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := journaltest.New(1)
		j, err := journal.Open(journal.Options{Dir: dir, FS: disk})
		require.NoError(t, err)
		for range 200 { // 1 MiB in 80 s
			mustAppend(t, j, make([]byte, 64<<10))
			after(5 * time.Second)
			require.Len(t, files(t, disk), 1)
		}
		for range 20 { // all at once
			mustAppend(t, j, make([]byte, 64<<10))
		}
		synctest.Wait()
		require.Contains(t, files(t, disk), journal.SpareName)
		require.NoError(t, j.Close())
	})
}

func TestCloseWhileASpareIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := journaltest.New(1)
		j, err := journal.Open(journal.Prepared(small(disk), 1, time.Hour, 0))
		require.NoError(t, err)
		mustAppend(t, j, record(1))
		synctest.Wait()
		require.Contains(t, files(t, disk), journal.SpareName)
		began := time.Now()
		require.NoError(t, j.Close())
		require.Zero(t, time.Since(began))
		require.Equal(t, []string{journal.SegmentName(0)}, files(t, disk))
	})
}

// The device has no room for a spare: records go on, its space is given back at once,
// and it is tried again much later.
func TestNoRoomForASpareIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := journaltest.New(1)
		opt := small(disk)
		var log bytes.Buffer
		opt.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		j, err := journal.Open(journal.Prepared(opt, 1, 100*time.Millisecond, time.Minute))
		require.NoError(t, err)
		disk.SetCapacity(2*opt.SegmentBytes - 1)
		mustAppend(t, j, fullRecord(0))
		synctest.Wait()
		require.Len(t, files(t, disk), 1, "one is not even begun")
		after(time.Minute)
		disk.SetCapacity(3 * opt.SegmentBytes)
		mustAppend(t, j, fullRecord(1))
		synctest.Wait()
		require.Len(t, files(t, disk), 2)
		disk.SetCapacity(disk.Used() + 1500) // somebody else has taken the room
		for n := range 2 {
			after(time.Second)
			require.Len(t, files(t, disk), 1)
			mustAppend(t, j, fullRecord(2+n))
		}
		require.Equal(t, 2, strings.Count(log.String(), "cannot prepare a segment"), &log)
		require.NoError(t, j.Stats().Err)
		require.Zero(t, j.Stats().Failures)

		disk.SetCapacity(-1)
		after(time.Minute)
		for n := range 2 {
			mustAppend(t, j, fullRecord(n))
			after(time.Second)
		}
		require.True(t, j.ActivePrepared())
		require.NoError(t, j.Close())
	})
}

// A device that fails takes the spare with it: the journal begins again with trial data.
func TestAFailureDropsTheSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, pause := range map[string]time.Duration{"ready": time.Millisecond, "being made": time.Minute} {
			disk := journaltest.New(1)
			j, err := journal.Open(journal.Prepared(small(disk), 1, pause, time.Hour))
			require.NoError(t, err)
			good := mustAppend(t, j, fullRecord(0))
			after(time.Second)
			require.Contains(t, files(t, disk), journal.SpareName, name)
			disk.FailSyncs(syscall.EIO)
			_, err = appendWait(t, j, fullRecord(1))
			require.ErrorIs(t, err, journal.ErrFailed)
			disk.FailSyncs(nil)
			after(2 * time.Minute)
			require.NotContains(t, files(t, disk), journal.SpareName, name)
			require.NoError(t, j.Stats().Err)
			mustAppend(t, j, fullRecord(2))
			require.False(t, j.ActivePrepared())
			b, _, _, err := reader(t, j, good).TryNext()
			require.NoError(t, err)
			require.Equal(t, fullRecord(2), b)
			require.NoError(t, j.Close())
		}
	})
}

// With the spare and the zeros of the active segment the folder stays below MaxBytes,
// and nothing is refused on their account.
func TestSparesKeepToMaxBytes(t *testing.T) {
	disk := journaltest.New(1)
	opt := small(disk)
	j, err := journal.OpenStepped(journal.Prepared(opt, 1, 0, 0))
	require.NoError(t, err)
	n, prepared := 0, 0
	for ; j.Append(fullRecord(n), nil) == nil; n++ {
		j.Step()
		for more := true; more; more = j.PrepareStep() {
			require.LessOrEqual(t, disk.Used(), opt.MaxBytes)
		}
		if j.ActivePrepared() {
			prepared++
		}
	}
	require.Equal(t, int(opt.MaxBytes)/1008, n)
	require.Greater(t, prepared, n/2)
	require.NotContains(t, files(t, disk), journal.SpareName)
	require.NoError(t, j.CloseStepped())
}

// The journal fills while a spare is being made, and then there is no room for it.
func TestASpareThatHasNoRoomAnyMoreIsDropped(t *testing.T) {
	disk := journaltest.New(1)
	opt := small(disk)
	j, err := journal.OpenStepped(journal.Prepared(opt, 1, 0, 0))
	require.NoError(t, err)
	for n := 0; j.Append(fullRecord(n), nil) == nil; n++ {
		j.Step()
		if n == 0 {
			require.True(t, j.PrepareStep())
		}
	}
	for j.PrepareStep() {
	}
	require.NotContains(t, files(t, disk), journal.SpareName)
	require.LessOrEqual(t, disk.Used(), opt.MaxBytes)
	require.NoError(t, j.CloseStepped())
}

// A crash leaves zeros behind the last record of a prepared segment, and perhaps a part
// of a group before them.
func TestCrashInAPreparedSegment(t *testing.T) {
	for name, tc := range map[string]struct {
		write int // octets of a group of two records that reached the device
		torn  int64
	}{
		"between two groups":                       {0, 0},
		"in the middle of a group's first record":  {500, 500},
		"in the middle of a group's second record": {1500, 500},
		"behind the group's records":               {2000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			disk := journaltest.New(1)
			j, base := intoPrepared(t, small(disk))
			segment := filepath.Join(dir, journal.SegmentName(base))
			require.NoError(t, j.Append(fullRecord(2), nil))
			require.NoError(t, j.Append(fullRecord(3), nil))
			disk.CutPowerAfter(1) // the write, but not the sync
			j.Step()
			disk.Kill()
			const before = journal.SegmentHeader + 1000
			b := disk.Content(segment)
			require.Len(t, b, 4<<10)
			clear(b[before+tc.write:])
			whole := 2 + tc.write/1000

			info, err := journal.InspectFS(disk, dir)
			require.NoError(t, err)
			require.Equal(t, tc.torn, info.Torn)
			require.Equal(t, journal.Position(whole*1000), info.End)
			report, err := journal.VerifyFS(disk, dir)
			require.NoError(t, err)
			require.Equal(t, tc.torn, report.Torn)
			require.Empty(t, report.Damage)

			var log bytes.Buffer
			opt := small(disk)
			opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
			j, err = journal.OpenStepped(opt)
			require.NoError(t, err)
			if tc.torn == 0 {
				require.Empty(t, log.String())
			} else {
				require.Contains(t, log.String(), "octets=500")
			}
			require.Len(t, disk.Content(segment), journal.SegmentHeader+(whole-1)*1000)
			require.NoError(t, j.Append(fullRecord(9), nil))
			j.Step()
			got, err := readAll(t, j)
			require.NoError(t, err)
			require.Equal(t, append([]int{0, 1, 2, 3}[:whole:whole], 9), got)
		})
	}
}

// What was durable in a prepared segment and does not verify is damage, also without a seal.
func TestDamageInAPreparedSegmentAfterACrash(t *testing.T) {
	for name, damage := range map[string]func(b []byte){
		"octet": func(b []byte) { b[1500] ^= 1 },
		"zeros": func(b []byte) { clear(b[1000:2000]) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := journaltest.New(1)
			j, base := intoPrepared(t, small(disk))
			for n := range 2 {
				require.NoError(t, j.Append(fullRecord(2+n), nil))
				j.Step()
			}
			disk.Kill()
			damage(disk.Content(filepath.Join(dir, journal.SegmentName(base)))[journal.SegmentHeader:])

			_, err := journal.OpenStepped(small(disk))
			var corrupt *journal.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, int64(journal.SegmentHeader+1000), corrupt.Offset)
			skipped, err := journal.SkipDamageFS(disk, dir, corrupt.Segment)
			require.NoError(t, err)
			require.Equal(t, int64(1000), skipped.Damage[0].Octets)
			j, err = journal.OpenStepped(small(disk))
			require.NoError(t, err)
			got, err := readAll(t, j)
			require.NoError(t, err)
			require.Equal(t, []int{0, 1, 3}, got)
		})
	}
}

// The power goes, or the process ends, at each operation on the way into a prepared
// segment, in it, and out of it into the next one.
func TestCrashAtEachStepOfPreparing(t *testing.T) {
	for _, power := range []bool{true, false} {
		done := false
		for at := 0; !done; at++ {
			disk := journaltest.New(uint64(at))
			opt := journal.Prepared(small(disk), 1, 0, 0)
			j, err := journal.OpenStepped(opt)
			require.NoError(t, err)
			disk.CutPowerAfter(at)
			acked := 0
			for n := range 8 {
				_ = j.Append(fullRecord(n), journal.CommittedFunc(func(_ journal.Position, err error) {
					if err == nil {
						acked++
					}
				}))
				j.Step()
				for j.PrepareStep() {
				}
			}
			_, err = disk.ReadDir(dir)
			done = err == nil // the power is still there
			if power {
				disk.Restart()
			} else {
				disk.Kill()
			}
			info, err := journal.InspectFS(disk, dir)
			require.NoError(t, err)
			require.Nil(t, info.Damage)
			j, err = journal.OpenStepped(opt)
			require.NoError(t, err)
			require.NotContains(t, files(t, disk), journal.SpareName)
			got, err := readAll(t, j)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(got), acked, "cut after %d", at)
			for n := range got {
				require.Equal(t, n, got[n], "cut after %d", at)
			}
			require.NoError(t, j.Append(fullRecord(8), nil))
			j.Step()
			again, err := readAll(t, j)
			require.NoError(t, err)
			require.Equal(t, append(got, 8), again)
		}
	}
}

// racing is a disk on which the journal goes on whenever a segment was read.
type racing struct {
	*journaltest.Disk
	goOn func()
}

type racingFile struct {
	journal.File
	goOn func()
}

func (r racing) Open(name string) (journal.File, error) {
	f, err := r.Disk.Open(name)
	return racingFile{f, r.goOn}, err
}

func (f racingFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.goOn()
	return n, err
}

// Groups come while Verify reads where they come to lie.
func TestVerifyOfAPreparedSegmentThatIsWrittenTo(t *testing.T) {
	disk := journaltest.New(1)
	opt := small(disk)
	opt.SegmentBytes, opt.MaxBytes = 64<<10, 1<<20
	j, _ := intoPrepared(t, opt)
	n := 2
	report, err := journal.VerifyFS(racing{disk, func() {
		for ; n%7 != 0; n++ {
			require.NoError(t, j.Append(fullRecord(n), nil))
			j.Step()
		}
		n += min(1, 50-n)
	}}, dir)
	require.NoError(t, err)
	require.Empty(t, report.Damage)
	require.Zero(t, report.Torn)
	require.Greater(t, report.Records, uint64(7), "it reads on")
	require.NoError(t, j.CloseStepped())
}

// Groups come faster than Inspect reads: it ends nevertheless, long before the segment is full.
func TestInspectOfAPreparedSegmentEndsUnderLoad(t *testing.T) {
	disk := journaltest.New(1)
	opt := small(disk)
	opt.SegmentBytes, opt.MaxBytes = 1<<20, 8<<20
	j, _ := intoPrepared(t, opt)
	came := 0
	info, err := journal.InspectFS(racing{disk, func() {
		if came++; came < 900 {
			require.NoError(t, j.Append(fullRecord(came), nil))
			j.Step()
		}
	}}, dir)
	require.NoError(t, err)
	require.Less(t, came, 100)
	require.Nil(t, info.Damage)
	require.Zero(t, info.Torn)
	require.Greater(t, info.End, journal.Position(2000))
	require.LessOrEqual(t, info.End, j.End())
	require.Equal(t, int64(len(info.Segments))*journal.SegmentHeader+int64(info.End), info.Bytes)
	require.NoError(t, j.CloseStepped())
}

// Zeros for a whole group are room in a prepared segment alone: in one that grew the
// group may have been acknowledged, so Open tells of them.
func TestZerosInASegmentThatGrewAreLogged(t *testing.T) {
	disk := journaltest.New(1)
	var log bytes.Buffer
	opt := small(disk)
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	j, err := journal.OpenStepped(opt)
	require.NoError(t, err)
	for n := range 2 {
		require.NoError(t, j.Append(fullRecord(n), nil))
		j.Step()
	}
	disk.Kill()
	clear(disk.Content(filepath.Join(dir, journal.SegmentName(0)))[journal.SegmentHeader+1000:])
	j, err = journal.OpenStepped(opt)
	require.NoError(t, err)
	require.Contains(t, log.String(), "octets=1000")
	require.Equal(t, journal.Position(1000), j.End())
	require.NoError(t, j.CloseStepped())
}
