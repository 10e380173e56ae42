package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// subscribers are so many that a run needs several transactions.
const subscribers = 1100

// newSubscribedSite is a site with subscribers, each with usage of the period that ended
// yesterday, some of whom have paid something in advance. Nobody is connected to its
// database any more.
func newSubscribedSite(t *testing.T, storeURL string) *faultSite {
	t.Helper()
	b := newBilledSite(t, storeURL)
	var list strings.Builder
	list.WriteString("username,password,full_name\n")
	for n := range subscribers - 2 {
		fmt.Fprintf(&list, "load%d,looking-glass,Subscriber %d\n", n+3, n+3)
	}
	for _, name := range []string{"daily1", "daily2", "metered1", "metered2", "leaving1", "leaving2"} {
		fmt.Fprintf(&list, "%s,looking-glass,\n", name)
	}
	file := filepath.Join(b.dir, "subscribers.csv")
	require.NoError(t, os.WriteFile(file, []byte(list.String()), 0o600))
	b.do("user", "import", file)
	db := b.database()
	b.subscribeOthers(db)
	_, err := db.Exec(`INSERT INTO subscriptions (id, user_id, rate_id, state, start_day, anchor_day, past_rates, revision, created_at, updated_at)
		SELECT users.id, users.id, s.rate_id, s.state, s.start_day, s.anchor_day, s.past_rates, s.revision, s.created_at, s.updated_at
		FROM users, (SELECT * FROM subscriptions ORDER BY id LIMIT 1) s
		WHERE NOT EXISTS (SELECT 1 FROM subscriptions x WHERE x.user_id = users.id)`)
	require.NoError(t, err)
	b.bench(27, "--users", fmt.Sprint(subscribers), "--sessions", fmt.Sprint(subscribers), "--seed", "5", "--interims", "0")
	for n := range 3 {
		b.do("payment", "add", fmt.Sprintf("load%d", n+1), fmt.Sprintf("%d.50", 30*(n+1)))
	}
	require.Zero(t, b.server.terminate(), b.server.logged())
	require.NoError(t, db.Close())
	return b.faultSite
}

// subscribeOthers has users pay for days and for usage in advance, of whom one each has used
// up the credit, and one has credit that ended yesterday, and ends subscriptions of which
// days were paid.
func (b *billedSite) subscribeOthers(db *sql.DB) {
	b.t.Helper()
	for _, plan := range []string{"daily", "metered", "long"} {
		b.do("plan", "add", plan)
	}
	b.do("plan", "price", "daily", "--currency", "EUR", "--price", "30", "--every", "30 days", "--prepaid", "daily", "--tax", "standard", "--tax-included")
	b.do("plan", "price", "metered", "--currency", "EUR", "--price", "0", "--every", "30 days", "--prepaid", "usage", "--tax", "standard", "--tax-included",
		"--usage", "octets price=1 per=1MiB")
	b.do("plan", "price", "long", "--currency", "EUR", "--price", "90", "--every", "90 days", "--tax", "standard")
	for n, name := range []string{"leaving1", "leaving2"} {
		b.do("subscription", "add", name, "long", "--from", b.day(-1-n))
	}
	b.do("billing", "run", "--as-of", b.day(-1)) // nobody else has begun
	for _, name := range []string{"leaving1", "leaving2"} {
		b.do("subscription", "cancel", b.rows("subscription", "list", "--user", name)[0]["id"].(string))
	}
	for name, credit := range map[string]string{"daily1": "3.50", "daily2": "100", "metered1": "3.50", "metered2": "100"} {
		plan := strings.TrimRight(name, "12")
		b.do("payment", "add", name, credit, "--currency", "EUR")
		b.do("subscription", "add", name, plan, "--from", b.day(40)) // whoever has begun is charged at once
	}
	for _, statement := range []string{
		`UPDATE subscriptions SET start_day = '` + b.day(0) + `', anchor_day = '` + b.day(0) + `' WHERE start_day = '` + b.day(40) + `'`,
		`INSERT INTO usage_daily (username, day, session_seconds, input_octets, output_octets) VALUES ('metered1', '` + b.day(28) + `', 60, 1048576, 3145728), ('metered2', '` + b.day(28) + `', 60, 0, 2097152)`,
		`UPDATE payments SET expires_on = '` + b.day(30) + `' WHERE amount = 10000`,
	} {
		_, err := db.Exec(statement)
		require.NoError(b.t, err)
	}
}

// billedEngine makes databases for sites that are copies of one another.
type billedEngine struct {
	t      *testing.T
	server *testserver.PostgresServer // nil: SQLite
	made   int
}

