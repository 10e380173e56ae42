package storetest

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/store"
)

// within reports whether a time is in a span of which zero bounds are none.
func within(t, from, before time.Time) bool {
	return (from.IsZero() || !t.IsZero() && !t.Before(from)) && (before.IsZero() || !t.IsZero() && t.Before(before))
}

// same reports whether a filter's zero field, or its value, fits.
func same[T comparable](want, got T) bool {
	var zero T
	return want == zero || want == got
}

func names[T any](list []T, name func(*T) string) []string {
	texts := []string{}
	for i := range list {
		texts = append(texts, name(&list[i]))
	}
	return texts
}

// testDirectoryPages lists plans, groups and NASes.
func testDirectoryPages(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	var planIDs, groupIDs []uuid.UUID
	for _, name := range []string{"gold", "silver", "go", "Gold", "zinc"} {
		items := []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: "=", Value: name}}
		plan, group := &aaa.Plan{Name: name, Items: items}, &aaa.Group{Name: name, Items: items}
		require.NoError(t, s.CreatePlan(ctx, plan))
		require.NoError(t, s.CreateGroup(ctx, group))
		planIDs, groupIDs = append(planIDs, plan.ID), append(groupIDs, group.ID)
	}
	for n := range 5 {
		u := newUser(fmt.Sprint("user", n))
		u.PlanID, u.Groups = planIDs[n/3], []aaa.Membership{{GroupID: groupIDs[0]}, {GroupID: groupIDs[1+n%2]}}
		require.NoError(t, s.CreateUser(ctx, u))
	}
	users, err := s.CountPlanUsers(ctx, planIDs)
	require.NoError(t, err)
	assert.Equal(t, map[uuid.UUID]int{planIDs[0]: 3, planIDs[1]: 2}, users)
	members, err := s.CountGroupMembers(ctx, groupIDs[:2])
	require.NoError(t, err)
	assert.Equal(t, map[uuid.UUID]int{groupIDs[0]: 5, groupIDs[1]: 3}, members)

	for query, want := range map[string][]string{"": {"Gold", "go", "gold", "silver", "zinc"}, "go": {"go", "gold"}, "%": {}} {
		plans := walk(t, aaa.Page{Limit: 2}, func(p aaa.Page) ([]aaa.Plan, string, error) {
			return s.ListPlansPage(ctx, aaa.PlanFilter{Query: query}, p)
		}, func() {})
		assert.Equal(t, want, names(plans, func(p *aaa.Plan) string { return p.Items[0].Value }))
		groups := walk(t, aaa.Page{Limit: 2}, func(p aaa.Page) ([]aaa.Group, string, error) {
			return s.ListGroupsPage(ctx, aaa.GroupFilter{Query: query}, p)
		}, func() {})
		assert.Equal(t, want, names(groups, func(g *aaa.Group) string { return g.Name }))
		n, err := s.CountPlans(ctx, aaa.PlanFilter{Query: query})
		require.NoError(t, err)
		assert.Equal(t, aaa.Count{N: len(want)}, n)
		n, err = s.CountGroups(ctx, aaa.GroupFilter{Query: query})
		require.NoError(t, err)
		assert.Equal(t, aaa.Count{N: len(want)}, n)
	}
	newest := walk(t, aaa.Page{Limit: 2, Sort: "-created_at"}, func(p aaa.Page) ([]aaa.Plan, string, error) {
		return s.ListPlansPage(ctx, aaa.PlanFilter{}, p)
	}, func() {})
	assert.Equal(t, []string{"zinc", "Gold", "go", "silver", "gold"}, names(newest, func(p *aaa.Plan) string { return p.Name }))

	var first *aaa.NAS
	for n, prefix := range []string{"192.0.2.1/32", "192.0.2.0/24", "2001:db8::/32", "2001:db8::1/128", "10.0.0.0/8", "0.0.0.0/0"} {
		nas := newNAS(prefix)
		if n%2 == 0 {
			nas.Name, nas.Vendor, nas.PreviousSecret = fmt.Sprint("bras", n), "cisco", []byte("old")
		}
		require.NoError(t, s.CreateNAS(ctx, nas))
		if first == nil {
			first = nas
		}
	}
	vendor := ""
	for name, tt := range map[string]struct {
		filter aaa.NASFilter
		want   []string // in the order they were made
	}{
		"all":      {aaa.NASFilter{}, []string{"192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "2001:db8::1", "10.0.0.0/8", "0.0.0.0/0"}},
		"contains": {aaa.NASFilter{Contains: netip.MustParseAddr("192.0.2.1")}, []string{"192.0.2.1", "192.0.2.0/24", "0.0.0.0/0"}},
		"mapped":   {aaa.NASFilter{Contains: netip.MustParseAddr("::ffff:10.1.1.1")}, []string{"10.0.0.0/8", "0.0.0.0/0"}},
		"IPv6":     {aaa.NASFilter{Contains: netip.MustParseAddr("2001:db8::1")}, []string{"2001:db8::/32", "2001:db8::1"}},
		"vendor":   {aaa.NASFilter{Vendor: &vendor}, []string{"192.0.2.0/24", "2001:db8::1", "0.0.0.0/0"}},
		"query":    {aaa.NASFilter{Query: "bras2"}, []string{"2001:db8::/32"}},
	} {
		for _, sort := range append(aaa.NASSorts(), "-address", "-name") {
			got := walk(t, aaa.Page{Limit: 2, Sort: sort}, func(p aaa.Page) ([]aaa.NASRow, string, error) { return s.ListNASPage(ctx, tt.filter, p) }, func() {})
			texts := names(got, func(n *aaa.NASRow) string {
				return strings.TrimSuffix(strings.TrimSuffix(n.Prefix.String(), "/32"), "/128")
			})
			want := tt.want
			for i, text := range want {
				want[i] = strings.TrimSuffix(text, "/32")
			}
			assert.ElementsMatch(t, want, texts, "%s by %s", name, sort)
			if sort == "created_at" {
				assert.Equal(t, want, texts, name)
			}
		}
		n, err := s.CountNASes(ctx, tt.filter)
		require.NoError(t, err)
		assert.Equal(t, aaa.Count{N: len(tt.want)}, n)
	}
	row, err := s.NASRowByID(ctx, first.ID)
	require.NoError(t, err)
	assert.Equal(t, aaa.NASRow{ID: first.ID, Name: "bras0", Prefix: first.Prefix, HasPreviousSecret: true, Vendor: "cisco",
		CreatedAt: first.CreatedAt, UpdatedAt: first.UpdatedAt}, *row)
	_, err = s.NASRowByID(ctx, uuid.New())
	assert.ErrorIs(t, err, aaa.ErrNotFound)
}

// fillRecords writes sessions, some of which have ended.
func fillRecords(t *testing.T, s *store.Store, nasIDs []uuid.UUID, now time.Time) []aaa.Record {
	sink, err := s.NewSink()
	require.NoError(t, err)
	var records []aaa.Record
	resolver := aaa.NewResolver()
	for n := range 40 {
		start := aaa.Record{
			Status: aaa.AcctStart, AcctSessionID: fmt.Sprint(n), Username: []string{"alice", "bob", "b\u00e4r"}[n%3], Plan: []string{"", "gold"}[n%2],
			NASID: nasIDs[n%2], NASAddr: netip.AddrFrom4([4]byte{192, 0, 2, byte(n % 3)}), CallingStationID: []string{"aa", "bb"}[n/2%2],
			FramedIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 10)}), DelegatedPrefix: netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::", n%5)), 48),
			EventTime: now.Add(time.Duration(n/4) * time.Hour), ReceivedAt: now,
		}
		resolver.Resolve(&start)
		records = append(records, start)
		if n%3 > 0 {
			stop := start
			stop.Status, stop.TerminateCause, stop.EventTime = aaa.AcctStop, []string{"User-Request", "Idle-Timeout"}[n%2], start.EventTime.Add(time.Hour)
			stop.HasSeconds, stop.SessionSeconds = true, 3600
			resolver.Resolve(&stop)
			records = append(records, stop)
		}
	}
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, End: 1}))
	return records
}

