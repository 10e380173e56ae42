package operator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/operator"
)

// TestStrangersDoNotWrite: on SQLite there is one writer, which accounting needs. Who is
// locked out, or makes refresh tokens up, must not keep it busy.
func TestStrangersDoNotWrite(t *testing.T) {
	w := sqliteWorld(t)
	ctx := t.Context()
	w.add("alice", "support")
	for range 5 {
		_, err := w.SignIn(ctx, "alice", "wrong wrong wrong", here)
		require.ErrorIs(t, err, operator.ErrBadCredentials)
	}
	writing, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- w.store.ChangeAttempts(ctx, []string{"other"}, func([]operator.Attempts) error {
			close(writing)
			<-release
			return nil
		})
	}()
	<-writing // nobody else can write now
	short, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var throttled *operator.ThrottledError
	_, err := w.SignIn(short, "alice", "wrong wrong wrong", here)
	require.ErrorAs(t, err, &throttled)
	_, err = w.Refresh(short, "rdr_"+strings.Repeat("A", 43), here)
	require.ErrorIs(t, err, operator.ErrUnauthenticated)
	close(release)
	require.NoError(t, <-ended)
}
