package journal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
	"radiusd/journal/journaltest"
)

// threeSegments makes a closed journal of ten records in three segments and
// gives the ends of the records. If prepared, the last two were made ahead, and the
// zeros at the end of the last one are still there, as after a power cut.
func threeSegments(t *testing.T, disk *journaltest.Disk, prepared bool) (ends []journal.Position) {
	t.Helper()
	opt := small(disk)
	if prepared {
		opt = journal.Prepared(opt, 4000, 0, 0) // when the first one is full
	}
	j, err := journal.OpenStepped(opt)
	require.NoError(t, err)
	for n := range 10 {
		require.NoError(t, j.Append(fullRecord(n), nil))
		j.Step()
		for j.PrepareStep() {
		}
		ends = append(ends, j.End())
		require.Equal(t, prepared && n >= 4, j.ActivePrepared())
	}
	require.Equal(t, 3, j.Stats().Segments)
	require.NoError(t, j.CloseStepped())
	if prepared {
		f, err := disk.OpenWrite(filepath.Join(dir, segment(ends, 2)))
		require.NoError(t, err)
		require.NoError(t, f.Truncate(opt.SegmentBytes))
		require.NoError(t, f.Sync())
	}
	return ends
}

// growingAndPrepared runs a test with segments of both kinds.
func growingAndPrepared(t *testing.T, test func(t *testing.T, prepared bool)) {
	t.Run("growing", func(t *testing.T) { test(t, false) })
	t.Run("prepared", func(t *testing.T) { test(t, true) })
}

func fullRecord(n int) []byte {
	b := make([]byte, 984) // 1000 octets with its header: four to a segment
	for i := range b {
		b[i] = byte(n + 1)
	}
	return b
}

func segment(ends []journal.Position, i int) string {
	if i == 0 {
		return journal.SegmentName(0)
	}
	return journal.SegmentName(ends[4*i-1])
}

// readAll reads on past what cannot be opened: the numbers of the records.
func readAll(t *testing.T, j *journal.Journal) (got []int, err error) {
	t.Helper()
	r := reader(t, j, 0)
	for {
		b, _, ok, err := r.TryNext()
		if err != nil || !ok {
			return got, err
		}
		got = append(got, int(b[0])-1)
	}
}

func TestDamageIsNamedAndCanBeSkipped(t *testing.T) {
	growingAndPrepared(t, testDamageIsNamedAndCanBeSkipped)
}

func testDamageIsNamedAndCanBeSkipped(t *testing.T, prepared bool) {
	const header = journal.SegmentHeader
	for name, tc := range map[string]struct {
		segment int
		damage  func(b []byte)
		offset  int64
		atOpen  bool
		left    []int
	}{
		"payload in the middle": {1, func(b []byte) { b[header+1000+500] ^= 1 }, header + 1000, false, []int{0, 1, 2, 3, 4, 6, 7, 8, 9}},
		"length":                {1, func(b []byte) { b[header+1000] ^= 1 }, header + 1000, false, []int{0, 1, 2, 3, 4, 6, 7, 8, 9}},
		"two records":           {0, func(b []byte) { b[header] ^= 1; b[header+1999] ^= 1 }, header, false, []int{2, 3, 4, 5, 6, 7, 8, 9}},
		"last of a segment":     {0, func(b []byte) { b[header+3999] ^= 1 }, header + 3000, false, []int{0, 1, 2, 4, 5, 6, 7, 8, 9}},
		"zeros":                 {0, func(b []byte) { clear(b[header+1000:]) }, header + 1000, false, []int{0, 4, 5, 6, 7, 8, 9}},
		"first of the last segment": {2, func(b []byte) { b[header+100] ^= 1 }, header, true,
			[]int{0, 1, 2, 3, 4, 5, 6, 7, 9}},
		"last record of a closed journal": {2, func(b []byte) { b[header+1999] ^= 1 }, header + 1000, true,
			[]int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		"segment header":             {1, func(b []byte) { b[20] ^= 1 }, 0, true, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"header of the last segment": {2, func(b []byte) { b[0] ^= 1 }, 0, true, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := journaltest.New(1)
			ends := threeSegments(t, disk, prepared)
			damaged := segment(ends, tc.segment)
			tc.damage(disk.Content(filepath.Join(dir, damaged)))

			j, err := journal.Open(small(disk))
			if !tc.atOpen {
				require.NoError(t, err, "old segments are checked when they are read")
				_, err = readAll(t, j)
				require.NoError(t, j.Close())
			}
			var corrupt *journal.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, damaged, corrupt.Segment)
			require.Equal(t, tc.offset, corrupt.Offset)

			report, err := journal.VerifyFS(disk, dir)
			require.NoError(t, err)
			require.Equal(t, *corrupt, report.Damage[0].CorruptError)
			require.Equal(t, len(tc.left), int(report.Records))

			before := string(disk.Content(filepath.Join(dir, damaged)))
			skipped, err := journal.SkipDamageFS(disk, dir, damaged)
			require.NoError(t, err)
			require.Equal(t, report.Damage, skipped.Damage)
			require.Equal(t, damaged+".damaged", skipped.Quarantine)
			require.Equal(t, before, string(disk.Content(filepath.Join(dir, skipped.Quarantine))))

			disk.Restart()
			_, err = journal.SkipDamageFS(disk, dir, damaged)
			require.ErrorContains(t, err, "not damaged")
			report, err = journal.VerifyFS(disk, dir)
			require.NoError(t, err)
			require.Empty(t, report.Damage)
			j, err = journal.Open(small(disk))
			require.NoError(t, err)
			got, err := readAll(t, j)
			require.NoError(t, err)
			require.Equal(t, tc.left, got)
			require.Equal(t, ends[9], j.End(), "positions keep their meaning")
			mustAppend(t, j, []byte("on it goes"))
			require.NoError(t, j.Close())
		})
	}
}

