package operator_test

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/operator"
)

// TestNoEscalation: nobody gives what he does not have, in any way, and nothing is
// changed by trying.
func TestNoEscalation(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		owner := w.add("olga", "owner")
		w.add("adam", "admin")
		helper := w.add("henry", "support")
		before, err := w.Operator(ctx, owner.ID)
		require.NoError(t, err)
		adam, henry := w.as("adam"), w.as("henry")
		email, disabled, roles, all := "evil@example.org", operator.Disabled, []string{"owner"}, operator.AllPermissions
		custom, err := w.CreateRole(ctx, local, "role-writer", "", operator.NewPermissionSet(operator.RolesWrite, operator.OperatorsWrite))
		require.NoError(t, err)
		w.add("rita", "role-writer")
		rita := w.as("rita")
		_, machine, err := w.CreateAPIToken(ctx, adam, operator.NewAPIToken{Name: "m", Permissions: operator.NewPermissionSet(operator.TokensWrite, operator.OperatorsWrite)})
		require.NoError(t, err)
		token, err := w.Authenticate(ctx, machine, here)
		require.NoError(t, err)
		for name, try := range map[string]func() error{
			"admin makes an owner": func() error {
				_, err := w.CreateOperator(ctx, adam, operator.NewOperator{Name: "x", Password: rightPassword, Roles: roles})
				return err
			},
			"admin becomes an owner":    func() error { return change(w, adam, adam.OperatorID, operator.OperatorChange{Roles: &roles}) },
			"admin promotes another":    func() error { return change(w, adam, helper.ID, operator.OperatorChange{Roles: &roles}) },
			"admin changes an owner":    func() error { return change(w, adam, owner.ID, operator.OperatorChange{Email: &email}) },
			"admin disables an owner":   func() error { return change(w, adam, owner.ID, operator.OperatorChange{Status: &disabled}) },
			"admin deletes an owner":    func() error { return w.DeleteOperator(ctx, adam, owner.ID, nil) },
			"admin sets his password":   func() error { return w.SetPassword(ctx, adam, owner.ID, "another good secret") },
			"admin resets his factor":   func() error { return w.ResetMFA(ctx, adam, owner.ID) },
			"admin signs him out":       func() error { return w.SignOutEverywhere(ctx, adam, owner.ID) },
			"admin makes a role":        func() error { _, err := w.CreateRole(ctx, adam, "x", "", 0); return err },
			"support makes an operator": func() error { _, err := w.CreateOperator(ctx, henry, operator.NewOperator{Name: "x"}); return err },
			"support changes himself":   func() error { return change(w, henry, helper.ID, operator.OperatorChange{Email: &email}) },
			"support makes a token": func() error {
				_, _, err := w.CreateAPIToken(ctx, henry, operator.NewAPIToken{Name: "x", Permissions: operator.NewPermissionSet(operator.UsersRead)})
				return err
			},
			"a role of more": func() error { _, err := w.CreateRole(ctx, rita, "x", "", all); return err },
			"one's own role gets more": func() error {
				_, err := w.ChangeRole(ctx, rita, custom.ID, operator.RoleChange{Permissions: &all})
				return err
			},
			"a token of more": func() error {
				_, _, err := w.CreateAPIToken(ctx, adam, operator.NewAPIToken{Name: "x", Permissions: all})
				return err
			},
			"a token makes one of more": func() error {
				_, _, err := w.CreateAPIToken(ctx, token, operator.NewAPIToken{Name: "x", Permissions: operator.NewPermissionSet(operator.UsersRead)})
				return err
			},
			"a token changes its maker":               func() error { return change(w, token, adam.OperatorID, operator.OperatorChange{Email: &email}) },
			"a token changes a password":              func() error { return w.ChangePassword(ctx, token, rightPassword, "another good secret") },
			"a token enrols":                          func() error { _, err := w.EnrolTOTP(ctx, token, rightPassword); return err },
			"one's own password, without the present": func() error { return w.SetPassword(ctx, adam, adam.OperatorID, "another good secret") },
			"one's own factor, without a proof":       func() error { return w.ResetMFA(ctx, adam, adam.OperatorID) },
		} {
			var forbidden *operator.ForbiddenError
			assert.ErrorAs(t, try(), &forbidden, name)
		}
		after, err := w.Operator(ctx, owner.ID)
		require.NoError(t, err)
		assert.Equal(t, before, after)
		list, err := w.Operators(ctx, operator.OperatorFilter{})
		require.NoError(t, err)
		assert.Len(t, list, 4)
		// What he may do, he can.
		require.NoError(t, change(w, adam, helper.ID, operator.OperatorChange{Roles: &[]string{"billing", "read-only"}}))
		p := w.as("henry")
		assert.True(t, p.Can(operator.BillingWrite))
	})
}

