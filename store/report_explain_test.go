package store

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/report"
)

// TestReportsUseIndexes: a report about some days does not read what is about all
// the others.
func TestReportsUseIndexes(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		options.AutoMigrate = true
		s, err := Open(t.Context(), options)
		require.NoError(t, err)
		defer s.Close()
		span := report.Span{From: time.Now(), To: time.Now().Add(time.Hour), Period: report.Total, Zone: time.UTC}
		type query struct {
			text string
			args []any
		}
		of := func(text string, args []any) query { return query{text, args} }
		days := func(users ...string) query {
			c := s.usageDays(report.UsageQuery{Span: span})
			c.in("username", users)
			return query{"SELECT username FROM usage_daily" + c.where() + " ORDER BY username, day", c.args}
		}
		sessions := func(part meteredPart, last *aaa.Session) query {
			rest, args := (&metering{q: report.UsageQuery{Span: span}}).page(part, last)
			return query{"SELECT id FROM sessions" + rest, args}
		}
		holders := func(address string) query {
			return of(holdersQuery(report.HolderQuery{Address: netip.MustParseAddr(address), From: span.From, To: span.To, Limit: 10}))
		}
		last := &aaa.Session{ID: uuid.New(), StartedAt: time.Now(), StoppedAt: time.Now()}
		concurrent := report.ConcurrentQuery{From: span.From, To: span.To, Step: time.Minute}
		for name, q := range map[string]query{
			"the top users":        of(s.usersOfDays(report.UsageQuery{Span: span, Limit: 10})),
			"all users":            of(s.usersOfDays(report.UsageQuery{Span: span})),
			"days of users":        days("alice", "bob"),
			"begun in a span":      sessions(meteredParts[0], nil),
			"begun, next page":     sessions(meteredParts[0], last),
			"open ones":            sessions(meteredParts[1], nil),
			"open ones, next page": sessions(meteredParts[1], last),
			"stopped since":        sessions(meteredParts[2], nil),
			"stopped, next page":   sessions(meteredParts[2], last),
			"records of sessions":  of(meteredRecords([]uuid.UUID{uuid.New(), uuid.New()}, span.From, span.To)),
			"open at first":        of(openQuery(concurrent)),
			"starts and stops":     of(changesQuery(concurrent)),
			"holders of IPv4":      holders("192.0.2.1"),
			"holders of IPv6":      holders("2001:db8::1"),
			"terminate causes":     of(countQuery(report.CountQuery{Span: span, Event: report.Stops, By: report.ByNAS}, span.From, span.To)),
			"reject reasons":       of(countQuery(report.CountQuery{Span: span, Event: report.Rejects, By: report.ByUser}, span.From, span.To)),
		} {
			plan := s.plan(t, q.text, q.args, true)
			assert.NotContains(t, plan, "Seq Scan", "%s\n%s", name, q.text)
			for line := range strings.Lines(plan) {
				// SQLite: SEARCH goes by an index; SCAN reads all, be it of an index.
				assert.False(t, strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "CONSTANT ROW") && !strings.HasPrefix(line, "SCAN held"),
					"%s\n%s\n%s", name, q.text, plan)
			}
			if testing.Verbose() {
				t.Logf("%s\n%s", name, plan)
			}
		}
	})
}
