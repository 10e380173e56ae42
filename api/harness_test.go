package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
	"radiusd/billing"
	"radiusd/dictionary"
	"radiusd/internal/testserver"
	"radiusd/internal/teststore"
	"radiusd/jobs"
	"radiusd/operator"
	"radiusd/store"
	"radiusd/store/seal"
)

func TestMain(m *testing.M) {
	// What is drawn goes to real databases; -rapid.checks on the command line asks for more.
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/csv", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/pdf", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/xml", openapi3filter.FileBodyDecoder)
	code := testserver.Main(m)
	if err := testserver.Leaked(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// bothEngines runs a test against a world of each engine.
func bothEngines(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	engines := map[string]func(t *testing.T) store.Options{
		"sqlite": func(t *testing.T) store.Options {
			return teststore.SQLite(t)
		},
		"postgres": func(t *testing.T) store.Options { return teststore.Postgres(t) },
	}
	for name, options := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, options(t)))
		})
	}
}

// world is the API on a store of its own.
type world struct {
	database  store.Options
	log       *logBuffer // what everybody has logged
	clock     *clock
	store     *store.Store
	operators *operator.Service
	api       api.Options
	server    *httptest.Server

	mu     sync.Mutex
	people map[string]*client // by role
}

func newWorld(t *testing.T, options store.Options) *world {
	t.Helper()
	options.Sealer = seal.New(seal.Key{1})
	options.NodeID = "node-1"
	logs := &logBuffer{}
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := &clock{}
	options.Logger, options.Now = logger, c.now
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	operators, err := operator.New(operator.Options{Store: s, Logger: logger, Now: c.now})
	require.NoError(t, err)
	w := &world{database: options, log: logs, clock: c, store: s, operators: operators, people: map[string]*client{}}
	sender := operator.NewWebhookSender(operator.WebhookSenderOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	t.Cleanup(sender.Close)
	templates, err := aaa.LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	w.api = api.Options{Store: s, Operators: operators, Dictionary: dictionary.Embedded(), Templates: templates, Sender: sender, Logger: logger, Now: c.now}
	queue := newJobs(t, w, 0)
	runs, err := jobs.Register[billingRun](queue, nil, jobs.Policy{Unique: true, Show: []string{"as_of"}})
	require.NoError(t, err)
	w.api.Jobs = queue
	w.api.StartBilling = func(ctx context.Context, asOf billing.Date) (int64, error) {
		id, _, err := runs.Insert(ctx, billingRun{AsOf: asOf})
		return id, err
	}
	dunning, err := jobs.Register[dunningRun](queue, nil, jobs.Policy{Unique: true, Show: []string{"as_of"}})
	require.NoError(t, err)
	w.api.StartDunning = func(ctx context.Context, asOf billing.Date) (int64, error) {
		id, _, err := dunning.Insert(ctx, dunningRun{AsOf: asOf})
		return id, err
	}
	w.serve(t)
	return w
}

// dunningRun is the job of a dunning run.
type dunningRun struct {
	AsOf billing.Date `json:"as_of"`
}

func (dunningRun) Kind() string { return "billing.dunning" }

// billingRun is the job of a billing run.
type billingRun struct {
	AsOf billing.Date `json:"as_of"`
}

func (billingRun) Kind() string { return "billing.run" }

// serve begins to serve with w.api.
func (w *world) serve(t *testing.T) {
	t.Helper()
	handler, err := api.New(w.api)
	require.NoError(t, err)
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if addr, err := netip.ParseAddr(r.Header.Get(addrHeader)); err == nil {
			r = r.WithContext(api.WithClientAddr(r.Context(), addr))
		}
		handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	t.Cleanup(w.server.CloseClientConnections)
}

// addrHeader is where a test's request says that it comes from.
const addrHeader = "X-Test-Address"

// clock is the present time, or a later one if a test says so.
type clock struct {
	ahead   atomic.Int64
	stopped atomic.Pointer[time.Time]
}

func (c *clock) now() time.Time {
	at := time.Now()
	if stopped := c.stopped.Load(); stopped != nil {
		at = *stopped
	}
	return at.Add(time.Duration(c.ahead.Load()))
}

func (c *clock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// stop keeps the time from passing by itself until the test has ended.
func (c *clock) stop(t *testing.T) {
	at := time.Now()
	c.stopped.Store(&at)
	t.Cleanup(func() { c.stopped.Store(nil) })
}

// logBuffer is a log that a test can look into.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// tester is what requests need of *testing.T, which *rapid.T has as well.
type tester interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// testPassword is every test operator's.
const testPassword = "seven wet boots under a green bridge"

// as returns a client that is signed in as an operator with this role, whose name is
// the role's.
func (w *world) as(t *testing.T, role string) *client {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.people[role]; c != nil {
		return c.in(t)
	}
	ctx := context.Background()
	_, err := w.operators.CreateOperator(ctx, operator.Local("test"), operator.NewOperator{Name: role, Password: testPassword, Roles: []string{role}})
	require.NoError(t, err)
	return w.signIn(t, role)
}

// signIn signs an operator of as in, under the lock.
func (w *world) signIn(t *testing.T, role string) *client {
	t.Helper()
	signedIn, err := w.operators.SignIn(context.Background(), role, testPassword, testAddr)
	require.NoError(t, err)
	w.people[role] = &client{w: w, bearer: signedIn.Tokens.Access}
	return w.people[role].in(t)
}

// signInAgain makes as work again after a request that ended the sign-in or set
// another password. A name that is not one of as does nothing.
func (w *world) signInAgain(t *testing.T, role string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.people[role] == nil {
		return
	}
	ctx := context.Background()
	o, err := w.store.OperatorByName(ctx, role)
	require.NoError(t, err)
	require.NoError(t, w.operators.SetPassword(ctx, operator.Local("test"), o.ID, testPassword))
	w.signIn(t, role)
}

// token returns a client with an API token of an owner that has only these permissions.
func (w *world) token(t *testing.T, permissions ...operator.Permission) *client {
	t.Helper()
	owner := w.as(t, operator.OwnerName)
	by, err := w.operators.Authenticate(context.Background(), owner.bearer, testAddr)
	require.NoError(t, err)
	_, text, err := w.operators.CreateAPIToken(context.Background(), by, operator.NewAPIToken{Name: "test", Permissions: operator.NewPermissionSet(permissions...)})
	require.NoError(t, err)
	return &client{w: w, bearer: text, t: t}
}

// bearer returns a client with this token.
func (w *world) bearer(t *testing.T, token string) *client { return &client{w: w, t: t, bearer: token} }

// add makes an operator who has testPassword.
func (w *world) add(t *testing.T, name string, roles ...string) *operator.Operator {
	t.Helper()
	o, err := w.operators.CreateOperator(context.Background(), operator.Local("test"), operator.NewOperator{Name: name, Password: testPassword, Roles: roles})
	require.NoError(t, err)
	return o
}

// login signs an operator in over HTTP.
func (w *world) login(t *testing.T, name string) (*client, api.SignIn) {
	t.Helper()
	return w.bearerOf(t, w.anonymous(t).post("/auth/login", map[string]string{"name": name, "password": testPassword}))
}

// bearerOf returns a client with the tokens that a sign-in was answered with.
func (w *world) bearerOf(t *testing.T, signIn *answer) (*client, api.SignIn) {
	t.Helper()
	tokens := into[api.SignIn](signIn.is(http.StatusOK))
	return w.bearer(t, tokens.AccessToken), tokens
}

// anonymous returns a client that is not signed in.
func (w *world) anonymous(t *testing.T) *client { return &client{w: w, t: t} }

// client sends requests of somebody.
type client struct {
	w      *world
	t      tester
	bearer string
}

// in returns the client for another test.
func (c *client) in(t tester) *client { return &client{w: c.w, t: t, bearer: c.bearer} }

// answer is what came back.
type answer struct {
	t      tester
	status int
	header http.Header
	body   []byte
}

// do sends a request; path is below the base path. body is nil, a text that is sent as it
// is, or what json.Marshal takes. headers are pairs of name and value.
func (c *client) do(method, path string, body any, headers ...string) *answer {
	c.t.Helper()
	var content []byte
	switch body := body.(type) {
	case nil:
	case string:
		content = []byte(body)
	default:
		var err error
		content, err = json.Marshal(body)
		require.NoError(c.t, err)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.w.server.URL+api.BasePath+path, bytes.NewReader(content))
	require.NoError(c.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := noRedirects.Do(r)
	require.NoError(c.t, err)
	defer response.Body.Close()
	content, err = io.ReadAll(response.Body)
	require.NoError(c.t, err)
	a := &answer{t: c.t, status: response.StatusCode, header: response.Header, body: content}
	checkAnswer(c.t, r, a)
	return a
}

var noRedirects = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableKeepAlives: true},
}

func (c *client) get(path string, headers ...string) *answer {
	c.t.Helper()
	return c.do(http.MethodGet, path, nil, headers...)
}

func (c *client) post(path string, body any, headers ...string) *answer {
	c.t.Helper()
	return c.do(http.MethodPost, path, body, headers...)
}

func (c *client) put(path string, body any, headers ...string) *answer {
	c.t.Helper()
	return c.do(http.MethodPut, path, body, headers...)
}

func (c *client) patch(path string, body any, headers ...string) *answer {
	c.t.Helper()
	return c.do(http.MethodPatch, path, body, headers...)
}

func (c *client) delete(path string, headers ...string) *answer {
	c.t.Helper()
	return c.do(http.MethodDelete, path, nil, headers...)
}

// is requires the status.
func (a *answer) is(status int) *answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	return a
}

