package aaa_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// fakeStore is a store of sessions in memory, which does what the doc comments of
// SessionTx, SessionCloser and SessionStore ask for and nothing else.
type fakeStore struct {
	sessions map[uuid.UUID]aaa.Session
	boots    []aaa.Boot
	seenAt   []time.Time // when each was written
	now      time.Time
	usage    map[fakeDay]aaa.Usage
	loc      *time.Location
}

type fakeDay struct {
	username string
	day      string
}

func newFakeStore() *fakeStore {
	return &fakeStore{sessions: map[uuid.UUID]aaa.Session{}, usage: map[fakeDay]aaa.Usage{}, loc: time.UTC}
}

// write is what a sink does in its transaction.
func (f *fakeStore) write(t require.TestingT, records []aaa.Record) {
	changes, err := aaa.MergeBatch(context.Background(), f, slices.Clone(records), f.loc)
	require.NoError(t, err)
	for _, changed := range changes.Sessions {
		s := *changed
		b, err := s.Provenance.Value()
		require.NoError(t, err)
		s.Provenance = aaa.Provenance{}
		require.NoError(t, s.Provenance.Scan(b))
		f.sessions[s.ID] = s
	}
	for _, u := range changes.Usage {
		k := fakeDay{u.Username, u.Day.Format(time.DateOnly)}
		sum := f.usage[k]
		sum.Seconds += u.Seconds
		sum.InputOctets += u.InputOctets
		sum.OutputOctets += u.OutputOctets
		f.usage[k] = sum
	}
	for _, r := range records {
		if r.Status == aaa.AcctOn || r.Status == aaa.AcctOff {
			f.boots, f.seenAt = append(f.boots, r.Boot()), append(f.seenAt, f.now)
		}
	}
}

// seen returns the boots with the time they were written.
func (f *fakeStore) seen() []aaa.SeenBoot {
	list := make([]aaa.SeenBoot, len(f.boots))
	for i := range list {
		list[i] = aaa.SeenBoot{Boot: f.boots[i], SeenAt: f.seenAt[i]}
	}
	return list
}

// totals sums the usage of each user over all days.
func (f *fakeStore) totals() map[string]aaa.Usage {
	sums := map[string]aaa.Usage{}
	for k, u := range f.usage {
		s := sums[k.username]
		s.Seconds += u.Seconds
		s.InputOctets += u.InputOctets
		s.OutputOctets += u.OutputOctets
		sums[k.username] = s
	}
	return sums
}

// rows returns the sessions in the order of their Acct-Session-Ids, without ids.
func (f *fakeStore) rows() []aaa.Session {
	var rows []aaa.Session
	for _, s := range f.sessions {
		s.ID = uuid.Nil
		rows = append(rows, s)
	}
	sortSessions(rows)
	return rows
}

