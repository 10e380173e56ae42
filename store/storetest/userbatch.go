package storetest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
)

// testBatches makes users by the hundred and removes them.
func testBatches(t *testing.T, database Database) {
	s, options := openNode(t, database, "node")
	ctx := t.Context()
	plan, group := &aaa.Plan{Name: "day"}, &aaa.Group{Name: "hotspot"}
	require.NoError(t, s.CreatePlan(ctx, plan))
	require.NoError(t, s.CreateGroup(ctx, group))
	f := follow(t, s)
	batch := &aaa.UserBatch{Name: "march", Prefix: "v-", Count: 150, PlanID: plan.ID, GroupIDs: []uuid.UUID{group.ID}, ExpiresAt: at("2031-01-01T00:00:00Z"), CreatedBy: "olga"}
	made, err := s.CreateUserBatch(ctx, batch, aaa.BatchOptions{NameLength: 6, PasswordLength: 12})
	require.NoError(t, err)
	require.Len(t, made, 150)
	assert.Len(t, f.poll(), 150)
	got, err := s.UserBatchByID(ctx, batch.ID)
	require.NoError(t, err)
	assert.Equal(t, batch, got)
	seen := map[string]bool{}
	for _, u := range made {
		require.Regexp(t, "^v-[a-hjkmnp-z2-9]{6}$", u.Name)
		require.Regexp(t, "^[a-hjkmnp-z2-9]{12}$", u.Password)
		seen[u.Name], seen[u.Password] = true, true
	}
	assert.Len(t, seen, 300)
	user, err := s.UserByName(ctx, made[7].Name)
	require.NoError(t, err)
	assert.Equal(t, &aaa.User{ID: made[7].ID, Name: made[7].Name, PlanID: plan.ID, ExpiresAt: batch.ExpiresAt, Groups: []aaa.Membership{{GroupID: group.ID}},
		Credential: aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(made[7].Password)}, CreatedAt: batch.CreatedAt, UpdatedAt: batch.UpdatedAt}, user)
	require.NoError(t, s.ChangeUser(ctx, user.ID, func(u *aaa.User, _ *aaa.Profile) error { u.Status = aaa.UserDisabled; return nil }))
	n, err := s.CountUsers(ctx, aaa.UserFilter{BatchID: batch.ID})
	require.NoError(t, err)
	assert.Equal(t, aaa.Count{N: 150}, n, "a change does not take a user out of its batch")

	_, err = s.CreateUserBatch(ctx, &aaa.UserBatch{Name: "march", Count: 1}, aaa.BatchOptions{})
	require.ErrorIs(t, err, aaa.ErrExists)
	_, err = s.CreateUserBatch(ctx, &aaa.UserBatch{Count: aaa.MaxUserBatch + 1}, aaa.BatchOptions{PasswordLength: 4})
	var fields []string
	for _, e := range aaa.FieldErrors(err) {
		fields = append(fields, e.Field)
	}
	assert.Equal(t, []string{"name", "count", "password_length"}, fields)
	_, err = s.CreateUserBatch(ctx, &aaa.UserBatch{Name: "x", Count: 1, PlanID: uuid.New()}, aaa.BatchOptions{})
	require.Len(t, aaa.FieldErrors(err), 1)
	small := &aaa.UserBatch{Name: "april", Count: 2}
	_, err = s.CreateUserBatch(ctx, small, aaa.BatchOptions{})
	require.NoError(t, err)
	list := walk(t, aaa.Page{Limit: 1}, func(p aaa.Page) ([]aaa.UserBatch, string, error) {
		return s.ListUserBatchesPage(ctx, aaa.BatchFilter{}, p)
	}, func() {})
	assert.Equal(t, []aaa.UserBatch{*small, *batch}, list)
	n, err = s.CountUserBatches(ctx, aaa.BatchFilter{Query: "a"})
	require.NoError(t, err)
	assert.Equal(t, aaa.Count{N: 1}, n)

	record := aaa.Record{Status: aaa.AcctStart, AcctSessionID: "1", Username: made[0].Name, NASAddr: netip.MustParseAddr("192.0.2.1"), EventTime: batch.CreatedAt, ReceivedAt: batch.CreatedAt}
	aaa.NewResolver().Resolve(&record)
	sink, err := s.NewSink()
	require.NoError(t, err)
	require.NoError(t, sink.Write(ctx, &ingest.Batch{Records: []aaa.Record{record}, End: 1}))
	err = s.RemoveUserBatch(ctx, batch.ID, aaa.CloseOptions{}, nil)
	require.ErrorIs(t, err, aaa.ErrInUse)
	assert.Equal(t, `batch "march": is in use: 1 of its users have used the network`, err.Error())
	f.poll()
	require.NoError(t, s.RemoveUserBatch(ctx, small.ID, aaa.CloseOptions{}, nil))
	assert.Len(t, f.poll(), 2, "the servers hear of it")
	require.ErrorIs(t, s.RemoveUserBatch(ctx, small.ID, aaa.CloseOptions{}, nil), aaa.ErrNotFound)
	db := rawDB{Raw(t, options)}
	assert.Equal(t, 150, db.count(t, "users"))
	assert.Equal(t, 1, db.count(t, "user_batches"))
}

// testPeriodUsage adds up the present periods of a user.
func testPeriodUsage(t *testing.T, database Database) {
	options := database(t)
	options.Sealer, options.AutoMigrate = sealer(), true
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	options.Location = berlin
	s := reopen(t, options)
	db := Raw(t, options)
	for i, day := range []string{"2029-12-31", "2030-01-01", "2030-01-27", "2030-01-28", "2030-01-30", "2030-01-31"} {
		execute(t, db, fmt.Sprintf("INSERT INTO usage_daily (username, day, session_seconds, input_octets, output_octets) VALUES ('alice', '%s', %s, 0, 1)",
			day, "1"+strings.Repeat("0", i)))
	}
	now := at("2030-01-30T23:30:00Z") // the 31st in Berlin, a Thursday
	used, err := s.PeriodUsage(t.Context(), "alice", now)
	require.NoError(t, err)
	assert.Equal(t, [aaa.PeriodCount]aaa.Usage{
		aaa.PeriodEver: {Seconds: 111111, OutputOctets: 6}, aaa.PeriodDay: {Seconds: 100000, OutputOctets: 1},
		aaa.PeriodWeek: {Seconds: 111000, OutputOctets: 3}, aaa.PeriodMonth: {Seconds: 111110, OutputOctets: 5},
	}, used)
	plan := aaa.Plan{QuotaPeriod: aaa.PeriodWeek, QuotaSeconds: 111001, QuotaOctets: 2}
	assert.Equal(t, []aaa.QuotaUse{{Period: aaa.PeriodWeek, From: at("2030-01-27T23:00:00Z").In(berlin), Quota: plan.Quotas()[aaa.PeriodWeek],
		Used: used[aaa.PeriodWeek], SecondsLeft: 1}}, aaa.QuotasLeft(plan.Quotas(), used, now, berlin))
}
