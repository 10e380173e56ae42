package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"radiusd/journal"
	"radiusd/journal/journaltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small are options with which a few records fill a segment.
func small(disk *journaltest.Disk) journal.Options {
	return journal.Options{Dir: dir, FS: disk, SegmentBytes: 4 << 10, MaxBytes: 32 << 10, MaxRecord: 1 << 10}
}

// appendWait appends a record and waits until it is committed.
func appendWait(t testing.TB, j *journal.Journal, record []byte) (journal.Position, error) {
	t.Helper()
	type result struct {
		end journal.Position
		err error
	}
	done := make(chan result, 1)
	err := j.Append(record, journal.CommittedFunc(func(end journal.Position, err error) { done <- result{end, err} }))
	if err != nil {
		return 0, err
	}
	r := <-done
	return r.end, r.err
}

func mustAppend(t testing.TB, j *journal.Journal, record []byte) journal.Position {
	t.Helper()
	end, err := appendWait(t, j, record)
	require.NoError(t, err)
	return end
}

func open(t testing.TB, opt journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

func reader(t testing.TB, j *journal.Journal, from journal.Position) *journal.Reader {
	t.Helper()
	r, err := j.Reader(from)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRecordsAreReadAfterReopeningManyTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "journal")
	var want []string
	for life := range 20 {
		j, err := journal.Open(journal.Options{Dir: path, SegmentBytes: 4 << 10, MaxRecord: 256})
		require.NoError(t, err)
		for i := range 50 {
			want = append(want, fmt.Sprintf("record %d of life %d", i, life))
			require.NoError(t, j.Append([]byte(want[len(want)-1]), nil))
		}
		require.NoError(t, j.Close(), "Close commits what was appended")
		require.ErrorIs(t, j.Append([]byte("late"), nil), journal.ErrClosed)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	j := open(t, journal.Options{Dir: path})
	r := reader(t, j, 0)
	var last journal.Position
	for _, w := range want {
		record, end, err := r.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, w, string(record))
		require.Greater(t, end, last)
		last = end
	}
	require.Equal(t, j.End(), last)
	_, _, ok, err := r.TryNext()
	require.NoError(t, err)
	require.False(t, ok)
}

func TestASecondProcessIsRefused(t *testing.T) {
	opt := journal.Options{Dir: t.TempDir()}
	open(t, opt)
	_, err := journal.Open(opt)
	require.ErrorIs(t, err, journal.ErrLocked)
	require.ErrorContains(t, err, "already in use by another process")
}

func TestOptionsThatCannotBe(t *testing.T) {
	for name, opt := range map[string]journal.Options{
		"no directory":                    {},
		"record too large for a segment":  {Dir: dir, SegmentBytes: 1 << 10},
		"record larger than any can be":   {Dir: dir, MaxRecord: 32 << 20},
		"limit too small for the segment": {Dir: dir, MaxBytes: 64 << 10},
		"negative size":                   {Dir: dir, SegmentBytes: -1},
	} {
		t.Run(name, func(t *testing.T) {
			opt.FS = journaltest.New(1)
			_, err := journal.Open(opt)
			require.Error(t, err)
		})
	}
}

func TestRecordSizes(t *testing.T) {
	j := open(t, small(journaltest.New(1)))
	require.ErrorIs(t, j.Append(nil, nil), journal.ErrRecordSize)
	require.ErrorIs(t, j.Append(make([]byte, 1<<10+1), nil), journal.ErrRecordSize)
	for _, n := range []int{1, 7, 8, 9, 1 << 10} {
		mustAppend(t, j, make([]byte, n))
	}
	r := reader(t, j, 0)
	for _, n := range []int{1, 7, 8, 9, 1 << 10} {
		record, _, err := r.Next(t.Context())
		require.NoError(t, err)
		require.Len(t, record, n)
	}
}

func TestReaderWaitsAndCrossesSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(small(journaltest.New(1)))
		require.NoError(t, err)
		var got []uint64
		done := make(chan error)
		go func() {
			r, err := j.Reader(0)
			for err == nil {
				var b []byte
				if b, _, err = r.Next(context.Background()); err == nil {
					got = append(got, binary.BigEndian.Uint64(b))
				}
			}
			done <- err
		}()
		for n := range uint64(30) {
			synctest.Wait() // the reader waits
			require.Len(t, got, int(n))
			mustAppend(t, j, append(binary.BigEndian.AppendUint64(nil, n), make([]byte, 700)...))
		}
		require.Greater(t, j.Stats().Segments, 3)
		require.NoError(t, j.Close())
		require.ErrorIs(t, <-done, journal.ErrClosed)
		require.Len(t, got, 30)
	})
}

func TestReaderGivesUpWithItsContext(t *testing.T) {
	j := open(t, small(journaltest.New(1)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := reader(t, j, 0).Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestReaderAtAPositionThatIsNotThere(t *testing.T) {
	j := open(t, small(journaltest.New(1)))
	mustAppend(t, j, make([]byte, 100))
	for _, pos := range []journal.Position{3, j.End() + 8} {
		_, err := j.Reader(pos)
		var gone *journal.PositionError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, j.End(), gone.End)
	}
}

func TestRetainDeletesWhatEveryCursorIsPast(t *testing.T) {
	disk := journaltest.New(1)
	j := open(t, small(disk))
	var ends []journal.Position
	for range 12 { // three to a segment
		ends = append(ends, mustAppend(t, j, make([]byte, 1000)))
	}
	segments := func() []string {
		names, err := disk.ReadDir(dir)
		require.NoError(t, err)
		return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".journal") })
	}
	all := segments()
	require.Len(t, all, 4)
	require.Equal(t, 4, j.Stats().Segments)

	j.Retain("sql", 0)
	j.Retain("clickhouse", ends[11])
	require.Equal(t, all, segments(), "one cursor needs everything")
	j.Retain("sql", ends[1])
	require.Equal(t, all, segments(), "the first segment is still needed")
	slow := reader(t, j, ends[1])
	j.Retain("sql", ends[2])
	require.Equal(t, all[1:], segments())
	j.Retain("sql", ends[11])
	require.Equal(t, all[3:], segments(), "the active segment is never deleted")
	require.Equal(t, map[string]journal.Position{"sql": ends[11], "clickhouse": ends[11]}, j.Stats().Cursors)
	require.Equal(t, "clickhouse", j.Stats().HeldBy, "of two that are at the same place the first")

	_, err := j.Reader(0)
	var gone *journal.PositionError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, ends[8], gone.Oldest)
	_, _, _, err = slow.TryNext()
	require.ErrorAs(t, err, &gone)
	require.Equal(t, ends[8], j.Stats().Oldest)
}

func TestMaxBytesRefusesUntilSegmentsAreDeleted(t *testing.T) {
	disk := journaltest.New(1)
	opt := small(disk)
	var log bytes.Buffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	const note = 100 // the note of the cursors is none of the journal's records
	j := open(t, opt)
	j.Retain("sql", 0)
	fill := func() (n int) {
		for {
			_, err := appendWait(t, j, make([]byte, 1000))
			if err != nil {
				require.ErrorIs(t, err, journal.ErrFull)
				return n
			}
			n++
			require.LessOrEqual(t, disk.Used(), opt.MaxBytes+note)
		}
	}
	require.Greater(t, fill(), 20)
	require.Equal(t, uint64(1), j.Stats().Refused)
	for range 5 { // it never gets stuck when the consumer catches up
		j.Retain("sql", j.End())
		require.Greater(t, fill(), 15)
	}
	require.NoError(t, j.Close())
	require.Equal(t, 1, strings.Count(log.String(), "journal: full"), "the log is told, and not each time: %s", &log)
	require.Contains(t, log.String(), "waits_for=sql")
}

