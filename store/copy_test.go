package store

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/store/seal"
)

// TestNothingIsReadAfterACopy: also where the connection fails while a row is read, for the
// next attempt has the same rows.
func TestNothingIsReadAfterACopy(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: testserver.Postgres(t), Sealer: seal.New(seal.NewKey()), AutoMigrate: true})
	require.NoError(t, err)
	defer s.Close()
	var reading atomic.Bool
	returned := make(chan struct{})
	err = s.writeOnce(t.Context(), 1, func(tx *writeTx) error {
		var backend int
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&backend))
		var name string
		rows := filled([]field{{"name", text{&name}}}, 2, func(i int) {
			if i == 0 {
				return
			}
			reading.Store(true)
			defer reading.Store(false)
			_, err := s.pool.Exec(t.Context(), "SELECT pg_terminate_backend($1)", backend)
			require.NoError(t, err)
			select {
			case <-returned:
			case <-time.After(200 * time.Millisecond): // for the failure to be seen
			}
		})
		err := copyRows(t.Context(), tx, "groups", rows)
		require.False(t, reading.Load())
		close(returned)
		return err
	})
	require.ErrorContains(t, err, "57P01") // admin_shutdown

	closed := closableReader{rows: strings.NewReader("rows")}
	closed.close()
	_, err = closed.Read(make([]byte, 4))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}