// code requires the status and the code of a problem.
func (a *answer) code(status int, code string) *answer {
	a.t.Helper()
	require.Equal(a.t, code, a.is(status).problem().Code, "%s", a.body)
	return a
}

// field requires that the input is refused for this field.
func (a *answer) field(name string) *answer {
	a.t.Helper()
	var names []string
	for _, e := range a.code(http.StatusUnprocessableEntity, "invalid").problem().Errors {
		names = append(names, e.Field)
	}
	require.Contains(a.t, names, name, "%s", a.body)
	return a
}

func (a *answer) problem() api.Problem {
	a.t.Helper()
	return into[api.Problem](a)
}

// into reads the body.
func into[T any](a *answer) T {
	a.t.Helper()
	var v T
	require.NoError(a.t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// specification is read once for all tests.
var specification = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromData(api.SpecYAML())
})

// operationOf finds the operation a request is for; nil: there is none.
func operationOf(t tester, method, path string) *routers.Route {
	t.Helper()
	doc, err := specification()
	require.NoError(t, err)
	parts := strings.Split(path, "/")
	var best *routers.Route
	variables := 0
	for template, item := range doc.Paths.Map() {
		steps := strings.Split(template, "/")
		if len(steps) != len(parts) || item.GetOperation(method) == nil {
			continue
		}
		fits, n := true, 0
		for i, step := range steps {
			if strings.HasPrefix(step, "{") {
				n++
			} else if step != parts[i] {
				fits = false
			}
		}
		if fits && (best == nil || n < variables) {
			best, variables = &routers.Route{Spec: doc, Path: template, PathItem: item, Method: method, Operation: item.GetOperation(method)}, n
		}
	}
	return best
}