func change(w *world, by operator.Principal, id uuid.UUID, c operator.OperatorChange) error {
	_, err := w.ChangeOperator(w.t.Context(), by, id, c)
	return err
}

// TestLastOwner: of two owners who demote each other at once one stays.
func TestLastOwner(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		disabled, admin := operator.Disabled, []string{"admin"}
		only := w.add("only", "owner")
		assert.ErrorIs(t, change(w, local, only.ID, operator.OperatorChange{Status: &disabled}), operator.ErrLastOwner)
		assert.ErrorIs(t, change(w, local, only.ID, operator.OperatorChange{Roles: &admin}), operator.ErrLastOwner)
		assert.ErrorIs(t, w.DeleteOperator(ctx, local, only.ID, nil), operator.ErrLastOwner)
		for n, take := range []func(id uuid.UUID) error{
			func(id uuid.UUID) error { return change(w, local, id, operator.OperatorChange{Status: &disabled}) },
			func(id uuid.UUID) error { return change(w, local, id, operator.OperatorChange{Roles: &admin}) },
			func(id uuid.UUID) error { return w.DeleteOperator(ctx, local, id, nil) },
		} {
			list, err := w.Operators(ctx, operator.OperatorFilter{Role: "owner"})
			require.NoError(t, err)
			ids := []uuid.UUID{}
			for _, o := range list {
				if o.Status == operator.Active {
					ids = append(ids, o.ID)
				}
			}
			for i := range 2 {
				ids = append(ids, w.add("owner-"+string(rune('a'+n))+string(rune('a'+i)), "owner").ID)
			}
			require.Len(t, ids, 3)
			var done atomic.Int32
			var all sync.WaitGroup
			for _, id := range ids {
				all.Go(func() {
					if err := take(id); err == nil {
						done.Add(1)
					} else {
						assert.ErrorIs(t, err, operator.ErrLastOwner)
					}
				})
			}
			all.Wait()
			assert.EqualValues(t, 2, done.Load())
		}
	})
}

// TestEnsureFirst: of several processes one makes the first operator, once.
func TestEnsureFirst(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		worlds := []*world{w, w.another(), w.another()}
		var mu sync.Mutex
		var passwords []string
		var all sync.WaitGroup
		for _, process := range worlds {
			all.Go(func() {
				name, password, err := process.EnsureFirst(ctx)
				mu.Lock()
				defer mu.Unlock()
				if assert.NoError(t, err) && password != "" {
					assert.Equal(t, "admin", name)
					passwords = append(passwords, password)
				}
			})
		}
		all.Wait()
		require.Len(t, passwords, 1)
		w.clock.add(time.Second)
		result, err := w.SignIn(ctx, "admin", passwords[0], here)
		require.NoError(t, err)
		p, err := w.Authenticate(ctx, result.Tokens.Access, here)
		require.NoError(t, err)
		assert.Equal(t, operator.AllPermissions, p.Permissions)
		_, password, err := w.EnsureFirst(ctx)
		require.NoError(t, err)
		assert.Empty(t, password)
	})
}

// TestNoDefaultCredential: a new database lets nobody in.
func TestNoDefaultCredential(t *testing.T) {
	w := sqliteWorld(t)
	for i, name := range []string{"admin", "root", "owner", "radiusd", "operator"} {
		for j, password := range []string{"", name, "admin", "password", "changeme", "testing123", "radius"} {
			_, err := w.SignIn(t.Context(), name, password, addrOf([16]byte{0x20, byte(i), byte(j)}))
			assert.Error(t, err)
			w.clock.add(time.Hour)
		}
	}
}

