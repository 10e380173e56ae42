package api_test

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/operator"
)

// raw sends a request whose target goes out as it is written.
func raw(t *testing.T, w *world, method, target, bearer string) int {
	t.Helper()
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	authorization := ""
	if bearer != "" {
		authorization = "Authorization: Bearer " + bearer + "\r\n"
	}
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", method, target, authorization)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// TestPaths: a path has one form. No other leads past the guard, or anywhere.
func TestPaths(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		owner := w.as(t, operator.OwnerName).bearer
		require.Equal(t, http.StatusOK, raw(t, w, "GET", "/api/v1/plans", owner))
		tests := []struct {
			target string
			owner  int
		}{
			{"/api/v1/plans/", 404},
			{"/api/v1//plans", 404},
			{"//api/v1/plans", 404},
			{"/api/v1/./plans", 404},
			{"/api/v1/auth/../plans", 404},
			{"/api/v1/auth/login/../../plans", 404},
			{"/api/v1/../v1/plans", 404},
			{"/api/v1/%2e/plans", 404},
			{"/api/v1/auth/%2e%2e/plans", 404},
			{"/api/v1/auth%2flogin", 404},
			{"/api/v1/plans%2f", 404},
			{"/api/v1/plans%00", 404},
			{"/api/v1/plans;x=1", 404},
			{"/api/v1/plans%20", 404},
			{"/api/v1\\plans", 404},
			{"/API/v1/plans", 404},
			{"/api/v1/Plans", 404},
			{"/api/v1/plans.json", 404},
			{"/api/v1/%70lans", 200}, // the same by RFC 3986 section 6.2.2.2
			{"/api/v1/plans?", 200},
			{"/api/v1/plans?limit=1;sort=name", 400},
			{"/api/v1/plans?q=%zz", 400},
			{"/api/v1/plans?%00=1", 400},
			{"/api/v1/plans/%00", 400},
			{"/api/v1/plans/%2e%2e", 422},
			{"/api/v1/plans/..%2f..%2foperators", 422},
			{"/api/v1/plans/%ff", 400},
			{"/api/v1/plans/" + strings.Repeat("x", 5000), 422},
			{"http://example.org/api/v1/plans", 200}, // RFC 9112 section 3.2.2
			{"/", 404},
			{"/api/v1", 404},
		}
		for _, test := range tests {
			t.Run(test.target[:min(len(test.target), 50)], func(t *testing.T) {
				assert.Equal(t, test.owner, raw(t, w, "GET", test.target, owner))
				nobody := raw(t, w, "GET", test.target, "")
				assert.Contains(t, []int{401, 404}, nobody, "as nobody")
			})
		}
		t.Run("CONNECT", func(t *testing.T) {
			assert.Contains(t, []int{404, 405}, raw(t, w, "CONNECT", "/api/v1/plans", owner))
			assert.Contains(t, []int{400, 404, 405}, raw(t, w, "CONNECT", "example.org:443", owner))
		})
	})
}

func TestMethods(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		f := newFixture(t, w)
		owner := w.as(t, operator.OwnerName)
		path := "/plans/" + f.plan.String()
		t.Run("a method cannot be overridden", func(t *testing.T) {
			for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
				owner.in(t).get(path, name, http.MethodDelete).is(http.StatusOK)
			}
			owner.in(t).get(path + "?_method=DELETE").is(http.StatusBadRequest)
			owner.in(t).post(path, "_method=DELETE", "Content-Type", "application/x-www-form-urlencoded").is(http.StatusMethodNotAllowed)
			owner.in(t).get(path).is(http.StatusOK)
		})
		t.Run("HEAD is GET without the body", func(t *testing.T) {
			get, head := owner.in(t).get(path), owner.in(t).do(http.MethodHead, path, nil)
			assert.Equal(t, get.status, head.status)
			assert.Empty(t, head.body)
			for _, name := range []string{"Content-Type", "ETag", "Cache-Control"} {
				assert.Equal(t, get.header.Get(name), head.header.Get(name), name)
			}
			w.anonymous(t).do(http.MethodHead, path, nil).is(http.StatusUnauthorized)
			w.token(t, operator.StatusRead).do(http.MethodHead, path, nil).is(http.StatusForbidden)
			owner.in(t).do(http.MethodHead, "/auth/logout", nil).is(http.StatusMethodNotAllowed)
		})
		t.Run("OPTIONS opens nothing to other origins", func(t *testing.T) {
			for _, c := range []*client{owner.in(t), w.anonymous(t)} {
				a := c.do(http.MethodOptions, path, nil, "Origin", "https://example.org", "Access-Control-Request-Method", "DELETE")
				a.is(http.StatusMethodNotAllowed)
				for name := range a.header {
					assert.NotContains(t, name, "Access-Control")
				}
			}
		})
		t.Run("TRACE echoes nothing", func(t *testing.T) {
			a := owner.in(t).do(http.MethodTrace, path, nil)
			assert.NotContains(t, string(a.is(http.StatusMethodNotAllowed).body), owner.bearer)
		})
	})
}