func TestMissingAndShortSegmentsAreDamage(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(*testing.T, string, []journal.Position)
		at     int
		left   []int
	}{
		"missing": {func(t *testing.T, dir string, ends []journal.Position) {
			require.NoError(t, os.Remove(filepath.Join(dir, segment(ends, 1))))
		}, 0, []int{0, 1, 2, 3, 8, 9}},
		"short": {func(t *testing.T, dir string, ends []journal.Position) {
			require.NoError(t, os.Truncate(filepath.Join(dir, segment(ends, 1)), 1500))
		}, 1, []int{0, 1, 2, 3, 4, 8, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opt := journal.Options{Dir: dir, SegmentBytes: 4 << 10, MaxRecord: 1 << 10}
			j, err := journal.Open(opt)
			require.NoError(t, err)
			var ends []journal.Position
			for n := range 10 {
				ends = append(ends, mustAppend(t, j, fullRecord(n)))
			}
			require.NoError(t, j.Close())

			tc.damage(t, dir, ends)
			_, err = journal.Open(opt)
			var corrupt *journal.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, segment(ends, tc.at), corrupt.Segment)
			_, err = journal.SkipDamage(dir, corrupt.Segment)
			require.NoError(t, err)
			j = open(t, opt)
			got, err := readAll(t, j)
			require.NoError(t, err)
			require.Equal(t, tc.left, got)
		})
	}
}

// An operator skips damage while the server runs, whose reader then goes on.
func TestDamageIsSkippedWhileTheJournalIsOpen(t *testing.T) {
	disk := journaltest.New(1)
	threeSegments(t, disk, false)
	j, err := journal.OpenStepped(small(disk))
	require.NoError(t, err)
	require.NoError(t, j.Append(fullRecord(10), nil))
	j.Step()
	names, err := disk.ReadDir(dir)
	require.NoError(t, err)
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".journal") })

	b := disk.Content(filepath.Join(dir, names[0]))
	for _, at := range []int{100, 2100} { // two places, one behind the other
		b[journal.SegmentHeader+at] ^= 1
	}
	r := reader(t, j, 0)
	var corrupt *journal.CorruptError
	for range 2 {
		_, _, _, err = r.TryNext()
		require.ErrorAs(t, err, &corrupt)
		require.Equal(t, corrupt, j.Stats().Damage)
	}
	_, err = journal.SkipDamageFS(disk, dir, names[len(names)-1])
	require.ErrorIs(t, err, journal.ErrLocked, "the segment that is written to")
	require.ErrorContains(t, err, "stop the server first")
	skipped, err := journal.SkipDamageFS(disk, dir, corrupt.Segment)
	require.NoError(t, err)
	require.Len(t, skipped.Damage, 2)
	require.NotNil(t, j.Stats().Damage, "nobody has read on yet")

	var got []int
	r = reader(t, j, 0)
	for {
		b, end, ok, err := r.TryNext()
		require.NoError(t, err)
		if !ok {
			break
		}
		got = append(got, int(b[0])-1)
		j.Retain("sql", end)
	}
	require.Equal(t, []int{1, 3, 4, 5, 6, 7, 8, 9, 10}, got)
	require.Nil(t, j.Stats().Damage)
	require.NoError(t, j.CloseStepped())
}

func TestSkipDamageOfWhatIsNotThere(t *testing.T) {
	disk := journaltest.New(1)
	ends := threeSegments(t, disk, false)
	for _, name := range []string{"", "../x", journal.SegmentName(ends[0]), segment(ends, 0)} {
		_, err := journal.SkipDamageFS(disk, dir, name)
		require.ErrorContains(t, err, fmt.Sprintf("%q", name))
	}
}

// Whatever single octet of a segment changes, nothing wrong is ever read and
// nothing is lost without a word.
func TestEveryFlippedOctetIsNoticed(t *testing.T) {
	growingAndPrepared(t, testEveryFlippedOctetIsNoticed)
}

