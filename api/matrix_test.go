package api_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/operator"
)

var update = flag.Bool("update", false, "write testdata anew")

const matrixFile = "testdata/matrix.txt"

// TestMatrix holds every operation of the specification against everybody who might
// call it. Who may do what stands in testdata/matrix.txt, so that a change of it is
// seen in review.
func TestMatrix(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		m := newMatrix(t, w)
		text := m.observe(t)
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(matrixFile, []byte(text), 0o644))
		}
		want, err := os.ReadFile(matrixFile)
		require.NoError(t, err, "go test ./api -run TestMatrix -update writes it")
		assert.Equal(t, string(want), text, "who may do what has changed; if that is meant: go test ./api -run TestMatrix -update")
		t.Run("what is not allowed changes nothing", m.testRefused)
		t.Run("other methods change nothing", m.testOtherMethods)
		t.Run("what is allowed is let in", m.testAllowed)
	})
}

// matrix is everybody, before everything.
type matrix struct {
	w          *world
	f          *fixture
	tables     *tables
	operations []*specOperation
	roles      []string
	expired    string
	tokens     map[operator.PermissionSet]string
}

func newMatrix(t *testing.T, w *world) *matrix {
	t.Helper()
	m := &matrix{w: w, f: newFixture(t, w), tables: openTables(t, w.database), operations: operations(t), tokens: map[operator.PermissionSet]string{}}
	for _, role := range operator.BuiltInRoles() {
		m.roles = append(m.roles, role.Name)
		w.as(t, role.Name)
	}
	past, err := operator.New(operator.Options{Store: w.store, Now: func() time.Time { return time.Now().Add(-operator.AccessTokenLife - time.Minute) }})
	require.NoError(t, err)
	signedIn, err := past.SignIn(context.Background(), operator.OwnerName, testPassword, testAddr)
	require.NoError(t, err)
	m.expired = signedIn.Tokens.Access
	for _, p := range operator.Permissions() {
		m.token(t, operator.NewPermissionSet(p))
		m.token(t, operator.AllPermissions.Without(operator.NewPermissionSet(p)))
	}
	return m
}

// token returns a client with an API token of an owner that may do just this.
func (m *matrix) token(t *testing.T, set operator.PermissionSet) *client {
	t.Helper()
	if m.tokens[set] == "" {
		m.tokens[set] = m.w.token(t, set.List()...).bearer
	}
	return m.w.bearer(t, m.tokens[set])
}

// caller is somebody who calls an operation.
type caller struct {
	name string
	as   func(t *testing.T) *client
	// status is what the guard answers him: 0 lets him in.
	status int
}

// callers returns everybody who might call an operation, and what the guard is to say.
func (m *matrix) callers(o *specOperation) []caller {
	public := o.permission == "public"
	needed, byPermission := o.needs()
	status := func(allowed bool, refusal int) int {
		if allowed {
			return 0
		}
		return refusal
	}
	list := []caller{
		{"nobody", m.w.anonymous, status(public, http.StatusUnauthorized)},
		{"a broken token", func(t *testing.T) *client { return m.w.bearer(t, broken(m.w.as(t, operator.OwnerName).bearer)) }, status(public, http.StatusUnauthorized)},
		{"an expired token", func(t *testing.T) *client { return m.w.bearer(t, m.expired) }, status(public, http.StatusUnauthorized)},
	}
	for _, role := range operator.BuiltInRoles() {
		list = append(list, caller{"role " + role.Name, func(t *testing.T) *client { return m.w.as(t, role.Name) },
			status(!byPermission || role.Permissions.Has(needed), http.StatusForbidden)})
	}
	exact := operator.NewPermissionSet(operator.StatusRead) // any: it is not asked for
	if byPermission {
		exact = operator.NewPermissionSet(needed)
		others := operator.AllPermissions.Without(exact)
		list = append(list, caller{"an API token with every other permission", func(t *testing.T) *client { return m.token(t, others) }, http.StatusForbidden})
	}
	return append(list, caller{"an API token with just this permission", func(t *testing.T) *client { return m.token(t, exact) }, 0})
}

// broken returns a token whose signature is not ours.
func broken(token string) string {
	i := len(token) - 10
	other := byte('A')
	if token[i] == other {
		other = 'B'
	}
	return token[:i] + string(other) + token[i+1:]
}

