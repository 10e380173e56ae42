package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
	"radiusd/journal"
	"radiusd/store"
	"radiusd/store/seal"
)

// killed runs a test on both kinds of servers with a site whose webhooks may be here.
func killed(t *testing.T, test func(t *testing.T, s *site, storeURL string, start func() *process)) {
	webhooks := []string{`webhook_allow: ["127.0.0.0/8"]`, "webhook_allow_http: true"}
	t.Run("adminapi on Postgres", func(t *testing.T) {
		t.Parallel()
		url := testserver.Postgres(t)
		s := newSite(t, url, webhooks...)
		test(t, s, url, func() *process { return s.start(adminapi, "serve") })
	})
	t.Run("radiusd on SQLite", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "", webhooks...)
		test(t, s, "", func() *process { return s.start(radiusd, "serve", "--admin") })
	})
}

// kill is SIGKILL.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.exited
}

// caller is somebody who is signed in.
type caller struct {
	p     *process
	token string
}

// signIn signs in as the first operator.
func (p *process) signIn(password string) *caller {
	p.t.Helper()
	p.awaitReady(http.DefaultClient)
	c := &caller{p: p}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	status := c.call("POST", "/auth/login", map[string]any{"name": "admin", "password": password}, &tokens)
	require.Equal(p.t, http.StatusOK, status)
	c.token = tokens.AccessToken
	return c
}

// call makes a request and reads the answer into result, unless that is nil. It returns the
// status; zero: the server did not answer.
func (c *caller) call(method, path string, body, result any) int {
	c.p.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(c.p.t, err)
	r, err := http.NewRequest(method, c.p.admin+"/api/v1"+path, bytes.NewReader(text))
	require.NoError(c.p.t, err)
	if method == http.MethodGet {
		r.Body = http.NoBody
		r.ContentLength = 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0
	}
	if result != nil && answer.StatusCode < 300 {
		require.NoError(c.p.t, json.Unmarshal(content, result), string(content))
	}
	return answer.StatusCode
}

// open opens the site's store beside the server.
func (s *site) open(storeURL string) *store.Store {
	s.t.Helper()
	data := filepath.Join(s.dir, "data")
	key, err := seal.LoadKey(filepath.Join(data, "master.key"))
	require.NoError(s.t, err)
	options := store.Options{URL: storeURL, Sealer: seal.New(key), NodeID: "test"}
	if storeURL == "" {
		options.Path = filepath.Join(data, "radiusd.db")
	}
	opened, err := store.Open(s.t.Context(), options)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { opened.Close() })
	return opened
}

// raw opens the site's database without package store.
func (s *site) raw(storeURL string) *sql.DB {
	s.t.Helper()
	driver, source := "pgx", storeURL
	if storeURL == "" {
		driver, source = "sqlite", "file:"+filepath.Join(s.dir, "data", "radiusd.db")+"?_pragma=busy_timeout(15000)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { db.Close() })
	return db
}

// sessionsOf gives a user sessions, of one minute each, the first one at start.
func sessionsOf(t *testing.T, sink *store.Sink, username string, n int, start time.Time, end journal.Position) {
	t.Helper()
	start = start.UTC().Truncate(time.Second)
	var records []aaa.Record
	for i := range n {
		for j, status := range []aaa.AcctStatus{aaa.AcctStart, aaa.AcctStop} {
			at := start.Add(time.Duration(i) * 2 * time.Minute).Add(time.Duration(j) * time.Minute)
			r := aaa.Record{Status: status, AcctSessionID: fmt.Sprintf("%d-%d", end, i), Username: username, NASAddr: netip.MustParseAddr("192.0.2.1"),
				CallingStationID: "station of " + username, EventTime: at, ReceivedAt: at, HasSeconds: j == 1, SessionSeconds: uint64(j) * 60}
			aaa.NewResolver().Resolve(&r)
			records = append(records, r)
		}
	}
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, Start: end - 1, End: end}))
}

// left counts what is left of a person.
func left(t *testing.T, db *sql.DB, username string) (n int) {
	t.Helper()
	for _, query := range []string{
		"SELECT count(*) FROM users WHERE username = $1", "SELECT count(*) FROM sessions WHERE username = $1",
		"SELECT count(*) FROM accounting_records WHERE username = $1", "SELECT count(*) FROM usage_daily WHERE username = $1",
		"SELECT count(*) FROM audit_log WHERE entity_name = $1", "SELECT count(*) FROM former_usernames WHERE username = $1",
		"SELECT count(*) FROM sessions WHERE calling_station_id = 'station of ' || CAST($1 AS text)",
	} {
		var found int
		require.NoError(t, db.QueryRow(query, username).Scan(&found), query)
		n += found
	}
	return n
}