func testEveryFlippedOctetIsNoticed(t *testing.T, prepared bool) {
	const seal = journal.SegmentHeader + 2000
	rng := rand.New(rand.NewPCG(1, 1))
	for range 400 {
		disk := journaltest.New(1)
		ends := threeSegments(t, disk, prepared)
		name := segment(ends, rng.IntN(3))
		b := disk.Content(filepath.Join(dir, name))
		at := rng.IntN(len(b))
		b[at] ^= byte(1 + rng.IntN(255))
		report, err := journal.VerifyFS(disk, dir)
		if err == nil && len(report.Damage) == 0 {
			require.GreaterOrEqual(t, at, seal, "octet %d of %s", at, name)
			require.Equal(t, segment(ends, 2), name, "only the seal behind the last record may go unnoticed")
			require.Equal(t, at < seal+journal.FrameHeader, report.Torn > 0)
			require.Equal(t, uint64(10), report.Records)
		}
	}
}

func TestInspectAndVerifyWhileTheJournalIsOpen(t *testing.T) {
	dir := t.TempDir()
	j := open(t, journal.Options{Dir: dir, SegmentBytes: 4 << 10, MaxRecord: 1 << 10})
	for n := range 10 {
		mustAppend(t, j, fullRecord(n))
	}
	info, err := journal.Inspect(dir)
	require.NoError(t, err)
	require.Len(t, info.Segments, 3)
	require.Equal(t, j.End(), info.End)
	require.Zero(t, info.Oldest)
	require.False(t, info.Closed)
	require.Zero(t, info.Torn)
	require.Nil(t, info.Damage)
	require.Equal(t, j.Stats().Bytes, info.Bytes)

	var last, total int64
	report, err := journal.Verify(t.Context(), dir, func(d, n int64) { last, total = d, n })
	require.NoError(t, err)
	require.Equal(t, uint64(10), report.Records)
	require.Equal(t, 3, report.Segments)
	require.Equal(t, total, last)
	require.Equal(t, info.Bytes, total)

	_, err = journal.Inspect(filepath.Join(dir, "nothing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestATornTailIsReportedApartFromDamage(t *testing.T) {
	disk := journaltest.New(1)
	j, err := journal.OpenStepped(small(disk))
	require.NoError(t, err)
	require.NoError(t, j.Append(fullRecord(0), nil))
	j.Step()
	end := j.End()
	require.NoError(t, j.Append(fullRecord(1), nil))
	disk.FailWrites(os.ErrInvalid)
	disk.CutPowerAfter(1) // half of the write, no truncation
	j.Step()
	disk.FailWrites(nil)
	disk.Kill()

	report, err := journal.VerifyFS(disk, dir)
	require.NoError(t, err)
	require.Empty(t, report.Damage)
	require.Equal(t, int64(500), report.Torn)
	require.Equal(t, end, report.End)
	info, err := journal.InspectFS(disk, dir)
	require.NoError(t, err)
	require.Equal(t, int64(500), info.Torn)

	j, err = journal.OpenStepped(small(disk))
	require.NoError(t, err)
	require.Equal(t, end, j.End())
	require.NoError(t, j.CloseStepped())
	report, err = journal.VerifyFS(disk, dir)
	require.NoError(t, err)
	require.True(t, report.Closed)
	require.Zero(t, report.Torn)
}

// A group that begins right behind a stretch of zeros is found, however long the stretch:
// else it would be taken for part of a torn tail and cut.
func TestAGroupBehindZerosIsFound(t *testing.T) {
	for _, octets := range []int{1000, 4096 - 8, 4096, 4096 + 8, 4096 + 16, 2 * 4096, 3*4096 - 8, 3 * 4096} {
		disk := journaltest.New(1)
		opt := small(disk)
		opt.SegmentBytes, opt.MaxBytes, opt.MaxRecord = 64<<10, 1<<20, 32<<10
		j, err := journal.OpenStepped(opt)
		require.NoError(t, err)
		for _, n := range []int{1, 1000 + octets, 1} {
			require.NoError(t, j.Append(bytes.Repeat([]byte{1}, n), nil))
			j.Step()
		}
		disk.Kill()
		end := journal.SegmentHeader + 24 + journal.FrameHeader + 1000 + octets // both are multiples of 8
		clear(disk.Content(filepath.Join(dir, journal.SegmentName(0)))[end-octets : end])

		_, err = journal.OpenStepped(opt)
		var corrupt *journal.CorruptError
		require.ErrorAs(t, err, &corrupt, "%d zeros", octets)
		report, err := journal.VerifyFS(disk, dir)
		require.NoError(t, err)
		require.Equal(t, uint64(2), report.Records, "%d zeros", octets)
		require.Zero(t, report.Torn)
	}
}
