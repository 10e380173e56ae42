package ingest_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/ingest"
	"radiusd/radius"
)

// TestARefusedRecordBeforeAnUndecodableOne: both are in one batch, and the later one
// is in quarantine when the other one is found.
func TestARefusedRecordBeforeAnUndecodableOne(t *testing.T) {
	w := newWorld(t)
	sql := newSink("sql")
	sql.refuses = "s003"
	w.sendAll(ids(0, 6))
	w.append([]byte("no envelope"))
	w.sendAll(ids(6, 4))
	w.start([]ingest.Sink{sql})
	want := slices.DeleteFunc(ids(0, 10), func(id string) bool { return id == "s003" })
	w.eventually(func() bool { return slices.Equal(sql.taken(), want) }, "the sink goes on")
	list := w.quarantined()
	require.Len(t, list, 2)
	require.Equal(t, "no envelope", string(list[0].Envelope))
	require.Equal(t, "value out of range", list[1].Reason)
}

// TestARecordThatIsRefusedTheSecondTime: what a database took that then lost it may
// be refused when it is written again.
func TestARecordThatIsRefusedTheSecondTime(t *testing.T) {
	w := newWorld(t)
	sql := &standby{sink: newSink("sql")}
	w.start([]ingest.Sink{sql}, keep(time.Hour))
	sql.copy()
	w.sendAll(ids(0, 5))
	w.eventually(func() bool { return len(sql.held()) == 5 }, "taken")
	sql.set(func() { sql.refuses = "s005" })
	w.sendAll(ids(5, 3))
	w.eventually(func() bool { return len(sql.held()) == 7 }, "one in quarantine")
	sql.set(func() { sql.refuses = "s002" })
	sql.failOver()
	w.send(radius.AcctStart, "after")
	w.eventually(func() bool { return len(sql.held()) == 8 }, "all but s002")
	var refused []int
	for _, q := range w.quarantined() {
		refused = append(refused, int(q.Envelope[len(q.Envelope)-8]-'0')) // the last digit of s00n, before User-Name
	}
	require.Equal(t, []int{5, 2}, refused)
}

// forgetful is a sink without transactions, whose database loses its last batches in
// an outage: when it is back, it takes whatever it is given.
type forgetful struct{ *standby }

func (s forgetful) Write(ctx context.Context, b *ingest.Batch) error { return s.sink.Write(ctx, b) }

func TestADatabaseThatLostTransactionsWhileItWasDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		history := forgetful{&standby{sink: newSink("history")}}
		w.start([]ingest.Sink{history}, keep(time.Hour))
		w.sendAll(ids(0, 10))
		time.Sleep(time.Second)
		history.copy()
		w.sendAll(ids(10, 10))
		time.Sleep(time.Second)
		require.Len(t, history.held(), 20)
		history.set(func() { history.down = errors.New("connection refused") })
		w.sendAll(ids(20, 10))
		time.Sleep(time.Second)
		history.failOver()
		history.set(func() { history.down = nil })
		time.Sleep(time.Minute)
		require.Len(t, history.held(), 30)
		require.Empty(t, w.quarantined())
		w.halt()
	})
}

func TestQuarantineGoesOnBehindATornLine(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, os.WriteFile(w.quarantine, []byte(`{"at":"2030-01-0`), 0o600))
	w.start([]ingest.Sink{newSink("sql")})
	w.append([]byte("no envelope"))
	w.eventually(func() bool { return w.gauge("radiusd_ingest_quarantined_total", "sql") == 1 }, "quarantined")
	b, err := os.ReadFile(w.quarantine)
	require.NoError(t, err)
	require.Regexp(t, `^\{"at":"2030-01-0\n\{"at":.*\}\n$`, string(b))
}
