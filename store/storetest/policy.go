package storetest

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

func testPolicyOf(t *testing.T, database Database) {
	options := database(t)
	options.Sealer, options.AutoMigrate = sealer(), true
	s := reopen(t, options)

	plan, staff, other := &aaa.Plan{Name: "home"}, &aaa.Group{Name: "staff"}, &aaa.Group{Name: "other"}
	require.NoError(t, s.CreatePlan(t.Context(), plan))
	require.NoError(t, s.CreateGroup(t.Context(), staff))
	require.NoError(t, s.CreateGroup(t.Context(), other))
	user := &aaa.User{Name: "alice", PlanID: plan.ID, Groups: []aaa.Membership{{GroupID: staff.ID}}}
	gotPlan, groups, err := s.PolicyOf(t.Context(), user)
	require.NoError(t, err)
	require.Equal(t, "home", gotPlan.Name)
	require.Len(t, groups, 1)
	require.Equal(t, "staff", groups[0].Name)

	gotPlan, groups, err = s.PolicyOf(t.Context(), &aaa.User{PlanID: uuid.New()})
	require.NoError(t, err, "a plan that does not exist is for whoever decides")
	require.Nil(t, gotPlan)
	require.Empty(t, groups)

	sessions, err := s.OpenSessionsOf(t.Context(), "alice")
	require.NoError(t, err)
	require.Empty(t, sessions)
}
