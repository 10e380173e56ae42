package api_test

import (
	"net/http"
	"net/http/httptest"
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
	require.Less(rt, a.status, 500, "%s\n%s %.2000q %q\n%s\n%s", o.OperationID, r.method, r.target, r.body, a.body, z.w.log.String()[logged:])
	require.NotContains(rt, string(a.body), canary, "%s: the answer has a secret", o.OperationID)
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
	if session && a.status < 300 {
		z.w.signInAgain(t, "admin")
	}
}

// TestFound are requests that were answered wrongly once.
func TestFound(t *testing.T) {
	tests := []struct {
		name    string
		request request
		status  int
	}{}
	if len(tests) == 0 {
		return
	}
	bothEngines(t, func(t *testing.T, w *world) {
		newFixture(t, w)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				w.as(t, operator.OwnerName).send(test.request).is(test.status)
			})
		}
	})
}

var _ = httptest.NewRecorder
