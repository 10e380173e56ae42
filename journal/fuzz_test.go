package journal_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
	"radiusd/journal/journaltest"
)

// seedSegments gives the fuzzer the segments of a real journal, whole and hurt.
func seedSegments(f *testing.F) {
	disk := journaltest.New(1)
	j, err := journal.Open(small(disk))
	require.NoError(f, err)
	for n := range 3 {
		mustAppend(f, j, record(uint64(n)))
	}
	require.NoError(f, j.Close())
	b := disk.Content(filepath.Join(dir, journal.SegmentName(0)))
	prepared := append(slices.Clone(b[:len(b)-journal.FrameHeader]), make([]byte, 1000)...) // as a crash leaves it
	torn := slices.Clone(prepared)
	clear(torn[journal.SegmentHeader : len(b)/2])
	for _, seed := range [][]byte{b, b[:len(b)-20], b[:journal.SegmentHeader], b[:3], {}, prepared, torn} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	hurt := append([]byte(nil), b...)
	hurt[journal.SegmentHeader+30] ^= 1
	f.Add(hurt, false)
	f.Add(hurt, true)
}

func diskWith(t *testing.T, name string, b []byte) *journaltest.Disk {
	disk := journaltest.New(1)
	file, err := disk.Create(filepath.Join(dir, name))
	require.NoError(t, err)
	if len(b) > 0 {
		_, err = file.WriteAt(b, 0)
		require.NoError(t, err)
	}
	require.NoError(t, file.Sync())
	require.NoError(t, disk.SyncDir(dir))
	return disk
}

// FuzzOpenSegment opens a journal whose only segment is arbitrary: it opens, or
// says CorruptError or a foreign version, and after SkipDamage it opens.
func FuzzOpenSegment(f *testing.F) {
	seedSegments(f)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			journal.MendSums(b) // the fuzzer does not guess a CRC
		}
		disk := diskWith(t, journal.SegmentName(0), b)
		report, err := journal.VerifyFS(disk, dir)
		if err != nil {
			require.ErrorContains(t, err, "version")
			return
		}
		j, err := journal.OpenStepped(small(disk))
		var corrupt *journal.CorruptError
		if errors.As(err, &corrupt) {
			require.Equal(t, report.Damage[0].CorruptError, *corrupt)
			_, err = journal.SkipDamageFS(disk, dir, corrupt.Segment)
			require.NoError(t, err)
			j, err = journal.OpenStepped(small(disk))
		}
		require.NoError(t, err)
		got := drain(t, j)
		require.Equal(t, int(report.Records), got)
		require.NoError(t, j.Append([]byte("next"), nil))
		j.Step()
		require.Equal(t, got+1, drain(t, j))
		require.NoError(t, j.CloseStepped())
	})
}

// FuzzReader reads a sealed segment of arbitrary content that a good one follows.
func FuzzReader(f *testing.F) {
	seedSegments(f)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			journal.MendSums(b) // the fuzzer does not guess a CRC
		}
		disk := diskWith(t, journal.SegmentName(0), b)
		size := max(int64(len(b))-journal.SegmentHeader, 8) &^ 7
		good, err := journal.NewSegment(disk, dir, journal.Position(size))
		require.NoError(t, err)
		require.NoError(t, good.Close())
		report, err := journal.VerifyFS(disk, dir)
		if err != nil {
			require.ErrorContains(t, err, "version")
			return
		}
		j, err := journal.OpenStepped(small(disk))
		var corrupt *journal.CorruptError
		if err != nil {
			require.ErrorAs(t, err, &corrupt)
			return
		}
		r := reader(t, j, 0)
		n := 0
		for {
			_, _, ok, err := r.TryNext()
			if err != nil {
				require.ErrorAs(t, err, &corrupt)
				require.NotEmpty(t, report.Damage)
				break
			}
			if !ok {
				require.Equal(t, int(report.Records), n)
				require.Empty(t, report.Damage)
				break
			}
			n++
		}
		require.NoError(t, j.CloseStepped())
	})
}

func drain(t *testing.T, j *journal.Journal) (n int) {
	r := reader(t, j, 0)
	for {
		_, _, ok, err := r.TryNext()
		require.NoError(t, err)
		if !ok {
			return n
		}
		n++
	}
}
