// Package reporttest is the conformance suite of report.Source: random sessions
// over days, a month's end and the end of daylight saving time in two zones, reported by a
// source and by a plain computation in Go.
package reporttest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/report"
)

// Knowledge is what a source can know.
type Knowledge struct {
	// InferredStops is set if the source knows of stops that no Stop told of.
	InferredStops bool
}

// Load takes a history into a new, empty source, in the order of its records.
type Load func(t testing.TB, h *History) report.Source

// Run runs the suite.
func Run(t *testing.T, knows Knowledge, load Load) {
	for seed, name := range []string{"Europe/Vienna", "Africa/Cairo"} { // clocks go back at 03:00, and over midnight
		zone, err := time.LoadLocation(name)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			h := NewHistory(zone, uint64(seed), 150)
			s := suite{h, knows, load(t, h)}
			t.Run("Usage", s.usage)
			t.Run("Exact", s.exact)
			t.Run("Concurrent", s.concurrent)
			t.Run("Holders", s.holders)
			t.Run("Counts", s.counts)
		})
	}
	t.Run("Empty", func(t *testing.T) { testEmpty(t, load(t, NewHistory(time.UTC, 0, 0))) })
}

type suite struct {
	*History
	knows  Knowledge
	source report.Source
}

func (s *suite) at(day, hour, minute int) time.Time {
	return time.Date(2026, 10, day, hour, minute, 0, 0, s.Zone)
}

// Queries returns the queries of usage that the suite asks: every grouping with
// every period, and filters.
func (h *History) Queries() map[string]report.UsageQuery {
	at := func(day, hour int) time.Time { return time.Date(2026, 10, day, hour, 0, 0, 0, h.Zone) }
	queries := map[string]report.UsageQuery{}
	spans := map[report.Period][2]time.Time{
		report.Total: {at(22, 0), at(32, 0)},
		report.Month: {at(20, 0), at(45, 0)},
		report.Week:  {at(21, 0), at(40, 0)},
		report.Day:   {at(23, 0), at(36, 0)},
		report.Hour:  {at(24, 20), at(26, 4)}, // over the night in which an hour comes twice
	}
	for _, by := range []report.By{report.ByUser, report.ByNAS, report.ByPlan} {
		for period, ends := range spans {
			q := report.UsageQuery{By: by, Span: report.Span{From: ends[0], To: ends[1], Period: period, Zone: h.Zone}}
			queries[fmt.Sprint(by, " ", period)] = q
			if period == report.Day || period == report.Hour {
				q.User = users[0]
				queries[fmt.Sprint(by, " ", period, " of a user")] = q
				q.User, q.NAS = "", nases[2]
				queries[fmt.Sprint(by, " ", period, " of a NAS")] = q
				q.NAS, q.Plan = netip.Addr{}, plans[1]
				queries[fmt.Sprint(by, " ", period, " of a plan")] = q
				q.Plan = ""
			}
			if period == report.Day || period == report.Total {
				q.Limit = 2
				queries[fmt.Sprint(by, " ", period, " limited")] = q
				q.Limit = 0
				q.From, q.To = q.From.Add(7*time.Hour+13*time.Minute), q.From.Add(31*time.Hour+47*time.Minute)
				queries[fmt.Sprint(by, " ", period, " in between")] = q
			}
		}
	}
	return queries
}

func (s *suite) usage(t *testing.T) {
	for name, q := range s.Queries() {
		t.Run(name, func(t *testing.T) {
			got := UsageRows(t, s.source, q)
			want := s.History.usage(q)
			sums := map[string]float64{}
			for k, a := range want {
				sums[k.key] += a.in + a.out
			}
			shown := map[string]bool{}
			var order []string
			for _, row := range got {
				if !shown[row.Key] {
					shown[row.Key] = true
					order = append(order, row.Key)
				}
				k := usageKey{row.Key, row.Start.Unix()}
				a, ok := want[k]
				assert.True(t, ok, "%+v", row)
				assert.True(t, near(row.Seconds, a.seconds, a.slack) && near(row.InputOctets, a.in, a.slack) && near(row.OutputOctets, a.out, a.slack),
					"%+v, want %+v", row, a)
				delete(want, k)
			}
			if q.Limit > 0 {
				assert.Len(t, shown, min(q.Limit, len(sums)))
				for key, sum := range sums {
					if !shown[key] {
						assert.LessOrEqual(t, sum, sums[order[len(order)-1]]+1000, "%s has more", key)
					}
				}
				assert.True(t, slices.IsSortedFunc(order, func(a, b string) int { return int(sums[b]/1000) - int(sums[a]/1000) }), "%v", order)
			} else {
				assert.True(t, slices.IsSorted(order), "%v", order)
				for k, a := range want { // what is left was rounded to nothing
					assert.True(t, a.seconds <= a.slack && a.in <= a.slack && a.out <= a.slack, "missing: %v %+v", k, a)
				}
			}
			require.True(t, slices.IsSortedFunc(got, func(a, b report.Usage) int {
				if a.Key != b.Key {
					return 0
				}
				return a.Start.Compare(b.Start)
			}))
		})
	}
}

