package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
)

func TestCharges(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "x")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "30", "--every", "30 days")
		s.ok("billing", "set", "--seller-name", "Example Net")
		s.ok("subscription", "add", "alice", "home", "--from", "2026-02-01", "--until", "2026-03-01") // 28 of 30 days

		made := s.object("charge", "add", "alice", "25", "--description", "Visit of a technician")
		assert.Equal(t, []any{"manual", "25.00", nil}, []any{made["kind"], made["amount"], made["invoice_id"]})
		s.ok("charge", "add", "--description", "Outage", "alice", "--", "-5.00")
		wrong := s.object("charge", "add", "alice", "1", "--description", "a mistake")
		s.ok("charge", "delete", wrong["id"].(string))
		assert.Len(t, s.rows("charge", "list", "--user", "alice", "--pending"), 2)
		assert.Contains(t, s.fails(exitUsage, "charge", "add", "alice", "25"), "description")
		for message, args := range map[string][]string{
			"it needs a tax_class, which says what tax is included":             {"--tax-included"},
			"what is charged for ends on a day after the one that it begins on": {"--from", "2026-02-01", "--until", "2026-01-01"},
			"--from and --until go together":                                    {"--from", "2026-02-01"},
		} {
			r := s.run(append([]string{"charge", "add", "alice", "5", "--description", "x"}, args...)...)
			assert.NotZero(t, r.code, args)
			assert.Contains(t, r.err, message)
		}

		typo := s.run("charge", "add", "alice", "5", "--description", "x", "--tax", "standart", "-o", "json")
		require.Zero(t, typo.code)
		assert.Equal(t, "warning: tax class standart has no rate: what it is on cannot be billed until it has one (radiusd tax set standart PERCENT)\n", typo.err)
		s.ok("charge", "delete", s.rows("charge", "list", "--pending")[0]["id"].(string))

		s.ok("billing", "run", "--as-of", "2026-02-01")
		assert.Empty(t, s.rows("charge", "list", "--pending"))
		list := s.rows("charge", "list", "--invoice", "INV-000001", "--kind", "period")
		require.Len(t, list, 1)
		opened := s.object("charge", "show", list[0]["id"].(string))
		assert.Equal(t, []any{"price of a period 30.00", "first 28 of 30 days: 30.00 * 28 / 30 = 28.00", "amount 28.00 EUR"}, opened["computation"])
		assert.Contains(t, s.ok("charge", "show", list[0]["id"].(string)), "first 28 of 30 days")
		assert.Contains(t, s.fails(exitFailed, "charge", "delete", made["id"].(string)), "only what was charged by hand and is on no invoice")
		assert.Equal(t, "48.00", s.rows("balance", "alice")[0]["owed"])

		s.ok("payment", "add", "alice", "8")
		posted := s.rows("ledger", "list", "--user", "alice")
		require.Len(t, posted, 2)
		assert.Equal(t, []any{"payment", "customer", "alice", "-8.00"}, []any{posted[0]["kind"], posted[0]["account"], posted[0]["username"], posted[0]["amount"]})
		assert.Len(t, s.rows("ledger", "list"), 4, "both sides")
		assert.Equal(t, "-48.00", s.rows("ledger", "list", "--account", "revenue")[0]["amount"])
		assert.Empty(t, s.rows("ledger", "list", "--before", "2020-01-01"))
		statement := func(arguments ...string) (list []string) {
			for _, e := range s.rows(append([]string{"statement", "alice"}, arguments...)...) {
				list = append(list, fmt.Sprint(e["kind"], " ", e["amount"], " ", e["balance"], " ", e["currency"]))
			}
			return list
		}
		assert.Equal(t, []string{"opening  0.00 EUR", "invoice 48.00 48.00 EUR", "payment -8.00 40.00 EUR", "closing  40.00 EUR"}, statement())
		assert.Equal(t, []string{"opening  40.00 EUR", "closing  40.00 EUR"}, statement("--from", "2100-01-01"))
		assert.Empty(t, statement("--to", "2020-01-01"))
	})
}