// checkAnswer holds an answer against the specification.
func checkAnswer(t tester, r *http.Request, a *answer) {
	t.Helper()
	if r.Method == http.MethodHead {
		return // no body
	}
	problem := ""
	if a.status >= 400 {
		assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"), "%s", a.body)
		p := into[api.Problem](a)
		assert.Equal(t, a.status, p.Status)
		assert.NotEmpty(t, p.Code)
		if len(p.Errors) == 0 {
			problem = p.Code
		}
	}
	route := operationOf(t, r.Method, strings.TrimPrefix(r.URL.Path, api.BasePath))
	if route == nil {
		return
	}
	// To hold an answer against its schema takes longer than to give it. A problem that
	// an operation has answered with before has the same form again.
	known := fmt.Sprint(r.Method, " ", route.Path, " ", a.status, " ", problem)
	if _, seen := checkedProblems.Load(known); problem != "" && seen {
		return
	}
	err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{MultiError: true, ExcludeWriteOnlyValidations: false},
	})
	if assert.NoError(t, err, "%s %s: %d %s", r.Method, r.URL, a.status, a.body) && problem != "" {
		checkedProblems.Store(known, true)
	}
}

// checkedProblems are the problems whose form checkAnswer has seen to be right.
var checkedProblems sync.Map

// testAddr is where test operators sign in from: not where requests come from, so that
// those that fail do not throttle these.
var testAddr = netip.MustParseAddr("192.0.2.250")
