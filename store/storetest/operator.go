package storetest

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/operator"
	"radiusd/store"
)

func testOperators(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	o := &operator.Operator{
		Name: " Alice ", DisplayName: "Alice Ä.", Email: "alice@example.org", Roles: []string{"support", "billing", "support"},
		PasswordHash: []byte(canary), TOTP: operator.TOTP{Secret: []byte(canary), EnabledAt: at("2031-02-03T04:05:06.123456Z"), LastStep: 7},
		Subject: operator.Subject{Issuer: "https://id.example.org", ID: "1"}, TokensNotBefore: at("2031-02-03T04:05:06.5Z"),
	}
	require.NoError(t, s.CreateOperator(ctx, o))
	assert.Equal(t, "alice", o.Name)
	for name, get := range map[string]func() (*operator.Operator, error){
		"id":      func() (*operator.Operator, error) { return s.OperatorByID(ctx, o.ID) },
		"name":    func() (*operator.Operator, error) { return s.OperatorByName(ctx, "alice") },
		"subject": func() (*operator.Operator, error) { return s.OperatorBySubject(ctx, o.Subject) },
	} {
		got, err := get()
		require.NoError(t, err, name)
		assert.Equal(t, o, got, name)
	}
	var sealed []byte
	db := Raw(t, options)
	for _, column := range []string{"password_hash", "totp_secret"} {
		require.NoError(t, db.QueryRowContext(ctx, "SELECT "+column+" FROM operators").Scan(&sealed))
		assert.False(t, bytes.Contains(sealed, []byte(canary)), column)
	}
	for text, other := range map[string]*operator.Operator{
		`operator "alice": exists already`:                             {Name: "ALICE"},
		`operator "bob": another with its OIDC subject exists already`: {Name: "bob", Subject: o.Subject},
	} {
		err := s.CreateOperator(ctx, other)
		assert.ErrorIs(t, err, operator.ErrExists)
		assert.ErrorIs(t, err, store.ErrExists)
		assert.EqualError(t, err, text)
	}
	assert.ErrorIs(t, s.CreateOperator(ctx, &operator.Operator{Name: "bob", Roles: []string{"king"}}), operator.ErrUnknownRole)
	_, err := s.OperatorByName(ctx, "bob")
	assert.ErrorIs(t, err, operator.ErrNotFound, "nothing is left of it")

	used, err := s.UseTOTPStep(ctx, o.ID, 8)
	require.NoError(t, err)
	assert.True(t, used)
	for _, step := range []uint64{8, 7} {
		used, err = s.UseTOTPStep(ctx, o.ID, step)
		require.NoError(t, err)
		assert.False(t, used)
	}
	codes := [][32]byte{{1}, {2}}
	require.NoError(t, s.SetRecoveryCodes(ctx, o.ID, codes))
	for n, want := range []bool{true, false} {
		used, err := s.UseRecoveryCode(ctx, o.ID, codes[0])
		require.NoError(t, err)
		assert.Equal(t, want, used, n)
	}
	got, err := s.OperatorByID(ctx, o.ID)
	require.NoError(t, err)
	assert.Equal(t, 1, got.RecoveryCodes)
	assert.ErrorIs(t, s.SetRecoveryCodes(ctx, uuid.New(), nil), operator.ErrNotFound)
	refused := errors.New("no")
	assert.ErrorIs(t, s.RemoveOperator(ctx, o.ID, func(*operator.Operator) error { return refused }), refused)
	require.NoError(t, s.RemoveOperator(ctx, o.ID, func(*operator.Operator) error { return nil }))
	assert.Zero(t, rawDB{db}.count(t, "operator_roles")+rawDB{db}.count(t, "recovery_codes"))
	first, err := s.SpendToken(ctx, o.ID, time.Now())
	require.NoError(t, err)
	again, err := s.SpendToken(ctx, o.ID, time.Now())
	require.NoError(t, err)
	assert.Equal(t, []bool{true, false}, []bool{first, again})
}

func testOperatorLists(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	for _, o := range []operator.Operator{
		{Name: "alice", DisplayName: "100%"}, {Name: "carol", Email: "C_x@example.org", Roles: []string{"admin"}}, {Name: "dave", Status: operator.Disabled},
	} {
		require.NoError(t, s.CreateOperator(ctx, &o))
	}
	disabled := operator.Disabled
	for name, tt := range map[string]struct {
		filter operator.OperatorFilter
		want   []string
	}{
		"all":     {operator.OperatorFilter{}, []string{"alice", "carol", "dave"}},
		"page":    {operator.OperatorFilter{After: "alice", Limit: 1}, []string{"carol"}},
		"status":  {operator.OperatorFilter{Status: &disabled}, []string{"dave"}},
		"role":    {operator.OperatorFilter{Role: "admin"}, []string{"carol"}},
		"search":  {operator.OperatorFilter{Search: "c_X@"}, []string{"carol"}},
		"percent": {operator.OperatorFilter{Search: "%"}, []string{"alice"}},
		"quote":   {operator.OperatorFilter{Search: "' OR '1'='1\\"}, nil},
	} {
		list, err := s.ListOperators(ctx, tt.filter)
		require.NoError(t, err, name)
		var names []string
		for _, o := range list {
			names = append(names, o.Name)
		}
		assert.Equal(t, tt.want, names, name)
	}
	list, err := s.OperatorsByEmail(ctx, "c_x@EXAMPLE.org")
	require.NoError(t, err)
	assert.Len(t, list, 1)
	access, err := s.AccessList(ctx)
	require.NoError(t, err)
	require.Len(t, access, 3)
	for _, a := range access {
		assert.Equal(t, a.Name != "dave", a.Active)
		assert.Equal(t, a.Name == "carol", a.Permissions != 0)
	}
}

