package journal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"radiusd/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAppendedRecordsAreReadAfterReopening(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for life := range 5 {
		j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 4 << 10, MaxRecord: 256})
		require.NoError(t, err)
		for i := range 100 {
			want = append(want, fmt.Sprintf("record %d of life %d", i, life))
			require.NoError(t, j.Append([]byte(want[len(want)-1]), nil))
		}
		require.NoError(t, j.Close())
	}
	j, err := journal.Open(journal.Options{Dir: dir})
	require.NoError(t, err)
	defer j.Close()
	r, err := j.Reader(0)
	require.NoError(t, err)
	defer r.Close()
	for _, w := range want {
		record, _, err := r.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, w, string(record))
	}
	require.Equal(t, j.End(), j.Stats().End)
}