// TestErasureIsKilled: wherever an erasure is killed, it is never said to be done before it
// is, and the next start finishes it.
func TestErasureIsKilled(t *testing.T) {
	t.Parallel()
	killed(t, func(t *testing.T, s *site, storeURL string, start func() *process) {
		p := start()
		p.awaitReady(http.DefaultClient)
		password := p.password()
		db := s.raw(storeURL)
		sink, err := s.open(storeURL).NewSink()
		require.NoError(t, err)
		type erasure struct {
			ID    string
			State string
			Rows  int64
		}
		halves := 0
		for round := range 4 {
			name, former := fmt.Sprintf("person-%d", round), fmt.Sprintf("former-%d", round)
			sessionsOf(t, sink, former, 1500, time.Now().AddDate(0, 0, -30), journal.Position(2*round+1))
			operator := p.signIn(password)
			var user struct{ ID string }
			require.Equal(t, http.StatusCreated, operator.call("POST", "/users", map[string]any{"username": former}, &user))
			require.Equal(t, http.StatusOK, operator.call("PATCH", "/users/"+user.ID, map[string]any{"username": name}, nil))
			sessionsOf(t, sink, name, 10, time.Now().Add(-20*time.Minute), journal.Position(2*round+2))
			require.NotZero(t, left(t, db, former))

			var e erasure
			require.Equal(t, http.StatusAccepted, operator.call("POST", "/users/"+user.ID+"/erase", map[string]any{"username": name}, &e))
			require.Equal(t, "running", e.State)
			// The kill comes between the first rows and the last, or before or after them.
			at := int64(rand.IntN(3000))
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
				var now erasure
				require.Equal(t, http.StatusOK, operator.call("GET", "/erasures/"+e.ID, nil, &now))
				if now.Rows >= at || now.State == "done" {
					break
				}
			}
			p.kill()
			var state string
			require.NoError(t, db.QueryRow("SELECT state FROM erasures WHERE id = $1", e.ID).Scan(&state))
			remains := left(t, db, name) + left(t, db, former)
			if state == "done" {
				require.Zero(t, remains, "it is said to be done")
			} else {
				require.Equal(t, "running", state)
				halves++
			}

			p = start()
			operator = p.signIn(password)
			require.Eventually(t, func() bool {
				var now erasure
				status := operator.call("GET", "/erasures/"+e.ID, nil, &now)
				if now.State == "done" {
					require.Zero(t, left(t, db, name)+left(t, db, former), "it is said to be done")
				}
				return status == http.StatusOK && now.State == "done"
			}, 2*time.Minute, 100*time.Millisecond, "the next start finishes it: %s", p.logged())
		}
		t.Logf("%d of 4 erasures were killed before they were done", halves)
		status, errs, code := s.run(adminapi, "audit", "verify")
		require.Zero(t, code, status+errs)
		require.Zero(t, p.terminate(), p.logged())
	})
}

// receiver is a webhook's receiver, which remembers what came under which id.
type receiver struct {
	mu     sync.Mutex
	bodies map[string]string
	times  map[string]int
	wrong  []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the sender was killed
	}
	id := request.Header.Get("Webhook-Id")
	r.mu.Lock()
	defer r.mu.Unlock()
	if earlier, again := r.bodies[id]; again && earlier != string(body) {
		r.wrong = append(r.wrong, earlier+" and then "+string(body))
	}
	r.bodies[id] = string(body)
	r.times[id]++
	w.WriteHeader(http.StatusNoContent)
}

// TestOutboxIsKilled: events are delivered at least once, in whatever moment the process
// that delivers is killed, and one that comes again has the same id.
func TestOutboxIsKilled(t *testing.T) {
	t.Parallel()
	killed(t, func(t *testing.T, s *site, storeURL string, start func() *process) {
		r := &receiver{bodies: map[string]string{}, times: map[string]int{}}
		server := httptest.NewServer(r)
		defer server.Close()
		p := start()
		p.awaitReady(http.DefaultClient)
		password := p.password()
		operator := p.signIn(password)
		require.Equal(t, http.StatusCreated, operator.call("POST", "/webhooks", map[string]any{"name": "test", "url": server.URL, "events": []string{"plan.*"}}, nil))

		// Plans that were acknowledged, and those of which nobody knows.
		acknowledged := map[string]bool{}
		for round := range 4 {
			made, reached, enough := make(chan []string, 1), make(chan struct{}), 10+rand.IntN(50)
			go func() {
				var names []string
				for i := 0; ; i++ {
					name := fmt.Sprintf("plan-%d-%d", round, i)
					if operator.call("POST", "/plans", map[string]any{"name": name}, nil) != http.StatusCreated {
						break
					}
					if names = append(names, name); len(names) == enough {
						close(reached)
					}
				}
				made <- names
			}()
			<-reached // and on it goes until the kill
			p.kill()
			for _, name := range <-made {
				acknowledged[name] = true
			}
			p = start()
			operator = p.signIn(password)
		}
		require.Greater(t, len(acknowledged), 20)
		missing := func() (list []string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			all := strings.Builder{}
			for _, body := range r.bodies {
				all.WriteString(body)
			}
			for name := range acknowledged {
				if !strings.Contains(all.String(), `"`+name+`"`) {
					list = append(list, name)
				}
			}
			return list
		}
		require.Eventually(t, func() bool { return len(missing()) == 0 }, 3*time.Minute, 200*time.Millisecond, "events are lost")
		require.Zero(t, p.terminate(), p.logged())

		r.mu.Lock()
		defer r.mu.Unlock()
		require.Empty(t, r.wrong, "one id, two events")
		ids := map[string]string{}
		repeats := 0
		for id, body := range r.bodies {
			var event struct {
				Data struct {
					EntityName string `json:"entity_name"`
				}
			}
			require.NoError(t, json.Unmarshal([]byte(body), &event), body)
			if !acknowledged[event.Data.EntityName] {
				continue // made, but the answer was lost
			}
			require.Empty(t, ids[event.Data.EntityName], "one event, two ids: %s", body)
			ids[event.Data.EntityName] = id
			repeats += r.times[id] - 1
		}
		require.Len(t, ids, len(acknowledged))
		t.Logf("%d events, %d came more than once", len(ids), repeats)
	})
}