func TestAPITokens(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		adam := w.add("adam", "admin")
		by := w.as("adam")
		read := operator.NewPermissionSet(operator.UsersRead, operator.PlansRead)
		token, text, err := w.CreateAPIToken(ctx, by, operator.NewAPIToken{Name: "billing export", Permissions: read,
			Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24"), netip.MustParsePrefix("2001:db8::/32")}, ExpiresAt: w.clock.Now().Add(24 * time.Hour)})
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(text, "rd_"))
		p, err := w.Authenticate(ctx, text, here)
		require.NoError(t, err)
		assert.Equal(t, operator.Actor{Kind: operator.ActorToken, ID: token.ID, Name: "billing export", Addr: here}, p.Actor)
		assert.Equal(t, read, p.Permissions)
		assert.Equal(t, adam.ID, p.OperatorID)
		_, err = w.Authenticate(ctx, text, netip.MustParseAddr("::ffff:192.0.2.77"))
		require.NoError(t, err, "an IPv4 address in IPv6")
		_, err = w.Authenticate(ctx, text, netip.MustParseAddr("198.51.100.1"))
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "from elsewhere")
		_, err = w.Authenticate(ctx, text, netip.Addr{})
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "from nowhere")
		other, _, err := operator.NewAPITokenText(strings.NewReader(strings.Repeat("x", 99)), token.ID)
		require.NoError(t, err)
		_, err = w.Authenticate(ctx, other, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "another secret for the same id")

		got, err := w.APIToken(ctx, by, token.ID)
		require.NoError(t, err)
		used := got.LastUsedAt
		assert.Equal(t, w.clock.Now(), used)
		assert.Equal(t, here, got.LastUsedFrom)
		w.clock.add(59 * time.Second)
		_, err = w.Authenticate(ctx, text, here)
		require.NoError(t, err)
		got, err = w.APIToken(ctx, by, token.ID)
		require.NoError(t, err)
		assert.Equal(t, used, got.LastUsedAt, "once a minute")

		// It does no more than its operator does.
		require.NoError(t, change(w, local, adam.ID, operator.OperatorChange{Roles: &[]string{"billing"}}))
		p, err = w.Authenticate(ctx, text, here)
		require.NoError(t, err)
		assert.Equal(t, read, p.Permissions)
		require.NoError(t, change(w, local, adam.ID, operator.OperatorChange{Roles: &[]string{}}))
		p, err = w.Authenticate(ctx, text, here)
		require.NoError(t, err)
		assert.Zero(t, p.Permissions)

		process := w.another()
		_, err = process.Authenticate(ctx, text, here)
		require.NoError(t, err)
		w.add("mallory", "support")
		require.ErrorIs(t, w.RevokeAPIToken(ctx, w.as("mallory"), token.ID, nil), operator.ErrNotFound)
		require.NoError(t, w.RevokeAPIToken(ctx, by, token.ID, nil))
		_, err = w.Authenticate(ctx, text, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "revoked")
		w.clock.add(operator.AccessFresh)
		_, err = process.Authenticate(ctx, text, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated)

		_, text, err = w.CreateAPIToken(ctx, by, operator.NewAPIToken{Name: "short", Permissions: read, ExpiresAt: w.clock.Now().Add(time.Minute)})
		require.NoError(t, err)
		w.clock.add(time.Minute)
		_, err = w.Authenticate(ctx, text, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "expired")
	})
}

func TestPasswords(t *testing.T) {
	for _, password := range []string{"", "short", "elevenchars", "password1234", "PassWord1234", "aaaaaaaaaaaaaaaa", "abcabcabcabc", "alicealice12", "alice2024!!!!", strings.Repeat("é", 200), "violet\xffcactus drums"} {
		var invalid *operator.FieldError
		assert.ErrorAs(t, operator.ValidatePassword("alice", password), &invalid, "%q", password)
	}
	for _, password := range []string{rightPassword, "twelve chars", "пароль из слов", "            x"} {
		assert.NoError(t, operator.ValidatePassword("alice", password), "%q", password)
	}
}

func TestChangePassword(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.add("alice", "support")
		tokens := w.signIn("alice")
		by, err := w.Authenticate(ctx, tokens.Access, here)
		require.NoError(t, err)
		require.ErrorIs(t, w.ChangePassword(ctx, by, wrongPassword, "another good secret"), operator.ErrBadCredentials)
		var invalid *operator.FieldError
		require.ErrorAs(t, w.ChangePassword(ctx, by, rightPassword, "short"), &invalid)
		w.clock.add(time.Second)
		require.NoError(t, w.ChangePassword(ctx, by, rightPassword, "another good secret"))
		_, err = w.Authenticate(ctx, tokens.Access, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "signed out")
		_, err = w.SignIn(ctx, "alice", rightPassword, here)
		require.ErrorIs(t, err, operator.ErrBadCredentials)
		w.clock.add(time.Second)
		_, err = w.SignIn(ctx, "alice", "another good secret", here)
		require.NoError(t, err)
	})
}