// exact: the parts of a report add up to the whole, to the octet. By user and
// whole days a source may answer from sums that were made when the records came.
func (s *suite) exact(t *testing.T) {
	q := report.UsageQuery{By: report.ByUser, Span: report.Span{From: s.at(20, 0, 0), To: s.at(45, 0, 0), Period: report.Day, Zone: s.Zone}}
	whole := UsageRows(t, s.source, q)
	require.NotEmpty(t, whole)
	for name, filter := range map[string]func(report.UsageQuery) []report.UsageQuery{
		"NAS": func(q report.UsageQuery) (list []report.UsageQuery) {
			for _, q.NAS = range nases {
				list = append(list, q)
			}
			return list
		},
		"user": func(q report.UsageQuery) (list []report.UsageQuery) {
			for _, q.User = range users {
				list = append(list, q)
			}
			return list
		},
	} {
		sums := map[usageKey]report.Usage{}
		for _, part := range filter(q) {
			for _, row := range UsageRows(t, s.source, part) {
				k := usageKey{row.Key, row.Start.Unix()}
				sum := sums[k]
				row.Seconds, row.InputOctets, row.OutputOctets = row.Seconds+sum.Seconds, row.InputOctets+sum.InputOctets, row.OutputOctets+sum.OutputOctets
				sums[k] = row
			}
		}
		assert.Len(t, sums, len(whole), name)
		for _, row := range whole {
			assert.Equal(t, row, sums[usageKey{row.Key, row.Start.Unix()}], name)
		}
	}
}

// UsageRows asks a source.
func UsageRows(t testing.TB, source report.Source, q report.UsageQuery) (rows []report.Usage) {
	t.Helper()
	require.NoError(t, source.Usage(context.Background(), q, func(u report.Usage) error {
		u.Start = u.Start.UTC()
		rows = append(rows, u)
		return nil
	}))
	return rows
}

func (s *suite) concurrent(t *testing.T) {
	for name, q := range map[string]report.ConcurrentQuery{
		"hours":      {From: s.at(24, 0, 0), To: s.at(26, 0, 0), Step: time.Hour},
		"minutes":    {From: s.at(28, 12, 30), To: s.at(28, 13, 30), Step: time.Minute},
		"one step":   {From: s.at(10, 0, 0), To: s.at(60, 0, 0), Step: 1000 * 24 * time.Hour},
		"odd steps":  {From: s.at(21, 3, 7), To: s.at(30, 0, 0), Step: 7 * time.Hour},
		"of a user":  {From: s.at(20, 0, 0), To: s.at(40, 0, 0), Step: 24 * time.Hour, User: users[1]},
		"of a NAS":   {From: s.at(20, 0, 0), To: s.at(40, 0, 0), Step: 24 * time.Hour, NAS: nases[1]},
		"before all": {From: s.at(1, 0, 0), To: s.at(2, 0, 0), Step: 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			var got []report.Concurrent
			require.NoError(t, s.source.Concurrent(t.Context(), q, func(c report.Concurrent) error { got = append(got, c); return nil }))
			assert.Equal(t, s.History.concurrent(q, s.knows), got)
		})
	}
}

