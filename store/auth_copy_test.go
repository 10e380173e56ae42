package store

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/internal/testserver"
	"radiusd/store/seal"
)

// authRecords are decisions of all forms.
func authRecords() []aaa.AuthRecord {
	at := time.Now().UTC().Truncate(time.Microsecond)
	full := aaa.AuthRecord{
		ID: uuid.New(), At: at, Username: "alice", Accepted: true, Method: aaa.MethodMSCHAPv2, NASID: uuid.New(),
		NASAddr: netip.MustParseAddr("192.0.2.1"), NASPortID: "ether1", CallingStationID: "00-11", CalledStationID: "x", SessionNonce: aaa.Nonce{1, 2},
	}
	ipv6, refused, odd := full, full, full
	ipv6.ID, ipv6.NASAddr = uuid.New(), netip.MustParseAddr("2001:db8::1")
	refused.ID, refused.Accepted, refused.Reason, refused.SessionNonce = uuid.New(), false, aaa.ReasonCheckFailed, aaa.Nonce{}
	refused.Detail = strings.Repeat("d", 500)
	odd.ID, odd.Username, odd.CallingStationID = uuid.New(), "b\x00b\xff é", strings.Repeat("\x00", 253)
	return []aaa.AuthRecord{full, ipv6, refused, odd, {ID: uuid.New(), At: at.AddDate(0, 0, -1)}}
}

// TestAuthCopyIsWhatFieldsWrite: the short way writes what the fields of a record
// write, whatever sizes it is read in.
func TestAuthCopyIsWhatFieldsWrite(t *testing.T) {
	records := authRecords()
	batch := aaa.NewAuthBatch(records...)
	var rows [][]field
	for i := range records {
		rows = append(rows, authFields(&records[i]))
	}
	require.Contains(t, copyAuthStatement, "auth_records ("+names(rows[0])+")")
	want, err := io.ReadAll(&copyReader{rows: listed(rows...)})
	require.NoError(t, err)
	for _, size := range []int{2048, 2500, 64 << 10} {
		var got bytes.Buffer
		_, err = io.CopyBuffer(struct{ io.Writer }{&got}, &authCopy{reader: batch.Reader()}, make([]byte, size))
		require.NoError(t, err)
		require.Equal(t, want, got.Bytes(), "%d", size)
	}
	_, err = io.ReadAll(iotest.OneByteReader(&authCopy{reader: batch.Reader()}))
	require.ErrorIs(t, err, io.ErrShortBuffer)
	synctest.Test(t, func(t *testing.T) {
		c := &authCopy{reader: batch.Reader(), pace: aaa.PaceOf(aaa.WithPace(t.Context()))}
		began := time.Now()
		_, err := c.Read(make([]byte, 2048))
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		time.Sleep(time.Second) // of work
		began = time.Now()
		_, err = c.Read(make([]byte, 2048))
		require.NoError(t, err)
		require.NotZero(t, time.Since(began), "it rests between its pieces")
	})
}

// TestAuthRecordsOfALostAnswer: a batch of which the server has a part, or all, is
// completed, and no record is doubled.
func TestAuthRecordsOfALostAnswer(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: testserver.Postgres(t), Sealer: seal.New(seal.NewKey()), AutoMigrate: true})
	require.NoError(t, err)
	defer s.Close()
	records := authRecords()
	for _, n := range []int{2, len(records), len(records)} {
		require.NoError(t, s.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(records[:n]...)))
		list, err := s.ListAuthRecords(t.Context(), AuthFilter{})
		require.NoError(t, err)
		require.Len(t, list, n)
	}
	// The commit of the first attempt is under way when the second one comes.
	late := aaa.NewAuthBatch(aaa.AuthRecord{ID: uuid.New(), At: time.Now()}, aaa.AuthRecord{ID: uuid.New(), At: time.Now()})
	first := late.Records()[0]
	tx, err := s.writer.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, insert(t.Context(), tx, "auth_records", authFields(&first)))
	second := make(chan error)
	go func() { second <- s.AppendAuthRecords(t.Context(), late) }()
	require.Eventually(t, func() bool {
		var waiting int
		err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		return err == nil && waiting == 1
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, tx.Commit())
	require.NoError(t, <-second)
	list, err := s.ListAuthRecords(t.Context(), AuthFilter{})
	require.NoError(t, err)
	require.Len(t, list, len(records)+2)
}