func TestRoles(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		list, err := w.Roles(ctx)
		require.NoError(t, err)
		var names []string
		for _, r := range list {
			names = append(names, r.Name)
			assert.True(t, r.BuiltIn)
			assert.NotZero(t, r.Permissions)
		}
		assert.Equal(t, []string{"admin", "auditor", "billing", "owner", "read-only", "support"}, names)
		_, err = w.ChangeRole(ctx, local, operator.ReadOnlyRole, operator.RoleChange{})
		assert.ErrorIs(t, err, operator.ErrBuiltIn)
		assert.ErrorIs(t, w.DeleteRole(ctx, local, operator.OwnerRole, nil), operator.ErrBuiltIn)
		desk, err := w.CreateRole(ctx, local, " Desk ", "the help desk", operator.NewPermissionSet(operator.UsersRead))
		require.NoError(t, err)
		_, err = w.CreateRole(ctx, local, "desk", "", 0)
		assert.ErrorIs(t, err, operator.ErrExists)
		w.add("dora", "desk")
		dora := w.as("dora")
		assert.Equal(t, operator.NewPermissionSet(operator.UsersRead), dora.Permissions)
		more, name := operator.NewPermissionSet(operator.UsersRead, operator.UsersWrite), "help-desk"
		changed, err := w.ChangeRole(ctx, local, desk.ID, operator.RoleChange{Name: &name, Permissions: &more})
		require.NoError(t, err)
		assert.Equal(t, more, changed.Permissions)
		assert.True(t, changed.UpdatedAt.After(desk.UpdatedAt))
		p := w.as("dora")
		assert.Equal(t, more, p.Permissions)
		assert.ErrorIs(t, w.DeleteRole(ctx, local, desk.ID, nil), operator.ErrInUse)
		_, err = w.CreateOperator(ctx, local, operator.NewOperator{Name: "x", Roles: []string{"nothing"}})
		assert.ErrorIs(t, err, operator.ErrUnknownRole)
		_, err = w.CreateOperator(ctx, local, operator.NewOperator{Name: "DORA"})
		assert.ErrorIs(t, err, operator.ErrExists, "in whatever case")
	})
}

func TestPermissions(t *testing.T) {
	assert.Len(t, operator.Permissions(), 39)
	for _, p := range operator.Permissions() {
		assert.NotEmpty(t, p.Description(), p)
	}
	set, err := operator.ParsePermissionSet([]string{"users:read", "billing:write"})
	require.NoError(t, err)
	assert.Equal(t, "users:read billing:write", set.String())
	_, err = operator.ParsePermissionSet([]string{"users:*"})
	require.Error(t, err)
	assert.False(t, operator.AllPermissions.Has("users:everything"))
	stored, err := operator.StoredPermissionSet("users:read of:tomorrow")
	require.NoError(t, err)
	assert.Equal(t, operator.NewPermissionSet(operator.UsersRead), stored)
	for _, r := range operator.BuiltInRoles() {
		if r.Name != "owner" && r.Name != "admin" {
			for _, p := range []operator.Permission{operator.OperatorsWrite, operator.RolesWrite, operator.TokensWrite, operator.SettingsWrite, operator.NASWrite} {
				assert.False(t, r.Permissions.Has(p), "%s %s", r.Name, p)
			}
		}
	}
}

// TestAudited: who did what stands in the audit log, and no secret does.
func TestAudited(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.add("adam", "admin")
		by := w.as("adam")
		_, _, err := w.CreateAPIToken(ctx, by, operator.NewAPIToken{Name: "m", Permissions: operator.NewPermissionSet(operator.UsersRead)})
		require.NoError(t, err)
		o, err := w.CreateOperator(ctx, by, operator.NewOperator{Name: "bob", Password: rightPassword, Email: "bob@example.org", Roles: []string{"support"}})
		require.NoError(t, err)
		require.NoError(t, w.SetPassword(ctx, by, o.ID, "another good secret"))
		_, err = w.SignIn(ctx, "bob", wrongPassword, here)
		require.Error(t, err)
		_, err = w.SignIn(ctx, "my secret typed here", wrongPassword, here)
		require.Error(t, err)
		list, err := w.store.ListAudit(ctx, operator.AuditFilter{})
		require.NoError(t, err)
		var actions []string
		for _, e := range list {
			actions = append(actions, e.Action)
			for _, secret := range []string{rightPassword, wrongPassword, "another good", "argon2", "bob@example.org", "my secret"} {
				assert.NotContains(t, string(e.Changes)+e.EntityName+e.Actor.Name, secret)
			}
		}
		assert.Equal(t, []string{"operators.sign_in_failed", "operators.sign_in_failed", "operators.update", "operators.create", "api_tokens.create",
			"operators.signed_in", "operators.create"}, actions)
		assert.Equal(t, by.OperatorID, list[3].Actor.ID)
		assert.Equal(t, o.ID, list[1].EntityID)
	})
}