func TestAlarmBeforeTheLimit(t *testing.T) {
	disk := journaltest.New(1)
	opt := small(disk) // 32 KiB in segments of 4 KiB
	var log bytes.Buffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	j, err := journal.OpenStepped(opt)
	require.NoError(t, err)
	j.Retain("clickhouse", 0)
	j.Retain("sql", 0)
	raised, over := 0, 0
	requireAlarm := func(on bool) {
		t.Helper()
		j.WatchSpace()
		require.Equal(t, on, j.Stats().NearlyFull)
		require.Equal(t, raised, strings.Count(log.String(), "journal: nearly full"), &log)
		require.Equal(t, over, strings.Count(log.String(), "journal: no longer nearly full"), &log)
	}
	add := func() error {
		err := j.Append(make([]byte, 1000), nil)
		j.Step()
		return err
	}
	for range 3 { // the alarm goes once at each crossing
		for j.Stats().Bytes < opt.MaxBytes*79/100 {
			requireAlarm(false)
			require.NoError(t, add())
			j.Retain("sql", j.End())
		}
		require.NoError(t, add())
		require.NoError(t, add())
		raised++
		requireAlarm(true)
		require.Contains(t, log.String(), "waits_for=clickhouse")
		require.NoError(t, add(), "nothing is refused yet")
		requireAlarm(true)
		for j.Stats().Bytes >= opt.MaxBytes*70/100 {
			requireAlarm(true)
			j.Retain("clickhouse", j.Stats().Oldest+(4<<10))
		}
		over++
		requireAlarm(false)
		j.Retain("clickhouse", j.End())
		requireAlarm(false)
	}
	require.NotContains(t, log.String(), "journal: full")
	require.NoError(t, j.CloseStepped())
}

// Who looks into the folder is told what the journal waits for, whether the server
// runs or not.
func TestTheCursorsAreNoted(t *testing.T) {
	disk := journaltest.New(1)
	j, err := journal.OpenStepped(small(disk))
	require.NoError(t, err)
	inspect := func() journal.Info {
		info, err := journal.InspectFS(disk, dir)
		require.NoError(t, err)
		return info
	}
	info := inspect()
	require.Empty(t, info.Cursors)
	require.Empty(t, info.HeldBy)
	for range 2 {
		require.NoError(t, j.Append(make([]byte, 1000), nil))
		j.Step()
	}
	want := map[string]journal.Position{"sql": j.End(), "clickhouse": 1016}
	for name, pos := range want {
		j.Retain(name, pos)
	}
	j.Taken("sql", j.End())
	j.Retain("sql", 1016) // kept though it was taken: that holds nothing up
	require.Equal(t, want, j.Stats().Cursors)
	require.Equal(t, "clickhouse", j.Stats().HeldBy)
	require.NoError(t, j.CloseStepped())
	info = inspect()
	require.Equal(t, want, info.Cursors)
	require.Equal(t, "clickhouse", info.HeldBy)
	require.Equal(t, journal.Position(1016), info.HeldAt)

	clear(disk.Content(dir + "/cursors")[3:])
	info = inspect()
	require.Empty(t, info.Cursors, "a note that is not whole is none")
	require.Equal(t, info.End, info.HeldAt)
	j, err = journal.OpenStepped(small(disk))
	require.NoError(t, err, "nor does it keep a journal from being opened")
	require.NoError(t, j.CloseStepped())
}

func TestJournalThatTakesThePlaceOfALostOne(t *testing.T) {
	lost := open(t, journal.Options{Dir: t.TempDir()})
	cursor, err := appendWait(t, lost, make([]byte, 100))
	require.NoError(t, err)

	dir := t.TempDir()
	j := open(t, journal.Options{Dir: dir, Begin: 1<<40 + 5})
	require.Equal(t, journal.Position(1<<40), j.End())
	end, err := appendWait(t, j, []byte("first"))
	require.NoError(t, err)
	_, err = j.Reader(cursor)
	var position *journal.PositionError
	require.ErrorAs(t, err, &position)
	require.Equal(t, journal.Position(1<<40), position.Oldest)
	require.NoError(t, j.Close())

	j = open(t, journal.Options{Dir: dir, Begin: 1 << 50})
	require.Equal(t, end, j.End(), "one that is there goes on")
	record, _, ok, err := reader(t, j, 1<<40).TryNext()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "first", string(record))
}

