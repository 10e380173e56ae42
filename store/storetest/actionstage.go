package storetest

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/operator"
	"radiusd/store"
)

// testStagedActions: a large batch is added in pieces between which others write, and
// nobody sees a part of it.
func testStagedActions(t *testing.T, database Database) {
	_, options := openNode(t, database, "a")
	clock := &actionClock{now: time.Now().UTC().Truncate(time.Second)}
	options.Now = clock.Now
	s := reopen(t, options)
	const large = 10_000 // five times what one transaction takes
	actions := make([]aaa.SessionAction, large)
	for i := range actions {
		actions[i] = aaa.NewSessionAction(&aaa.Session{ID: uuid.New(), Username: "alice", NASAddr: nasAddr}, aaa.ActionDisconnect, nil)
	}
	ctx := operator.WithActor(t.Context(), operator.Actor{Kind: operator.ActorLocal, Name: "admin"})
	keyed := operator.WithIdempotency(ctx, operator.IdempotencyKey{Key: "k", Operation: "createActionBatch"})
	require.NoError(t, s.CheckKey(keyed))
	batch := aaa.ActionBatch{Kind: aaa.ActionDisconnect, Filter: "all online"}
	queued := make(chan error, 1)
	go func() { queued <- s.QueueActions(keyed, &batch, actions) }()
	raw := Raw(t, options)
	between := 0
	var err error
	for waiting := true; waiting; {
		select {
		case err = <-queued:
			waiting = false
		default:
			require.NoError(t, s.CreateUser(t.Context(), newUser(fmt.Sprint("user ", between))))
			between++
			found, err := s.ActionBatchByID(ctx, batchOf(t, raw))
			if err == nil {
				assert.Equal(t, large, found.Totals.All(), "all or nothing is seen")
			} else {
				require.ErrorIs(t, err, store.ErrNotFound)
			}
		}
	}
	require.NoError(t, err)
	assert.Greater(t, between, 2, "others write meanwhile")
	found, err := s.ActionBatchByID(ctx, batch.ID)
	require.NoError(t, err)
	assert.Equal(t, large, found.Totals[aaa.ActionQueued])
	var again *operator.RepeatedError
	require.ErrorAs(t, s.CheckKey(keyed), &again)
	assert.Equal(t, batch.ID, again.EntityID)
	require.ErrorIs(t, s.CheckKey(operator.WithIdempotency(ctx, operator.IdempotencyKey{Key: "k", Operation: "else"})), operator.ErrKeyReused)

	// As one that was broken off.
	execute(t, Raw(t, options), "UPDATE action_batches SET staged = $1", true)
	_, err = s.ActionBatchByID(ctx, batch.ID)
	require.ErrorIs(t, err, store.ErrNotFound)
	batches, _, err := s.ListActionBatchesPage(ctx, aaa.Page{})
	require.NoError(t, err)
	assert.Empty(t, batches)
	list, _, err := s.ListActionsPage(ctx, aaa.ActionFilter{BatchID: batch.ID}, aaa.Page{})
	require.NoError(t, err)
	assert.Empty(t, list)
	claimed, err := s.ClaimActions(ctx, aaa.ActionClaim{Limit: 10, Lease: time.Minute})
	require.NoError(t, err)
	assert.Empty(t, claimed, "and nothing of it is sent")
	db := rawDB{Raw(t, options)}
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Equal(t, large, db.count(t, "session_actions"))
	clock.pass(2 * time.Hour)
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Zero(t, db.count(t, "session_actions")+db.count(t, "action_batches"))
}

// batchOf is the id of the only batch in the database; zero: there is none.
func batchOf(t *testing.T, db *sql.DB) (batchID uuid.UUID) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM action_batches")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		batchID = uuid.MustParse(text)
	}
	return batchID
}
