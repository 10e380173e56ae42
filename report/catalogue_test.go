package report

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// TestCatalogue: what is said of a report holds for it.
func TestCatalogue(t *testing.T) {
	word := regexp.MustCompile(`^[a-z][a-z_-]*$`)
	for _, r := range Catalogue() {
		assert.Regexp(t, word, r.Name)
		assert.NotEmpty(t, r.Title)
		assert.NotEmpty(t, r.Examples)
		names := map[string]bool{}
		for _, p := range r.Parameters {
			assert.Regexp(t, word, p.Name)
			assert.False(t, names[p.Name], "%s: two parameters %s", r.Name, p.Name)
			names[p.Name] = true
			assert.NotEmpty(t, p.Says, "%s %s", r.Name, p.Name)
			assert.NotEmpty(t, p.Placeholder, "%s %s", r.Name, p.Name)
			assert.Equal(t, p.Kind == KindChoice, len(p.Choices) > 0)
			if p.Kind == KindChoice {
				assert.Contains(t, p.Choices, p.Default)
			}
		}
		for _, c := range r.AllColumns() {
			assert.Regexp(t, word, c.Name)
		}
	}
}

// oneRow is a source with one row of each shape, and remembers what it was asked.
type oneRow struct{ asked any }

func (s *oneRow) Usage(_ context.Context, q UsageQuery, fn func(Usage) error) error {
	s.asked = q
	return fn(Usage{Start: q.From, Key: "key", Usage: aaa.Usage{Seconds: 1, InputOctets: 2, OutputOctets: 3}})
}

func (s *oneRow) Concurrent(_ context.Context, q ConcurrentQuery, fn func(Concurrent) error) error {
	s.asked = q
	return fn(Concurrent{At: q.From, Sessions: 1, Most: 2})
}

func (s *oneRow) Holders(_ context.Context, q HolderQuery, fn func(Holder) error) error {
	s.asked = q
	return fn(Holder{Username: "alice"})
}

func (s *oneRow) Counts(_ context.Context, q CountQuery, fn func(Count) error) error {
	s.asked = q
	return fn(Count{Start: q.From, Key: "key", Cause: "cause", Inferred: true, Count: 7})
}

// TestRows: each row has a value for each column, of the type that its unit says.
func TestRows(t *testing.T) {
	types := map[Unit][]any{
		UnitText: {""}, UnitTime: {time.Time{}}, UnitStart: {Start{}}, UnitAddress: {netip.Addr{}, netip.Prefix{}}, UnitID: {uuid.UUID{}}, UnitYesNo: {false},
		UnitCount: {uint64(0)}, UnitSeconds: {uint64(0)}, UnitOctets: {uint64(0)},
	}
	for _, r := range Catalogue() {
		given := []Arguments{{}}
		if p, ok := r.Parameter("by"); ok {
			for _, by := range p.Choices {
				given = append(given, Arguments{"by": by})
			}
		}
		for _, args := range given {
			if r.Name == "address" {
				args["address"] = "192.0.2.1"
			}
			columns, rows := r.Columns(args), 0
			require.NoError(t, r.Run(t.Context(), &oneRow{}, args, environment, func(row Row) error {
				require.Len(t, row, len(columns), "%s %v", r.Name, args)
				for i, c := range columns {
					matches := false
					for _, like := range types[c.Unit] {
						matches = matches || assert.ObjectsAreEqual(typeOf(like), typeOf(row[i]))
					}
					assert.True(t, matches, "%s %s: %T", r.Name, c.Name, row[i])
				}
				rows++
				return nil
			}))
			assert.Equal(t, 1, rows)
		}
		failure := errors.New("enough")
		args := Arguments{}
		if r.Name == "address" {
			args["address"] = "192.0.2.1"
		}
		assert.ErrorIs(t, r.Run(t.Context(), &oneRow{}, args, environment, func(Row) error { return failure }), failure)
	}
}

func typeOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case time.Time:
		return "time"
	case Start:
		return "start"
	case netip.Addr:
		return "address"
	case netip.Prefix:
		return "prefix"
	case uuid.UUID:
		return "id"
	case bool:
		return "bool"
	case uint64:
		return "uint64"
	}
	return "other"
}

var environment = Environment{Zone: time.FixedZone("", 3600), Now: time.Date(2026, 11, 18, 22, 30, 0, 0, time.UTC)} // Wednesday, 23:30 there

func TestArguments(t *testing.T) {
	day := func(day int) time.Time { return time.Date(2026, 11, day, 0, 0, 0, 0, environment.Zone) }
	span := func(from, to time.Time, period Period) Span {
		return Span{From: from, To: to, Period: period, Zone: environment.Zone}
	}
	address := netip.MustParseAddr("192.0.2.1")
	now := environment.Now
	for name, tt := range map[string]struct {
		report string
		given  Arguments
		want   any
	}{
		"defaults":          {"usage", nil, UsageQuery{Span: span(day(1), day(19), Total), By: ByUser, Limit: 1000}},
		"words":             {"usage", Arguments{"from": "week", "to": "yesterday"}, UsageQuery{Span: span(day(16), day(17), Total), By: ByUser, Limit: 1000}},
		"everything":        {"usage", Arguments{"from": "2026-11-02", "to": "2026-11-03T12:00:00Z", "by": "nas", "period": "hour", "user": "alice", "nas": "::ffff:192.0.2.1", "plan": "home", "limit": "0"}, UsageQuery{Span: span(day(2), day(3).Add(13*time.Hour), Hour), By: ByNAS, User: "alice", NAS: address, Plan: "home"}},
		"top users":         {"top-users", Arguments{"limit": "3"}, UsageQuery{Span: span(day(1), day(19), Total), By: ByUser, Limit: 3}},
		"concurrent":        {"concurrent", Arguments{"step": "2d"}, ConcurrentQuery{From: day(18), To: now, Step: 48 * time.Hour}},
		"not in the future": {"concurrent", Arguments{"to": "2030-01-01"}, ConcurrentQuery{From: day(18), To: now, Step: time.Hour}},
		"who has it":        {"address", Arguments{"address": "192.0.2.1"}, HolderQuery{Address: address, From: now, To: now, Limit: 1000}},
		"who had it":        {"address", Arguments{"address": "192.0.2.1", "at": "today"}, HolderQuery{Address: address, From: day(18), To: day(18), Limit: 1000}},
		"who had it since":  {"address", Arguments{"address": "192.0.2.1", "from": "today"}, HolderQuery{Address: address, From: day(18), To: now, Limit: 1000}},
		"stops":             {"terminate-causes", Arguments{"by": "plan", "period": "day"}, CountQuery{Span: span(day(1), day(19), Day), Event: Stops, By: ByPlan}},
		"rejects":           {"reject-reasons", Arguments{"user": "bob"}, CountQuery{Span: span(day(1), day(19), Total), Event: Rejects, By: ByNothing, User: "bob", Limit: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			r := reportNamed(t, tt.report)
			require.NoError(t, r.Check(tt.given, environment))
			var source oneRow
			require.NoError(t, r.Run(t.Context(), &source, tt.given, environment, func(Row) error { return nil }))
			assert.Equal(t, inUTC(tt.want), inUTC(source.asked))
		})
	}
}

// inUTC makes queries comparable.
func inUTC(q any) any {
	switch q := q.(type) {
	case UsageQuery:
		q.From, q.To = q.From.UTC(), q.To.UTC()
		return q
	case ConcurrentQuery:
		q.From, q.To = q.From.UTC(), q.To.UTC()
		return q
	case HolderQuery:
		q.From, q.To = q.From.UTC(), q.To.UTC()
		return q
	case CountQuery:
		q.From, q.To = q.From.UTC(), q.To.UTC()
		return q
	}
	return q
}

