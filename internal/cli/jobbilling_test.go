package cli

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// lines is what was logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// works runs the site's background jobs until stop is called or the test ends.
func (s *site) works(environ ...string) (logged *lines, stop func()) {
	s.t.Helper()
	cfg, err := config.Load("", append(s.environ, environ...))
	require.NoError(s.t, err)
	logged = &lines{}
	workers := &jobWorkers{cfg, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(logged, nil))}
	opened := s.open()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		workers.run(ctx, func() *store.Store { return opened })
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	s.t.Cleanup(stop)
	return logged, stop
}

// TestBillingRunsByItself has the workers of a server bill: nothing until billing is set
// up, then what the night before has left unfinished and what is due, and once.
func TestBillingRunsByItself(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--due-days", "14")
		s.ok("user", "add", "alice", "--password", "x")
		completed := func(n int) {
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				assert.Len(c, s.rows("job", "list", "--kind", "billing.run", "--state", "completed"), n)
			}, time.Minute, 100*time.Millisecond)
		}
		now := time.Now().UTC()
		logged, stop := s.works("RADIUSD_BILLING_RUN_AT=" + now.Add(-2*time.Minute).Format("15:04"))
		completed(1)
		stop()
		assert.Equal(t, 1, strings.Count(logged.String(), "billing is not set up"))
		assert.Empty(t, s.rows("billing", "status"))

		s.ok("billing", "set", "--seller-name", "Example Net")
		s.ok("subscription", "add", "alice", "home", "--from", billing.DateOf(now.AddDate(0, 0, -1), time.UTC).String())
		yesterday := billing.DateOf(now.AddDate(0, 0, -2), time.UTC)
		_, release, err := s.open().BeginRun(t.Context(), yesterday)
		require.NoError(t, err)
		release() // as if it had been killed
		_, stop = s.works("RADIUSD_BILLING_RUN_AT=" + now.Add(-time.Minute).Format("15:04"))
		completed(2)
		stop()
		runs := s.rows("billing", "status")
		require.Len(t, runs, 2)
		for _, run := range runs {
			assert.NotNil(t, run["finished_at"], "%v", run["as_of"])
		}
		assert.Len(t, s.rows("invoice", "list"), 1)

		_, stop = s.works("RADIUSD_BILLING_RUN_AT=" + now.Format("15:04")) // the same day again
		completed(3)
		stop()
		assert.Len(t, s.rows("invoice", "list"), 1)
		assert.Equal(t, "the books balance\n", s.ok("billing", "check"))
	})
}