func testSigningKeys(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	first := operator.SigningKey{ID: uuid.New(), Seed: bytes.Repeat([]byte{1}, 32), CreatedAt: at("2031-01-01T00:00:00Z")}
	second := operator.SigningKey{ID: uuid.New(), Seed: bytes.Repeat([]byte{2}, 32), Follows: first.ID, CreatedAt: at("2031-02-01T00:00:00Z")}
	late := second
	late.ID = uuid.New()
	for _, key := range []operator.SigningKey{first, second, late} {
		require.NoError(t, s.AddSigningKey(ctx, key))
	}
	keys, err := s.SigningKeys(ctx)
	require.NoError(t, err)
	assert.Equal(t, []operator.SigningKey{first, second}, keys, "one follows another")
	require.NoError(t, s.RemoveSigningKeys(ctx, second.CreatedAt))
	require.NoError(t, s.RemoveSigningKeys(ctx, second.CreatedAt.Add(time.Second)))
	keys, err = s.SigningKeys(ctx)
	require.NoError(t, err)
	assert.Equal(t, []operator.SigningKey{second}, keys)
}

func testAttempts(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	now := at("2031-01-01T00:00:00Z")
	var all sync.WaitGroup
	for i := range 20 {
		keys := []string{"a", "b"}
		if i%2 == 1 {
			keys = []string{"b", "a"}
		}
		all.Go(func() {
			assert.NoError(t, s.ChangeAttempts(ctx, keys, func(known []operator.Attempts) error {
				for i := range known {
					assert.Equal(t, keys[i], known[i].Key)
					known[i].Failures++
					known[i].LastAt = now
				}
				return nil
			}))
		})
	}
	all.Wait()
	require.NoError(t, s.ChangeAttempts(ctx, []string{"a", "new"}, func(known []operator.Attempts) error {
		assert.Equal(t, []int{20, 0}, []int{known[0].Failures, known[1].Failures}, "none is lost")
		known[0].Failures = 0
		return nil
	}))
	db := rawDB{Raw(t, options)}
	assert.Equal(t, 1, db.count(t, "sign_in_attempts"))
	for i, key := range []string{"c", "d", "e"} {
		require.NoError(t, s.ChangeAttempts(ctx, []string{key}, func(known []operator.Attempts) error {
			known[0].Failures, known[0].LastAt = 1, now.Add(time.Duration(i+1)*time.Second)
			return nil
		}))
	}
	require.NoError(t, s.ForgetAttempts(ctx, now.Add(time.Second), 10))
	assert.Equal(t, 3, db.count(t, "sign_in_attempts"), "the old one is gone")
	require.NoError(t, s.ForgetAttempts(ctx, now, 2))
	assert.Equal(t, 2, db.count(t, "sign_in_attempts"), "and the oldest of too many")
}

func testRefreshTokens(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	o := &operator.Operator{Name: "alice", Roles: []string{"support"}}
	require.NoError(t, s.CreateOperator(ctx, o))
	start := at("2031-01-01T00:00:00Z")
	x := &operator.Session{ID: uuid.New(), OperatorID: o.ID, MFA: true, StartedAt: start, LastUsedAt: start, ExpiresAt: start.Add(time.Hour)}
	token := func(n byte) operator.RefreshToken {
		return operator.RefreshToken{Hash: [32]byte{n}, ExpiresAt: start.Add(30 * time.Minute)}
	}
	require.NoError(t, s.OpenSession(ctx, x, token(1), 2))
	addr := netip.MustParseAddr("2001:db8::1")
	for n, tt := range []struct {
		hash byte
		at   time.Duration
		want operator.Rotation
	}{
		{9, 0, operator.RefreshUnknown},
		{1, 30 * time.Minute, operator.RefreshExpired},
		{1, time.Minute, operator.RefreshRotated},
		{2, time.Minute, operator.RefreshRotated},
		{1, 2 * time.Minute, operator.RefreshReused},
		{4, 2 * time.Minute, operator.RefreshUnknown},
		{3, 2 * time.Minute, operator.RefreshExpired},
	} {
		next := token(byte(10 + n))
		if tt.want == operator.RefreshRotated {
			next = token(tt.hash + 1)
		}
		got, outcome, err := s.RotateRefresh(ctx, [32]byte{tt.hash}, next, start.Add(tt.at), addr)
		require.NoError(t, err)
		assert.Equal(t, tt.want, outcome, "%d", n)
		if outcome == operator.RefreshRotated {
			assert.Equal(t, addr, got.Addr)
			assert.Equal(t, o.ID, got.OperatorID)
		}
	}
	closed, err := s.SessionsClosedSince(ctx, start)
	require.NoError(t, err)
	assert.Equal(t, []uuid.UUID{x.ID}, closed)
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	db := rawDB{Raw(t, options)}
	assert.Equal(t, 1, db.count(t, "operator_sessions"), "not past yet")
}