// testRecordPages: all pages together are what the filter selects, in order.
func testRecordPages(t *testing.T, database Database) {
	options := database(t)
	now := at("2030-01-31T08:15:00Z")
	options.Sealer, options.AutoMigrate, options.NodeID = sealer(), true, "node"
	options.Now = func() time.Time { return now.Add(20 * time.Hour) }
	s, ctx := reopen(t, options), t.Context()
	nasIDs := []uuid.UUID{uuid.New(), uuid.New()}
	records := fillRecords(t, s, nasIDs, now)
	sessions, err := s.ListSessions(ctx, store.SessionFilter{})
	require.NoError(t, err)
	require.Len(t, sessions, 40)
	var decisions []aaa.AuthRecord
	for n := range 50 {
		reason := aaa.Reason(n % 3)
		decisions = append(decisions, aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: now.Add(time.Duration(n/3) * time.Hour), Username: []string{"alice", "bob"}[n%2],
			Accepted: reason == aaa.ReasonAccepted, Reason: reason, Method: aaa.MethodPAP, NASID: nasIDs[n%2], NASAddr: records[n%9].NASAddr, CallingStationID: []string{"aa", "bb"}[n/2%2]})
	}
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(decisions...)))

	moment := rapid.SampledFrom([]time.Time{{}, {}, {}, now.Add(time.Hour), now.Add(3 * time.Hour), now.Add(6 * time.Hour)})
	texts := func(list ...string) *rapid.Generator[string] { return rapid.SampledFrom(append(list, "", "")) }
	address := rapid.SampledFrom([]netip.Addr{{}, {}, {}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.2"), netip.MustParseAddr("2001:db8:1:2::3"), netip.MustParseAddr("2001:db9::")})
	nasAddr := rapid.SampledFrom([]netip.Addr{{}, {}, {}, netip.MustParseAddr("192.0.2.1")})
	nasID := rapid.SampledFrom([]uuid.UUID{{}, {}, nasIDs[0]})
	pageOf := func(t *rapid.T, sorts []string) aaa.Page {
		for _, sort := range slices.Clone(sorts) {
			if plain, descending := strings.CutPrefix(sort, "-"); descending {
				sorts = append(sorts, plain)
			} else {
				sorts = append(sorts, "-"+plain)
			}
		}
		return aaa.Page{Limit: rapid.IntRange(1, 45).Draw(t, "limit"), Sort: rapid.SampledFrom(sorts).Draw(t, "sort")}
	}
	order := func(descending bool, times int, a, b uuid.UUID) int {
		if by := cmp.Or(times, slices.Compare(a[:], b[:])); descending {
			return -by
		} else {
			return by
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := aaa.SessionFilter{Online: pointer(rapid.Bool()).Draw(t, "online"), Username: texts("alice", "bär").Draw(t, "username"),
			NASAddr: nasAddr.Draw(t, "nas_ip"), NASID: nasID.Draw(t, "nas_id"), Address: address.Draw(t, "address"),
			CallingStationID: texts("aa").Draw(t, "station"), Plan: texts("gold").Draw(t, "plan"), TerminateCause: texts("Idle-Timeout").Draw(t, "cause"),
			StartedFrom: moment.Draw(t, "started from"), StartedBefore: moment.Draw(t, "started before"),
			StoppedFrom: moment.Draw(t, "stopped from"), StoppedBefore: moment.Draw(t, "stopped before")}
		page := pageOf(t, aaa.SessionSorts())
		by, descending := strings.CutPrefix(page.Sort, "-")
		want, all := []uuid.UUID{}, 0
		for _, x := range slices.SortedFunc(slices.Values(sessions), func(a, b aaa.Session) int {
			if by == "stopped_at" {
				return order(descending, a.StoppedAt.Compare(b.StoppedAt), a.ID, b.ID)
			}
			return order(descending, a.StartedAt.Compare(b.StartedAt), a.ID, b.ID)
		}) {
			holds := !f.Address.IsValid() || x.FramedIP == f.Address.Unmap() || x.DelegatedPrefix.Contains(f.Address)
			if (f.Online == nil || *f.Online == x.Open()) && same(f.Username, x.Username) && same(f.NASAddr, x.NASAddr) && same(f.NASID, x.NASID) && holds &&
				same(f.CallingStationID, x.CallingStationID) && same(f.Plan, x.Plan) && same(f.TerminateCause, x.TerminateCause) &&
				within(x.StartedAt, f.StartedFrom, f.StartedBefore) && within(x.StoppedAt, f.StoppedFrom, f.StoppedBefore) {
				if all++; by != "stopped_at" || !x.Open() {
					want = append(want, x.ID)
				}
			}
		}
		got := []uuid.UUID{}
		for _, x := range walk(t, page, func(p aaa.Page) ([]aaa.Session, string, error) { return s.ListSessionsPage(ctx, f, p) }, func() {}) {
			got = append(got, x.ID)
		}
		require.Equal(t, want, got)
		n, err := s.CountSessions(ctx, f)
		require.NoError(t, err)
		require.Equal(t, aaa.Count{N: all}, n)
	})
	rapid.Check(t, func(t *rapid.T) {
		f := aaa.RecordFilter{SessionID: rapid.SampledFrom([]uuid.UUID{{}, {}, records[1].SessionID}).Draw(t, "session"), Username: texts("alice").Draw(t, "username"),
			NASAddr: nasAddr.Draw(t, "nas_ip"), Status: pointer(rapid.Just(aaa.AcctStop)).Draw(t, "status"), From: moment.Draw(t, "from"), Before: moment.Draw(t, "before")}
		page := pageOf(t, aaa.RecordSorts())
		_, descending := strings.CutPrefix(page.Sort, "-")
		want, got := []uuid.UUID{}, []uuid.UUID{}
		for _, r := range slices.SortedFunc(slices.Values(records), func(a, b aaa.Record) int {
			return order(descending, a.EventTime.Compare(b.EventTime), a.ID, b.ID)
		}) {
			if same(f.SessionID, r.SessionID) && same(f.Username, r.Username) && same(f.NASAddr, r.NASAddr) && (f.Status == nil || *f.Status == r.Status) && within(r.EventTime, f.From, f.Before) {
				want = append(want, r.ID)
			}
		}
		for _, r := range walk(t, page, func(p aaa.Page) ([]aaa.Record, string, error) { return s.ListRecordsPage(ctx, f, p) }, func() {}) {
			got = append(got, r.ID)
		}
		require.Equal(t, want, got)
		n, err := s.CountRecords(ctx, f)
		require.NoError(t, err)
		require.Equal(t, aaa.Count{N: len(want)}, n)
	})
	rapid.Check(t, func(t *rapid.T) {
		f := aaa.AuthFilter{Username: texts("alice").Draw(t, "username"), Accepted: pointer(rapid.Bool()).Draw(t, "accepted"),
			Reason: pointer(rapid.Just(aaa.ReasonWrongPassword)).Draw(t, "reason"), NASAddr: nasAddr.Draw(t, "nas_ip"), NASID: nasID.Draw(t, "nas_id"),
			CallingStationID: texts("aa").Draw(t, "station"), From: moment.Draw(t, "from"), Before: moment.Draw(t, "before")}
		page := pageOf(t, aaa.AuthSorts())
		_, descending := strings.CutPrefix(page.Sort, "-")
		want := []aaa.AuthRecord(nil)
		for _, r := range slices.SortedFunc(slices.Values(decisions), func(a, b aaa.AuthRecord) int {
			return order(descending, a.At.Compare(b.At), a.ID, b.ID)
		}) {
			if same(f.Username, r.Username) && (f.Accepted == nil || *f.Accepted == r.Accepted) && (f.Reason == nil || *f.Reason == r.Reason) &&
				same(f.NASAddr, r.NASAddr) && same(f.NASID, r.NASID) && same(f.CallingStationID, r.CallingStationID) && within(r.At, f.From, f.Before) {
				want = append(want, r)
			}
		}
		got := walk(t, page, func(p aaa.Page) ([]aaa.AuthRecord, string, error) { return s.ListAuthPage(ctx, f, p) }, func() {})
		require.Equal(t, want, got)
		n, err := s.CountAuth(ctx, f)
		require.NoError(t, err)
		require.Equal(t, aaa.Count{N: len(want)}, n)
	})
}

// testRecordSpan: without a span, records go back as far as from the first page.
func testRecordSpan(t *testing.T, database Database) {
	options := database(t)
	now := at("2030-01-31T08:15:00Z")
	options.Sealer, options.AutoMigrate = sealer(), true
	options.Now = func() time.Time { return now }
	s, ctx := reopen(t, options), t.Context()
	var decisions []aaa.AuthRecord
	for n := range 5 {
		decisions = append(decisions, aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: now.Add(-aaa.DefaultSpan).Add(time.Duration(n-1) * time.Minute), Username: "alice"})
	}
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(decisions...)))
	got := walk(t, aaa.Page{Limit: 1}, func(p aaa.Page) ([]aaa.AuthRecord, string, error) { return s.ListAuthPage(ctx, aaa.AuthFilter{}, p) },
		func() { now = now.Add(time.Hour) })
	assert.Len(t, got, 4)
	n, err := s.CountAuth(ctx, aaa.AuthFilter{From: decisions[0].At})
	require.NoError(t, err)
	assert.Equal(t, aaa.Count{N: 5}, n)
	_, _, err = s.ListAuthPage(ctx, aaa.AuthFilter{}, aaa.Page{Cursor: aaa.FormatCursor("auth records", "-at", aaa.AuthFilter{}, "2030-01-31T08:15:00.000000Z", uuid.NewString(), "x")})
	require.ErrorIs(t, err, aaa.ErrBadCursor)
}
