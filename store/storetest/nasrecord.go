package storetest

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

func testRecordsOfNASes(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	mine, other := life("01", 1), life("02", 1)
	for i := range other {
		other[i].NASIdentifier = "wifi"
		aaa.NewResolver().Resolve(&other[i])
	}
	require.NoError(t, write(ctx, sinkOf(t, s), 1, append(mine, other...)...))

	for prefix, want := range map[string]int{"na": 3, "": 6, "wifi": 3, "%": 0, "wifi2": 0} {
		n, err := s.CountRecordsOf(ctx, prefix)
		require.NoError(t, err)
		assert.Equal(t, want, n, prefix)
	}
	ids := map[uuid.UUID]aaa.AcctStatus{}
	require.NoError(t, s.EachRecordOf(ctx, "nas", func(r *aaa.Record) error {
		ids[r.ID] = r.Status
		return nil
	}))
	assert.Equal(t, map[uuid.UUID]aaa.AcctStatus{mine[0].ID: aaa.AcctStart, mine[1].ID: aaa.AcctInterim, mine[2].ID: aaa.AcctStop}, ids)
	var sessions []uuid.UUID
	require.NoError(t, s.EachSessionOf(ctx, "nas", func(x *aaa.Session) error {
		sessions = append(sessions, x.ID)
		return nil
	}))
	assert.Equal(t, []uuid.UUID{mine[0].SessionID}, sessions)
}