// database makes a database, of Postgres as a copy of another one if that is named.
func (e *billedEngine) database(template string) (storeURL string) {
	e.t.Helper()
	if e.server == nil {
		return ""
	}
	e.made++
	name := fmt.Sprintf("billed_%d", e.made)
	statement := "CREATE DATABASE " + name
	if template != "" {
		statement += " TEMPLATE " + testserver.DatabaseName(e.t, template)
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, e.server.URL())
	require.NoError(e.t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	require.NoError(e.t, err)
	if template != "" {
		// A copied sequence takes its next 32 numbers as logged, which they are only in
		// the original: after a crash they would be given out again. After a checkpoint
		// it logs anew.
		_, err = conn.Exec(ctx, "CHECKPOINT")
		require.NoError(e.t, err)
	}
	u, err := url.Parse(e.server.URL())
	require.NoError(e.t, err)
	u.Path = "/" + name
	return u.String()
}

// copy is the same site with a database and a data_dir of its own.
func (e *billedEngine) copy(f *faultSite) *faultSite {
	e.t.Helper()
	c := plainFaultSite(e.t, e.database(f.storeURL), "")
	require.NoError(e.t, os.CopyFS(c.data, os.DirFS(f.data)))
	require.NoError(e.t, os.Chmod(filepath.Join(c.data, "master.key"), 0o600))
	return c
}

// errKilled is that a run was killed while it was at work.
var errKilled = errors.New("killed")

// billing runs `billing run`, and kills it after a time; 0: not.
func (f *faultSite) billing(kill time.Duration) error {
	f.t.Helper()
	cmd := exec.Command(binary, "billing", "run", "--config", f.config)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(f.t, cmd.Start())
	if kill > 0 {
		timer := time.AfterFunc(kill, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	err := cmd.Wait()
	if cmd.ProcessState.ExitCode() < 0 {
		return errKilled
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out.String())
	}
	return nil
}

// finishBilling runs `billing run` to its end. The database may hold the right to bill of
// one that was killed until it sees that it is gone.
func (f *faultSite) finishBilling() {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		err := f.billing(0)
		return err == nil || !strings.Contains(err.Error(), "another billing run is at work") && assert.NoError(f.t, err)
	}, patience, 50*time.Millisecond)
}

// billingDump is all that billing runs have made, but for when: by table, a row a line.
func (f *faultSite) billingDump() map[string]string {
	f.t.Helper()
	db := f.database()
	dump := map[string]string{}
	for table, columns := range map[string]string{
		"users":                "id, username, plan_id, status, suspension, expires_at",
		"subscriptions":        "id, user_id, rate_id, state, start_day, end_day, anchor_day, past_rates, charged_until, rated_until, revision",
		"charges":              "id, user_id, subscription_id, kind, description, period_from, period_to, currency, quantity, unit, unit_price, amount, tax_class, tax_included, inputs, invoice_id",
		"invoices":             "id, number, series, sequence, kind, state, user_id, currency, issued_on, due_on, period_from, period_to, corrects_number, net, tax, total, paid, seller, buyer, note, run_id",
		"invoice_lines":        "*",
		"invoice_taxes":        "*",
		"invoice_series":       "*",
		"payments":             "id, user_id, method, currency, amount, rest, expired",
		"payment_allocations":  "subject_id, entry, subject_kind, invoice_id, amount",
		"ledger_transactions":  "id, kind, currency, subject_id, memo",
		"ledger_postings":      "transaction_id, posting, account, user_id, amount, currency",
		"ledger_balances":      "*",
		"billing_runs":         "id, as_of, position, accounts, charges, invoices, failed, finished_at IS NOT NULL",
		"billing_run_failures": "run_id, user_id, error",
		"outbox":               "kind, entity_id",
	} {
		order := []string{"1", "2"}
		if table == "charges" || table == "invoices" || table == "subscriptions" || table == "users" {
			order = order[:1]
		}
		rows, err := db.Query("SELECT " + columns + " FROM " + table + " ORDER BY " + strings.Join(order, ", "))
		require.NoError(f.t, err)
		dump[table] = dumpRows(f.t, rows)
	}
	require.NoError(f.t, db.Close())
	return dump
}

func dumpRows(t *testing.T, rows *sql.Rows) string {
	t.Helper()
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	var list strings.Builder
	for rows.Next() {
		require.NoError(t, rows.Scan(dest...))
		fmt.Fprintf(&list, "%v\n", values)
	}
	require.NoError(t, rows.Err())
	return list.String()
}