func sortSessions(rows []aaa.Session) {
	slices.SortFunc(rows, func(a, b aaa.Session) int {
		return cmp.Or(cmp.Compare(a.AcctSessionID, b.AcctSessionID), a.StartedAt.Compare(b.StartedAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
}

func (f *fakeStore) SessionsByID(_ context.Context, ids []uuid.UUID) ([]aaa.Session, error) {
	var found []aaa.Session
	for _, id := range ids {
		if s, ok := f.sessions[id]; ok {
			found = append(found, s)
		}
	}
	return found, nil
}

func (f *fakeStore) SessionsOfUsers(_ context.Context, usernames []string, nases []netip.Addr, since time.Time, limit int) ([]aaa.Session, error) {
	var found []aaa.Session
	for _, s := range f.sessions {
		if slices.Contains(usernames, s.Username) && slices.Contains(nases, s.NASAddr) && (s.Open() || !s.StoppedAt.Before(since)) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b aaa.Session) int { return b.StartedAt.Compare(a.StartedAt) })
	return found[:min(limit, len(found))], nil
}

func (f *fakeStore) BootsOf(_ context.Context, nases []netip.Addr, since time.Time) ([]aaa.Boot, error) {
	return slices.DeleteFunc(slices.Clone(f.boots), func(b aaa.Boot) bool {
		return !slices.Contains(nases, b.NASAddr) || b.At.Before(since)
	}), nil
}

func (f *fakeStore) EndByBoot(_ context.Context, b aaa.Boot) error {
	for id, s := range f.sessions {
		if b.Ends(&s) && (s.Open() || s.StopInferred && s.StoppedAt.After(b.At)) {
			s.StoppedAt, s.StopInferred, s.TerminateCause = b.At, true, aaa.CauseReboot
			f.sessions[id] = s
		}
	}
	return nil
}

func (f *fakeStore) CloseSessions(_ context.Context, closings []aaa.Closing) error {
	for _, c := range closings {
		for _, id := range c.Others {
			_ = f.CloseSessions(context.Background(), []aaa.Closing{{SessionID: id, StoppedAt: c.StoppedAt}})
		}
		if s, ok := f.sessions[c.SessionID]; ok && s.Open() && !s.UpdatedAt.After(c.StoppedAt) {
			s.StoppedAt, s.StopInferred, s.TerminateCause = c.StoppedAt, true, aaa.CauseLapsed
			f.sessions[c.SessionID] = s
		}
	}
	return nil
}

func (f *fakeStore) EachSession(_ context.Context, since time.Time, fn func(*aaa.Session) error) error {
	for _, s := range f.sessions {
		if s.Open() || !s.StoppedAt.Before(since) {
			if err := fn(&s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fakeStore) Boots(_ context.Context, since time.Time) ([]aaa.Boot, error) {
	return slices.DeleteFunc(slices.Clone(f.boots), func(b aaa.Boot) bool { return b.At.Before(since) }), nil
}

func (f *fakeStore) EachUsage(_ context.Context, starts []time.Time, fn func(aaa.DailyUsage) error) error {
	type span struct {
		username string
		start    time.Time
	}
	sums := map[span]aaa.Usage{}
	for k, u := range f.usage {
		day, err := time.ParseInLocation(time.DateOnly, k.day, f.loc)
		if err != nil {
			return err
		}
		key := span{username: k.username}
		for _, start := range starts {
			if !day.Before(start) {
				key.start = start
			}
		}
		sum := sums[key]
		sum.Seconds += u.Seconds
		sum.InputOctets += u.InputOctets
		sum.OutputOctets += u.OutputOctets
		sums[key] = sum
	}
	for key, u := range sums {
		if err := fn(aaa.DailyUsage{Username: key.username, Day: key.start, Usage: u}); err != nil {
			return err
		}
	}
	return nil
}

var (
	_ aaa.SessionTx     = (*fakeStore)(nil)
	_ aaa.SessionStore  = (*fakeStore)(nil)
	_ aaa.SessionCloser = (*fakeStore)(nil)
)

// resolved gives every record its ids, in order, as the live sessions do.
func resolved(records []aaa.Record) []aaa.Record {
	live := aaa.NewLiveSessions(aaa.LiveOptions{})
	out := slices.Clone(records)
	for i := range out {
		live.Apply(&out[i])
	}
	return out
}

// epoch is a time that tests count from.
var epoch = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// at is that many seconds later.
func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

var testNAS = netip.MustParseAddr("192.0.2.1")

// rec is a record of alice's session "s1", by default.
func rec(status aaa.AcctStatus, event int, change ...func(*aaa.Record)) aaa.Record {
	r := aaa.Record{
		Status: status, AcctSessionID: "s1", Username: "alice", NASAddr: testNAS,
		EventTime: at(event), ReceivedAt: at(event),
	}
	if status == aaa.AcctOn || status == aaa.AcctOff {
		r.AcctSessionID, r.Username = "", ""
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

func counters(seconds, in, out uint64) func(*aaa.Record) {
	return func(r *aaa.Record) {
		r.HasSeconds, r.SessionSeconds = true, seconds
		r.HasOctets, r.InputOctets, r.OutputOctets = true, in, out
	}
}

func cause(name string) func(*aaa.Record) { return func(r *aaa.Record) { r.TerminateCause = name } }
func session(id string) func(*aaa.Record) { return func(r *aaa.Record) { r.AcctSessionID = id } }
func user(name string) func(*aaa.Record)  { return func(r *aaa.Record) { r.Username = name } }
func station(id string) func(*aaa.Record) { return func(r *aaa.Record) { r.CallingStationID = id } }
func port(id string) func(*aaa.Record)    { return func(r *aaa.Record) { r.NASPortID = id } }

// permutations calls fn with every order of the records.
func permutations(records []aaa.Record, fn func([]aaa.Record)) {
	var step func(int)
	step = func(n int) {
		if n == len(records) {
			fn(slices.Clone(records))
			return
		}
		for i := n; i < len(records); i++ {
			records[n], records[i] = records[i], records[n]
			step(n + 1)
			records[n], records[i] = records[i], records[n]
		}
	}
	step(0)
}

func liveRows(l *aaa.LiveSessions) []aaa.Session {
	var rows []aaa.Session
	l.Each(aaa.LiveFilter{}, func(s *aaa.Session) bool {
		c := *s
		c.ID = uuid.Nil
		rows = append(rows, c)
		return true
	})
	sortSessions(rows)
	return rows
}

// show writes rows so that a difference can be read.
func show(rows []aaa.Session) string {
	var b strings.Builder
	for _, s := range rows {
		clock := func(t time.Time) string {
			if t.IsZero() {
				return "-"
			}
			return strconv.Itoa(int(t.Sub(epoch).Seconds()))
		}
		prov, _ := s.Provenance.Value()
		fmt.Fprintf(&b, "%s %s nas=%v/%s port=%s ip=%v station=%s class=%x start=%s inferred=%v updated=%s stop=%s inferred=%v cause=%s %ds %d/%d wrapped=%v %x\n",
			s.AcctSessionID, s.Username, s.NASAddr, s.NASIdentifier, s.Port(), s.FramedIP, s.CallingStationID, s.Class,
			clock(s.StartedAt), s.StartInferred, clock(s.UpdatedAt), clock(s.StoppedAt), s.StopInferred, s.TerminateCause,
			s.SessionSeconds, s.InputOctets, s.OutputOctets, s.CounterWrapped, prov)
	}
	return b.String()
}