func TestConcurrentAppendersReadersAndRetain(t *testing.T) {
	const appenders, each = 8, 500
	j := open(t, journal.Options{Dir: t.TempDir(), SegmentBytes: 16 << 10, MaxRecord: 256})
	j.Retain("sql", 0)
	var wg sync.WaitGroup
	for a := range appenders {
		wg.Go(func() {
			for i := range each {
				b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(a)), uint32(i))
				for j.Append(append(b, make([]byte, i%100)...), nil) != nil {
				}
			}
		})
	}
	r := reader(t, j, 0)
	next := [appenders]uint32{}
	for range appenders * each {
		b, end, err := r.Next(t.Context())
		require.NoError(t, err)
		a, i := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		require.Equal(t, next[a], i, "records of one appender stay in order")
		next[a]++
		j.Retain("sql", end)
	}
	wg.Wait()
	require.Equal(t, uint64(appenders*each), j.Stats().Records)
	require.Equal(t, 1, j.Stats().Segments)
}

func TestAfterGroupFollowsTheCommittedCallsOfAGroup(t *testing.T) {
	var calls []string
	opt := small(journaltest.New(1))
	opt.AfterGroup = func() { calls = append(calls, "group") }
	j, err := journal.OpenStepped(opt)
	require.NoError(t, err)
	c := journal.CommittedFunc(func(journal.Position, error) { calls = append(calls, "record") })
	for range 2 {
		require.NoError(t, j.Append([]byte("x"), c))
		require.NoError(t, j.Append([]byte("x"), c))
		j.Step()
	}
	require.NoError(t, j.CloseStepped())
	require.Equal(t, []string{"record", "record", "group", "record", "record", "group"}, calls)
}

// stalled is a disk whose syncs of data wait for a permit.
type stalled struct {
	*journaltest.Disk
	permits chan struct{}
}

type stalledFile struct {
	journal.File
	permits chan struct{}
}

func (s stalled) Create(name string) (journal.File, error) {
	f, err := s.Disk.Create(name)
	return stalledFile{f, s.permits}, err
}

func (f stalledFile) SyncData() error {
	<-f.permits
	return f.File.SyncData()
}

func TestAStalledDiskMakesAppendBusyNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		permits := make(chan struct{})
		opt := small(journaltest.New(1))
		opt.FS, opt.GroupBytes = stalled{journaltest.New(1), permits}, 2<<10
		j, err := journal.Open(opt)
		require.NoError(t, err)
		record := make([]byte, 100)
		require.NoError(t, j.Append(record, nil))
		synctest.Wait() // the first group syncs
		n := 0
		for err = j.Append(record, nil); err == nil; err = j.Append(record, nil) {
			n++
		}
		require.ErrorIs(t, err, journal.ErrBusy)
		require.Equal(t, 2<<10/120, n)
		require.Zero(t, j.End())
		_, err = os.Stat(dir)
		require.Error(t, err, "nothing went to the real disk")

		permits <- struct{}{} // the group is committed, the next one syncs, a third may fill
		synctest.Wait()
		require.NoError(t, j.Append(record, nil))
		close(permits)
		require.NoError(t, j.Close())
		require.Equal(t, uint64(n+2), j.Stats().Records)
	})
}

func TestAppendDoesNotAllocate(t *testing.T) {
	j := open(t, journal.Options{Dir: t.TempDir()})
	record := make([]byte, 300)
	done := make(chan struct{}, 1)
	committed := journal.CommittedFunc(func(journal.Position, error) { done <- struct{}{} })
	var c journal.Committed = committed
	for range 1000 { // until both buffers have their size
		require.NoError(t, j.Append(record, nil))
	}
	require.NoError(t, j.Append(record, c))
	<-done
	allocs := testing.AllocsPerRun(500, func() {
		for range 20 {
			_ = j.Append(record, nil)
		}
		_ = j.Append(record, c)
		<-done
	})
	require.Zero(t, allocs)
}

// after waits in the bubble's time.
func after(d time.Duration) { <-time.After(d) }