func TestBodies(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		owner := w.as(t, operator.OwnerName)
		plan := `{"name":"gold"}`
		tests := []struct {
			name, body string
			headers    []string
			status     int
		}{
			{"a name twice", `{"name":"a","name":"b"}`, nil, 400},
			{"a name twice, once escaped", `{"name":"a","n\u0061me":"b"}`, nil, 400},
			{"a name twice, deep", `{"name":"a","reply_items":[{"attribute":"Filter-Id","op":"=","value":"a","value":"b"}]}`, nil, 400},
			{"a name in another case", `{"name":"a","Name":"b"}`, nil, 422},
			{"the same name in several objects", `{"name":"items","reply_items":[{"attribute":"Filter-Id","op":"=","value":"a"},{"attribute":"Class","op":"=","value":"b"}]}`, nil, 201},
			{"text", plan, []string{"Content-Type", "text/plain"}, 415},
			{"a form", plan, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
			{"a form with a file", plan, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
			{"XML", `<plan/>`, []string{"Content-Type", "application/xml"}, 415},
			{"no type", plan, []string{"Content-Type", ""}, 415},
			{"two types in one", plan, []string{"Content-Type", "text/plain, application/json"}, 415},
			{"a merge patch that is no PATCH", plan, []string{"Content-Type", "application/merge-patch+json"}, 415},
			{"compressed", "\x1f\x8b\x08\x00\x00\x00\x00\x00", []string{"Content-Encoding", "gzip"}, 415},
			{"UTF-16", "\xfe\xff\x00{\x00}", []string{"Content-Type", "application/json; charset=utf-16"}, 400},
			{"a byte order mark", "\ufeff" + plan, nil, 400},
			{"a lone surrogate", `{"name":"\ud800"}`, nil, 201}, // becomes U+FFFD, as encoding/json has it
			{"an exponent where a whole number is wanted", `{"name":"e","rate_up":1e30}`, nil, 422},
			{"a whole number with a fraction of nothing", `{"name":"f","rate_up":1.0}`, nil, 422},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				owner.in(t).post("/plans", test.body, test.headers...).is(test.status)
			})
		}
	})
}

// TestMassAssignment: a client sets what the schema of the input has and nothing else,
// whatever representation, table or framework would have a place for it.
func TestMassAssignment(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		f := newFixture(t, w)
		tables := openTables(t, w.database)
		owner := w.token(t, operator.Permissions()...)
		extra := map[string]any{
			"id": "0193d9a0-0000-7000-8000-000000000009", "role": "owner", "roles": []string{"owner"}, "role_id": operator.OwnerRole.String(), "permissions": []string{"users:read"},
			"password_hash": "$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA", "balance": 1_000_000, "is_admin": true, "built_in": true, "mfa": false,
			"totp_secret": "AAAA", "tokens_not_before": nil, "operator_id": f.operator.String(), "created_by": "somebody",
			"created_at": "2000-01-01T00:00:00Z", "updated_at": "2000-01-01T00:00:00Z", "has_password": true, "credential_scheme": "none", "token": "x", "hash": "00",
			"previous_secret": "x", "batch_id": f.actionBatch.String(), "last_used_at": "2000-01-01T00:00:00Z", "subject": "x", "status": "owner",
		}
		tried := 0
		for _, o := range operations(t) {
			schema := o.body()
			if schema == nil || !o.implemented || o.permission == "signed-in" || o.permission == "public" {
				continue
			}
			names := maps.Clone(extra)
			if response := o.Responses.Status(http.StatusOK); response != nil && response.Value.Content["application/json"] != nil {
				for name := range response.Value.Content["application/json"].Schema.Value.Properties {
					if _, known := names[name]; !known {
						names[name] = "x"
					}
				}
			}
			before := tables.state(t)
			for _, name := range slices.Sorted(maps.Keys(names)) {
				if schema.Properties[name] != nil || schema.AdditionalProperties.Has == nil {
					continue
				}
				r := example(t, o, f)
				r.body.(map[string]any)[name] = names[name]
				a := owner.in(t).send(r)
				assert.Equal(t, http.StatusUnprocessableEntity, a.status, "%s with %s: %s", o, name, a.body)
				tried++
			}
			assert.Equal(t, before, tables.state(t), "%s has changed something", o)
		}
		assert.Greater(t, tried, 200)
	})
}

// TestNoDefaultCredential: nobody can sign in to a fresh store.
func TestNoDefaultCredential(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		for _, name := range []string{"admin", "root", "owner", "radiusd", "operator", "administrator"} {
			for _, password := range []string{"admin", "password", "radius", "changeme", name} {
				_, err := w.operators.SignIn(t.Context(), name, password, testAddr)
				var throttled *operator.ThrottledError
				if err != operator.ErrBadCredentials {
					assert.ErrorAs(t, err, &throttled)
				}
			}
		}
		operators, err := w.operators.Operators(t.Context(), operator.OperatorFilter{})
		require.NoError(t, err)
		assert.Empty(t, operators)
	})
}