// TestChargeIsOpened opens a charge for usage down to sessions and their records, of which
// each says whose it is.
func TestChargeIsOpened(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "metered")
		s.ok("user", "add", "alice", "--password", "x")
		s.ok("plan", "price", "metered", "--currency", "EUR", "--price", "0", "--usage", "octets price=1 per=1MiB")
		s.ok("billing", "set", "--seller-name", "Example Net")
		began := time.Date(2026, 1, 10, 8, 0, 0, 0, time.UTC)
		sink, err := s.open().NewSink()
		require.NoError(t, err)
		batch := &ingest.Batch{End: 9}
		for n, session := range []string{"one", "two", "three"} {
			at := began.Add(time.Duration(n) * time.Hour)
			batch.Records = append(batch.Records, record(session, aaa.AcctStart, at, 0, 0), record(session, aaa.AcctInterim, at.Add(time.Minute), 60, 1000), record(session, aaa.AcctStop, at.Add(2*time.Minute), 120, 1<<20))
		}
		require.NoError(t, sink.Write(t.Context(), batch))
		s.ok("subscription", "add", "alice", "metered", "--from", "2026-01-01", "--until", "2026-02-01")
		s.ok("billing", "run", "--as-of", "2026-02-02")
		charges := s.rows("charge", "list", "--invoice", "INV-000001")
		require.Len(t, charges, 1)
		assert.Equal(t, "33.00", charges[0]["amount"], "three sessions of 1 MiB up and 10 down")

		opened := s.object("charge", "show", charges[0]["id"].(string), "--records")
		require.Len(t, opened["sessions"], 3)
		records := map[any][]any{}
		for _, r := range opened["records"].([]any) {
			r := r.(map[string]any)
			records[r["session_id"]] = append(records[r["session_id"]], r["status"])
		}
		for _, x := range opened["sessions"].([]any) {
			assert.Equal(t, []any{"start", "interim", "stop"}, records[x.(map[string]any)["id"]])
		}
		assert.NotContains(t, s.object("charge", "show", charges[0]["id"].(string)), "records")

		part := s.run("charge", "show", charges[0]["id"].(string), "--limit", "2", "-o", "json")
		require.Zero(t, part.code)
		assert.Equal(t, "more sessions are not shown, --limit 0 shows all\n", part.err)
		assert.Equal(t, 2, strings.Count(part.out, "acct_session_id"))
		assert.Empty(t, s.run("charge", "show", charges[0]["id"].(string), "--limit", "3").err)
	})
}

func TestOrders(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		for _, plan := range []string{"home", "fibre"} {
			s.ok("plan", "add", plan)
			s.ok("plan", "price", plan, "--currency", "EUR", "--price", "30", "--every", "30 days")
		}
		s.ok("user", "add", "alice", "--password", "x")
		ordered := s.object("order", "add", "alice", "plan", "--plan", "home", "--amount", "30")
		assert.Equal(t, "open", ordered["state"])
		assert.Empty(t, s.rows("subscription", "list", "--user", "alice"))
		paid := s.object("order", "pay", ordered["id"].(string), "--provider", "till", "--reference", "1")
		assert.Equal(t, "completed", paid["state"])
		assert.Len(t, paid["history"], 3)
		subscriptions := s.rows("subscription", "list", "--user", "alice")
		require.Len(t, subscriptions, 1)
		assert.Equal(t, "home", s.object("user", "show", "alice")["plan"])
		assert.Equal(t, "-30.00", s.rows("balance", "alice")[0]["owed"])
		s.ok("billing", "run")
		assert.Equal(t, "0.00", s.rows("balance", "alice")[0]["owed"], "the credit pays the invoice")

		changed := s.object("order", "add", "alice", "change", "--subscription", subscriptions[0]["id"].(string), "--plan", "fibre")
		assert.Equal(t, "completed", changed["state"], "it costs nothing")
		assert.Contains(t, s.fails(exitFailed, "order", "add", "alice", "top_up"), "an order of credit needs an amount")
		top := s.object("order", "add", "alice", "top_up", "--amount", "20", "--expire-days", "30")
		assert.EqualValues(t, 30, top["expire_days"])
		assert.Len(t, s.rows("order", "list", "--state", "open"), 1)
		s.ok("order", "cancel", top["id"].(string), "--note", "too much")
		assert.Equal(t, "cancelled", s.object("order", "show", top["id"].(string))["state"])
		assert.Contains(t, s.ok("order", "show", top["id"].(string)), "too much")
		assert.Contains(t, s.fails(exitFailed, "order", "pay", top["id"].(string)), "is cancelled")
		s.ok("user", "add", "bob", "--password", "x")
		waits := s.object("order", "add", "bob", "plan", "--plan", "home", "--amount", "30")
		assert.Equal(t, []any{"open", false}, []any{waits["state"], waits["from_credit"]})
		s.ok("payment", "add", "bob", "30", "--currency", "EUR")
		waits = s.object("order", "show", waits["id"].(string))
		assert.Equal(t, []any{"completed", true}, []any{waits["state"], waits["from_credit"]})
		assert.Contains(t, s.ok("order", "show", waits["id"].(string)), "from credit")
		assert.Contains(t, s.fails(exitUsage, "order", "add", "alice", "pizza"), "is no kind of order")
		assert.Contains(t, s.fails(exitUsage, "order", "add", "alice", "plan"), "--plan is missing")
		assert.Equal(t, `"17" is no id of an order`, s.fails(exitUsage, "order", "pay", "17"))
		assert.Contains(t, s.fails(exitUsage, "order", "add", "alice", "plan", "--plan", "home", "--expire-days", "3"), "only credit ends")
	})
}
