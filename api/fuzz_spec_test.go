package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/operator"
)

// fuzzEnv names an environment variable with how long TestFuzzSpecification tries on
// each engine, e.g. 10m. Without it, it makes some thousand requests.
const fuzzEnv = "RADIUSD_FUZZ_API"

// TestFuzzSpecification sends every operation what the specification allows and what it
// does not. Whatever comes: no answer is a 5xx or none that the specification has, none
// has a secret, and the next request is answered. What it finds becomes a case of
// TestFound.
func TestFuzzSpecification(t *testing.T) {
	var list []*specOperation
	for _, o := range operations(t) {
		if o.implemented {
			list = append(list, o)
		}
	}
	require.NotEmpty(t, list)
	bothEngines(t, func(t *testing.T, w *world) {
		z := &fuzz{w: w, f: newFixture(t, w), pool: map[string][]string{}, owner: w.token(t, operator.Permissions()...)}
		end := time.Time{}
		if text := os.Getenv(fuzzEnv); text != "" {
			d, err := time.ParseDuration(text)
			require.NoError(t, err, fuzzEnv)
			end = time.Now().Add(d)
		}
		for round := 0; round == 0 || time.Now().Before(end) && !t.Failed(); round++ {
			rapid.Check(t, func(rt *rapid.T) {
				for range 12 {
					z.try(t, rt, rapid.SampledFrom(list).Draw(rt, "operation"))
				}
				w.as(t, operator.OwnerName).get("/plans?limit=1").is(http.StatusOK)
			})
		}
		assert.NotContains(t, w.log.String(), canary, "the log")
		places := openTables(t, w.database).find(t, canary)
		assert.Empty(t, places, "the database has a secret in the clear")
		t.Logf("%d requests, answered %v", z.sent, z.statuses)
	})
}

// fuzz is what the requests work on.
type fuzz struct {
	w        *world
	f        *fixture
	owner    *client // by API token, which no operation signs out
	pool     map[string][]string
	sent     int
	statuses map[int]int
}

// try sends one request to the operation.
func (z *fuzz) try(t *testing.T, rt *rapid.T, o *specOperation) {
	g := &generator{rt: rt, f: z.f, pool: z.pool}
	c := z.owner.in(rt)
	session := o.permission == "signed-in" && g.one(2, "signed in")
	if session {
		c = z.w.as(t, "admin").in(rt)
	}
	r := g.request(o)
	logged := len(z.w.log.String())
	a := c.send(r)
	z.sent++
	if z.statuses == nil {
		z.statuses = map[int]int{}
	}
	z.statuses[a.status]++
	require.False(rt, a.status >= 300 && a.status < 400 && o.OperationID != "startOIDC", "%s: redirected", o.OperationID)
	require.Less(rt, a.status, 500, "%s\n%s %.2000q %q\n%s\n%s", o.OperationID, r.method, r.target, r.body, a.body, z.w.log.String()[logged:])
	require.NotContains(rt, string(a.body), canary, "%s: the answer has a secret", o.OperationID)
	for _, internal := range internals {
		require.NotContains(rt, string(a.body), internal, "%s %.2000q %q", o.OperationID, r.target, r.body)
	}
	for name, values := range a.header {
		require.NotContains(rt, strings.Join(values, " "), canary, "%s: %s has a secret", o.OperationID, name)
	}
	if location := a.header.Get("Location"); a.status == http.StatusCreated && location != "" {
		steps := strings.Split(location, "/")
		kind, id := steps[len(steps)-2], steps[len(steps)-1]
		if z.pool[kind] = append(z.pool[kind], id); len(z.pool[kind]) > 20 {
			z.pool[kind] = z.pool[kind][1:]
		}
	}
	if a.status == http.StatusOK && strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		var list struct {
			NextCursor string `json:"next_cursor"`
		}
		if json.Unmarshal(a.body, &list) == nil && list.NextCursor != "" && len(z.pool["cursor"]) < 50 {
			z.pool["cursor"] = append(z.pool["cursor"], list.NextCursor)
		}
	}
	if session && a.status < 300 {
		z.w.signInAgain(t, "admin")
	}
}

// internals are what only shows how the server is made.
var internals = []string{"Go struct", "Go value", "strconv.", "SQLSTATE", "modernc", "pgx", "goroutine", "runtime error", "reflect:", ".go:", "sql:"}

// TestFound are requests that TestFuzzSpecification found to be answered wrongly.
func TestFound(t *testing.T) {
	nothing := "0193d9a0-0000-7000-8000-000000000002"
	tests := []struct {
		name    string
		request request
		status  int
	}{
		{"no id: was a redirect", request{method: http.MethodGet, target: "/users//usage"}, http.StatusNotFound},
		{"a path for an id: was a redirect", request{method: http.MethodGet, target: "/users/../plans"}, http.StatusNotFound},
		{"a whole number as 1.0: told the name of a struct", request{method: http.MethodPost, target: "/plans", body: `{"name":"x","rate_up":1.0}`}, http.StatusUnprocessableEntity},
		{"1e999: told the name of a type", request{method: http.MethodPost, target: "/plans", body: `{"name":"x","rate_up":1e999}`}, http.StatusUnprocessableEntity},
		{"null for what there is not: was taken", request{method: http.MethodPatch, target: "/plans/" + nothing, body: `{"id":null}`}, http.StatusNotFound},
	}
	bothEngines(t, func(t *testing.T, w *world) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				a := w.as(t, operator.OwnerName).in(t).send(test.request).is(test.status)
				for _, internal := range internals {
					assert.NotContains(t, string(a.body), internal)
				}
			})
		}
	})
}