// observe asks the guard of every operation about everybody, and returns what it said
// as a table. It sends a parameter that no operation takes, so that nothing is done.
func (m *matrix) observe(t *testing.T) string {
	t.Helper()
	before := m.tables.state(t)
	var b strings.Builder
	b.WriteString("# Who may call what, as the server answers. An API token may if it has the permission.\n")
	b.WriteString("# go test ./api -run TestMatrix -update writes this file.\n")
	columns := append([]string{"nobody"}, m.roles...)
	fmt.Fprintf(&b, "%-7s %-42s %-18s %s\n", "METHOD", "PATH", "PERMISSION", strings.ToUpper(strings.Join(columns, " ")))
	list := slices.Clone(m.operations)
	slices.SortStableFunc(list, func(a, b *specOperation) int {
		if c := strings.Compare(a.path, b.path); c != 0 {
			return c
		}
		return slices.Index(methods, a.method) - slices.Index(methods, b.method)
	})
	for _, o := range list {
		says := map[string]string{}
		for _, caller := range m.callers(o) {
			a := caller.as(t).do(o.method, m.f.target(o.path)+"?no_such_parameter=%00", nil)
			want := caller.status
			if want == 0 {
				want = http.StatusBadRequest // let in, and then
			}
			assert.Equal(t, want, a.status, "%s, as %s: %s", o, caller.name, a.body)
			says[strings.TrimPrefix(caller.name, "role ")] = "-"
			if a.status == http.StatusBadRequest {
				says[strings.TrimPrefix(caller.name, "role ")] = "yes"
			}
		}
		line := fmt.Sprintf("%-7s %-42s %-18s", o.method, o.path, o.permission)
		for _, column := range columns {
			line += fmt.Sprintf(" %-*s", len(column), says[column])
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	assert.Equal(t, before, m.tables.state(t), "asking has changed something")
	return b.String()
}

// testRefused sends good requests of those who may not.
func (m *matrix) testRefused(t *testing.T) {
	before := m.tables.state(t)
	for some := range slices.Chunk(m.operations, 10) { // to look at all tables takes longer than to ask
		for _, o := range some {
			for _, caller := range m.callers(o) {
				if caller.status == 0 {
					continue
				}
				a := caller.as(t).send(example(t, o, m.f))
				assert.Equal(t, caller.status, a.status, "%s, as %s: %s", o, caller.name, a.body)
				if a.status == http.StatusUnauthorized {
					assert.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer", "RFC 9110 section 11.6.1")
				}
			}
		}
		require.Equal(t, before, m.tables.state(t), "one of %v has changed something for one who may not", some)
	}
}

// testOtherMethods sends what a path does not take, as nobody and as the owner.
func (m *matrix) testOtherMethods(t *testing.T) {
	before := m.tables.state(t)
	sent := map[string]bool{}
	for _, o := range m.operations {
		target := m.f.target(o.path)
		for _, method := range methods {
			takes := operationOf(t, method, target) != nil || method == http.MethodHead && operationOf(t, http.MethodGet, target) != nil
			if takes || sent[method+target] {
				continue
			}
			sent[method+target] = true
			for name, c := range map[string]*client{"nobody": m.w.anonymous(t), "the owner": m.w.as(t, operator.OwnerName)} {
				a := c.do(method, target, map[string]any{"name": "x"})
				assert.Equal(t, http.StatusMethodNotAllowed, a.status, "%s %s as %s: %s", method, target, name, a.body)
				assert.NotEmpty(t, a.header.Get("Allow"), "RFC 9110 section 15.5.6")
			}
		}
	}
	assert.NotEmpty(t, sent)
	assert.Equal(t, before, m.tables.state(t))
}

// testAllowed sends good requests of those who may.
func (m *matrix) testAllowed(t *testing.T) {
	for _, o := range m.operations {
		if !o.implemented {
			continue
		}
		for _, caller := range m.callers(o) {
			if caller.status != 0 {
				continue
			}
			c := caller.as(t)
			r := example(t, o, m.f)
			a := c.send(r)
			assert.Less(t, a.status, 500, "%s, as %s: %s", o, caller.name, a.body)
			if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
				why, known := asksMore(o, caller.name)
				assert.True(t, known && a.problem().Code == why, "%s, as %s: %s", o, caller.name, a.body)
			}
			if slices.Contains([]string{"logout", "logoutEverywhere", "changePassword"}, o.OperationID) {
				m.w.signInAgain(t, strings.TrimPrefix(caller.name, "role "))
			}
		}
	}
}

// asksMore says with which code an operation may refuse one whom the guard lets in.
func asksMore(o *specOperation, caller string) (code string, ok bool) {
	switch o.OperationID {
	case "login", "verifyMFA", "confirmMFA", "disableMFA", "enrollMFA", "changePassword", "renewRecoveryCodes":
		if caller == "an API token with just this permission" && o.permission == "signed-in" {
			return "forbidden", true // a machine has no password
		}
		if o.OperationID == "verifyMFA" {
			return "unauthenticated", true // the token of the first step is not a good one
		}
		return "bad_credentials", true // the password or code is not the right one
	case "refresh", "finishOIDC":
		return "unauthenticated", true // the refresh token, or state, is not a good one
	case "logout", "logoutEverywhere", "listSignIns", "endSignIn":
		return "forbidden", strings.HasPrefix(caller, "an API token") // a machine has not signed in
	case "getInvoicePDF", "getInvoiceXML":
		return "forbidden", true // they have the buyer's personal data (profiles:read)
	case "createOperator", "replaceOperator", "patchOperator", "deleteOperator", "setOperatorPassword", "resetOperatorMFA", "signOutOperator":
		// nobody may act on one who may do more, nor grant what he may not
		return "forbidden", strings.HasPrefix(caller, "an API token")
	case "createAPIToken", "createRole", "replaceRole", "patchRole", "deleteRole", "deleteAPIToken":
		return "forbidden", strings.HasPrefix(caller, "an API token") // nobody grants what he may not
	}
	return "", false
}