// requireSameBilling compares what two sites have made, but for some tables.
func requireSameBilling(t *testing.T, want, got map[string]string, without ...string) {
	t.Helper()
	for table := range want {
		skip := false
		for _, name := range without {
			skip = skip || name == table
		}
		if !skip && want[table] != got[table] { // a diff of all rows is of no use
			a, b := strings.Split(want[table], "\n"), strings.Split(got[table], "\n")
			require.Len(t, b, len(a), "rows of %s", table)
			for i := range a {
				require.Equal(t, a[i], b[i], "%s, row %d", table, i+1)
			}
		}
	}
}

// A billing run is killed at random moments, again and again; two are begun at once; the
// database goes away under one. What comes of it is, row by row, what comes of one that
// nobody disturbs.
func TestDisturbedBillingRunComesToTheSame(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			e := &billedEngine{t: t}
			if engine == "postgres" {
				e.server = testserver.NewPostgresServer(t)
			}
			base := newSubscribedSite(t, e.database(""))
			whole := e.copy(base)
			began := time.Now()
			require.NoError(t, whole.billing(0))
			took := time.Since(began)
			want := whole.billingDump()
			whole.requireBilled()
			requireBalanced(whole)
			random := rand.New(rand.NewPCG(faultSeed(t), 0))
			moment := func() time.Duration { return time.Duration(random.Int64N(int64(took)) + 1) }

			// Once a run has come to its end, another one for the day does what may be left:
			// credit that has ended is taken after it.
			finish := func(site *faultSite) {
				without := []string{}
				if site.billed() {
					without = []string{"billing_runs", "outbox"}
				}
				site.finishBilling()
				requireSameBilling(t, want, site.billingDump(), without...)
				requireBalanced(site)
			}
			killed, kills := e.copy(base), 0
			for range faultTimes(t, 3) {
				if killed.billed() { // the last one had come to its end: begin anew
					finish(killed)
					killed = e.copy(base)
				}
				err := killed.billing(moment())
				if errors.Is(err, errKilled) {
					kills++
				} else if err != nil {
					require.ErrorContains(t, err, "another billing run is at work")
				}
			}
			t.Logf("killed %d times, a run takes %v", kills, took)
			finish(killed)

			twice := e.copy(base)
			first := make(chan error, 1)
			go func() { first <- twice.billing(0) }()
			errs := []error{twice.billing(0), <-first}
			for _, err := range errs {
				if err != nil {
					require.ErrorContains(t, err, "another billing run is at work")
				}
			}
			require.True(t, errs[0] == nil || errs[1] == nil, "one of them bills: %v", errs)
			requireSameBilling(t, want, twice.billingDump(), "billing_runs", "outbox") // the second one has nothing to do
			requireBalanced(twice)

			if e.server == nil {
				return
			}
			for range faultTimes(t, 1) {
				away := e.copy(base)
				ended := make(chan error, 1)
				go func() { ended <- away.billing(0) }()
				// The moment is what is random here, nothing waits for it.
				<-time.After(moment())
				e.server.Crash()
				if err := <-ended; err != nil {
					t.Logf("without its database, a run says: %v", err)
				}
				e.server.Start()
				finish(away)
			}
		})
	}
}

func requireBalanced(f *faultSite) {
	f.t.Helper()
	require.Equal(f.t, "the books balance\n", f.do("billing", "check"))
}

// requireBilled fails unless an undisturbed run has made something of all that it may make.
func (f *faultSite) requireBilled() {
	f.t.Helper()
	db := f.database()
	defer db.Close()
	for query, want := range map[string]int64{
		`SELECT count(*) FROM invoices JOIN users ON users.id = user_id WHERE username LIKE 'load%'`: subscribers,
		`SELECT count(*) FROM charges JOIN users ON users.id = user_id WHERE username LIKE 'load%'`:  4 * subscribers, // set-up, two periods and usage
		`SELECT count(*) FROM invoices WHERE kind = 'credit_note' AND corrects_number <> ''`:         2,
		`SELECT count(*) FROM users WHERE suspension = 'balance'`:                                    4, // also of whom all credit has ended
		`SELECT count(*) FROM ledger_transactions WHERE kind = 'expiry'`:                             2,
	} {
		require.Equal(f.t, want, number(f.t, db, query), query)
	}
}

// billed reports whether a billing run has come to its end, beside the one that the site
// was made with.
func (f *faultSite) billed() bool {
	f.t.Helper()
	db := f.database()
	defer db.Close()
	return number(f.t, db, "SELECT count(*) FROM billing_runs WHERE finished_at IS NOT NULL") > 1
}