func (s *suite) holders(t *testing.T) {
	for _, address := range []string{"10.0.0.3", "10.0.0.11", "2001:db8:1:5::5", "2001:db8:1:5::99", "2001:db8:1::1", "2001:db8:1:fff::1", "192.0.2.1", "::"} {
		for name, ends := range map[string][2]time.Time{
			"a moment": {s.at(25, 12, 0), s.at(25, 12, 0)},
			"a day":    {s.at(28, 0, 0), s.at(29, 0, 0)},
			"all":      {s.at(1, 0, 0), s.at(60, 0, 0)},
			"before":   {s.at(1, 0, 0), s.at(2, 0, 0)},
		} {
			t.Run(address+" "+name, func(t *testing.T) {
				q := report.HolderQuery{Address: netip.MustParseAddr(address), From: ends[0], To: ends[1]}
				holders := func() (rows []report.Holder) {
					require.NoError(t, s.source.Holders(t.Context(), q, func(h report.Holder) error { rows = append(rows, h); return nil }))
					return rows
				}
				want := s.History.holders(q, s.knows)
				assert.Equal(t, want, holders())
				q.Limit = 2
				assert.Equal(t, want[:min(2, len(want))], holders(), "limited")
			})
		}
	}
}

func (s *suite) counts(t *testing.T) {
	for event, groups := range map[report.Event][]report.By{
		report.Stops:   {report.ByNothing, report.ByNAS, report.ByPlan},
		report.Rejects: {report.ByNothing, report.ByNAS, report.ByUser},
	} {
		for _, by := range groups {
			for period, ends := range map[report.Period][2]time.Time{
				report.Total: {s.at(1, 0, 0), s.at(60, 0, 0)},
				report.Month: {s.at(15, 0, 0), s.at(40, 0, 0)},
				report.Week:  {s.at(15, 0, 0), s.at(40, 0, 0)},
				report.Day:   {s.at(24, 13, 13), s.at(33, 5, 0)},
				report.Hour:  {s.at(24, 20, 0), s.at(25, 20, 0)},
			} {
				for name, change := range map[string]func(*report.CountQuery){
					"all":       func(*report.CountQuery) {},
					"of a user": func(q *report.CountQuery) { q.User = users[4] },
					"of a NAS":  func(q *report.CountQuery) { q.NAS = nases[1] },
					"limited":   func(q *report.CountQuery) { q.Limit = 2 },
				} {
					t.Run(fmt.Sprint(event, " ", by, " ", period, " ", name), func(t *testing.T) {
						q := report.CountQuery{Event: event, By: by, Span: report.Span{From: ends[0], To: ends[1], Period: period, Zone: s.Zone}}
						change(&q)
						var got []report.Count
						require.NoError(t, s.source.Counts(t.Context(), q, func(c report.Count) error { got = append(got, c); return nil }))
						want := s.History.counts(q, s.knows)
						for i := range want {
							want[i].Start = want[i].Start.UTC()
						}
						for i := range got {
							got[i].Start = got[i].Start.UTC()
						}
						assert.Equal(t, want, got)
					})
				}
			}
		}
	}
}

// testEmpty: a source without any data answers, and refuses what cannot be
// answered.
func testEmpty(t *testing.T, source report.Source) {
	ctx, now := t.Context(), time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	span := report.Span{From: now, To: now.AddDate(0, 1, 0), Period: report.Day, Zone: time.UTC}
	backward := report.Span{From: span.To, To: span.From, Period: report.Day, Zone: time.UTC}
	for _, by := range []report.By{report.ByUser, report.ByNAS, report.ByPlan} {
		assert.Empty(t, UsageRows(t, source, report.UsageQuery{Span: span, By: by}))
		assert.Error(t, source.Usage(ctx, report.UsageQuery{Span: backward, By: by}, nil))
	}
	steps := 0
	require.NoError(t, source.Concurrent(ctx, report.ConcurrentQuery{From: span.From, To: span.To, Step: 24 * time.Hour}, func(c report.Concurrent) error {
		assert.Zero(t, c.Sessions+c.Most)
		steps++
		return nil
	}))
	assert.Equal(t, 31, steps)
	assert.Error(t, source.Concurrent(ctx, report.ConcurrentQuery{From: span.From, To: span.To}, nil), "no step")
	require.NoError(t, source.Holders(ctx, report.HolderQuery{Address: netip.MustParseAddr("::1"), From: span.From, To: span.To}, nil))
	for _, event := range []report.Event{report.Stops, report.Rejects} {
		require.NoError(t, source.Counts(ctx, report.CountQuery{Span: span, Event: event}, nil))
		assert.Error(t, source.Counts(ctx, report.CountQuery{Span: backward, Event: event}, nil))
	}
}