func reportNamed(t *testing.T, name string) *Report {
	t.Helper()
	for _, r := range Catalogue() {
		if r.Name == name {
			return &r
		}
	}
	t.Fatalf("no report %s", name)
	return nil
}

func TestArgumentErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		report    string
		given     Arguments
		parameter string
	}{
		"a parameter of another report": {"usage", Arguments{"step": "1h"}, "step"},
		"not a choice":                  {"usage", Arguments{"by": "none"}, "by"},
		"not a period":                  {"usage", Arguments{"period": "year"}, "period"},
		"not a time":                    {"usage", Arguments{"from": "11/01/2026"}, "from"},
		"backward":                      {"usage", Arguments{"from": "today", "to": "yesterday"}, "to"},
		"too fine":                      {"usage", Arguments{"from": "2020-01-01", "period": "hour"}, "period"},
		"not a number":                  {"usage", Arguments{"limit": "-1"}, "limit"},
		"too great a number":            {"usage", Arguments{"limit": "99999999999"}, "limit"},
		"not an address":                {"usage", Arguments{"nas": "192.0.2.0/24"}, "nas"},
		"an address with a zone":        {"address", Arguments{"address": "fe80::1%eth0"}, "address"},
		"no address":                    {"address", nil, "address"},
		"two times":                     {"address", Arguments{"address": "::1", "at": "now", "from": "today"}, "at"},
		"no beginning":                  {"address", Arguments{"address": "::1", "to": "today"}, "from"},
		"backward, too":                 {"address", Arguments{"address": "::1", "from": "today", "to": "yesterday"}, "to"},
		"no step":                       {"concurrent", Arguments{"step": "0"}, "step"},
		"a step back":                   {"concurrent", Arguments{"step": "-1h"}, "step"},
		"days that are none":            {"concurrent", Arguments{"step": "xd"}, "step"},
		"too many steps":                {"concurrent", Arguments{"from": "2020-01-01", "step": "1m"}, "step"},
		"in the future":                 {"concurrent", Arguments{"from": "tomorrow"}, "to"},
	} {
		t.Run(name, func(t *testing.T) {
			var wrong *ArgumentError
			require.ErrorAs(t, reportNamed(t, tt.report).Check(tt.given, environment), &wrong)
			assert.Equal(t, tt.parameter, wrong.Parameter, wrong)
			assert.NotEmpty(t, wrong.Message)
		})
	}
}

func TestStartLabel(t *testing.T) {
	vienna := zone(t, "Europe/Vienna")
	for _, tt := range []struct {
		at          time.Time
		period      Period
		label, text string
	}{
		{time.Date(2026, 11, 1, 0, 0, 0, 0, vienna), Month, "2026-11", "2026-11-01T00:00:00+01:00"},
		{time.Date(2026, 11, 2, 0, 0, 0, 0, vienna), Month, "2026-11-02", "2026-11-02T00:00:00+01:00"}, // cut
		{time.Date(2026, 11, 2, 0, 0, 0, 0, vienna), Day, "2026-11-02", "2026-11-02T00:00:00+01:00"},
		{time.Date(2026, 7, 2, 13, 0, 0, 0, vienna), Hour, "2026-07-02T13:00+02:00", "2026-07-02T13:00:00+02:00"},
		{time.Date(2026, 7, 2, 0, 0, 0, 0, vienna), Hour, "2026-07-02T00:00+02:00", "2026-07-02T00:00:00+02:00"},
		{time.Date(2026, 7, 2, 13, 5, 9, 0, time.UTC), Total, "2026-07-02T13:05:09Z", "2026-07-02T13:05:09Z"},
	} {
		start := Start{tt.at, tt.period}
		assert.Equal(t, tt.label, start.Label())
		assert.Equal(t, tt.text, start.String())
	}
}
