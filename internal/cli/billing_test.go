package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

func TestPrices(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		assert.Equal(t, "plan home has no price: set one with radiusd plan price home --currency EUR --price AMOUNT", s.fails(exitFailed, "plan", "price", "home"))
		assert.Equal(t, "plan home costs 29.90 EUR every month from now on (version 1)\n",
			s.ok("plan", "price", "home", "--currency", "eur", "--price", "29.9", "--setup", "10", "--trial-days", "14", "--billing-day", "1", "--tax", "standard", "--due-days", "14",
				"--usage", "octets allowance=100GiB rollover=1 price=500GiB:0.10,0.05 step=1MiB minimum=1.00 name='Extra data'",
				"--usage", "seconds price=0.5 hours=Wk0800-1800"))
		price := s.object("plan", "price", "home")
		for key, want := range map[string]any{
			"plan": "home", "version": 1.0, "currency": "EUR", "price": "29.90", "setup": "10.00", "every": "month", "timing": "advance", "trial_days": 14.0,
			"billing_day": 1.0, "tax_class": "standard", "tax_included": false, "due_days": 14.0, "retired_at": nil,
			"usage": []any{"octets: 100GiB free, then 0.1 up to 500GiB, 0.05 per 1GiB", "seconds: 0.5 per 1h"},
		} {
			assert.Equal(t, want, price[key], key)
		}

		assert.Equal(t, "plan home costs 10000 JPY every 30 days from now on (version 2)\n",
			s.ok("plan", "price", "home", "--currency", "JPY", "--price", "10000", "--every", "30 days", "--arrears"))
		list := s.rows("plan", "prices", "home")
		require.Len(t, list, 2)
		assert.Equal(t, 2.0, list[0]["version"])
		assert.Nil(t, list[0]["retired_at"])
		assert.NotNil(t, list[1]["retired_at"])

		terms := filepath.Join(s.dir, "terms.json")
		require.NoError(t, os.WriteFile(terms, []byte(`{"price": 500, "every": {"unit": "week", "count": 1}, "timing": "advance"}`), 0o600))
		s.ok("plan", "price", "home", "--currency", "USD", "--terms", terms)
		assert.Equal(t, "5.00", s.object("plan", "price", "home")["price"])
		require.NoError(t, os.WriteFile(terms, []byte(`{"prize": 500}`), 0o600))
		assert.Contains(t, s.fails(exitFailed, "plan", "price", "home", "--currency", "USD", "--terms", terms), `unknown field "prize"`)

		for _, test := range []struct {
			message string
			args    []string
		}{
			{`--currency: "" is no currency`, []string{"--price", "1"}},
			{`EUR has 2 decimals`, []string{"--currency", "EUR", "--price", "1.234"}},
			{`every has a count that is 0`, []string{"--currency", "EUR", "--price", "1", "--every", "0 days"}},
			{`every has the unit "fortnight"`, []string{"--currency", "EUR", "--price", "1", "--every", "fortnight"}},
			{`must not be negative`, []string{"--currency", "EUR", "--price", "-1"}},
			{`want NAME=VALUE`, []string{"--currency", "EUR", "--price", "1", "--usage", "octets cheap"}},
			{`metric is "smiles"`, []string{"--currency", "EUR", "--price", "1", "--usage", "smiles price=1"}},
			{`a quote is not closed`, []string{"--currency", "EUR", "--price", "1", "--usage", "octets name='x"}},
			{`hours: login hours "Xx08"`, []string{"--currency", "EUR", "--price", "1", "--usage", "octets price=1 hours=Xx08"}},
			{`must not have an up_to`, []string{"--currency", "EUR", "--price", "1", "--usage", "octets price=1GiB:2"}},
		} {
			assert.Contains(t, s.fails(exitUsage, append([]string{"plan", "price", "home"}, test.args...)...), test.message)
		}
		assert.Contains(t, s.fails(exitFailed, "plan", "price", "hone"), `did you mean home`)
		assert.Contains(t, s.run("plan", "price", "home", "--currency", "EUR", "--price", "1", "--tax", "standart").err, "tax class standart has no rate")
		s.ok("tax", "set", "standard", "19", "--from", "2030-01-01")
		assert.Empty(t, s.run("plan", "price", "home", "--currency", "EUR", "--price", "1", "--tax", "standard").err, "it will have one")
	})
}

func TestTaxes(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("tax", "set", "standard", "19")
		s.ok("tax", "set", "standard", "20.5", "--from", "2027-01-01")
		s.ok("tax", "set", "standard", "20", "--from", "2027-01-01") // in place of that
		list := s.rows("tax", "list")
		require.Len(t, list, 2)
		assert.Equal(t, "20", list[1]["percent"])
		assert.Equal(t, "2027-01-01", list[1]["from"])
		s.ok("tax", "delete", list[1]["id"].(string))
		assert.Len(t, s.rows("tax", "list"), 1)
		assert.Contains(t, s.fails(exitUsage, "tax", "set", "school", "0", "--category", "E"), "reason")
		assert.Contains(t, s.fails(exitUsage, "tax", "set", "school", "many"), "decimal number")
		assert.Contains(t, s.fails(exitUsage, "tax", "set", "school", "1", "--from", "tomorrow"), "--from")
	})
}

func TestSubscriptions(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "x")
		assert.Contains(t, s.fails(exitFailed, "subscription", "add", "alice", "home"), "has no price")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90")
		assert.Contains(t, s.fails(exitFailed, "subscription", "add", "alice", "home", "--from", "1026-01-31"), "cannot begin before 2000: 1026-01-31")
		assert.Contains(t, s.ok("subscription", "add", "alice", "home", "--from", "2026-01-31"), "alice has home from 2026-01-31 on, for 29.90 EUR every month")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "39.90")
		list := s.rows("subscription", "list", "--user", "alice", "--plan", "home", "--state", "active")
		require.Len(t, list, 1)
		assert.Equal(t, "29.90", list[0]["price"], "who has subscribed keeps the price")
		assert.Equal(t, "2026-01-31", s.object("subscription", "show", list[0]["id"].(string))["start"])
		assert.Empty(t, s.rows("subscription", "list", "--state", "ended"))
		assert.Contains(t, s.fails(exitUsage, "subscription", "list", "--state", "asleep"), "is not one of trial, active")
		assert.Contains(t, s.fails(exitUsage, "subscription", "show", "17"), "is no id of a subscription")
		assert.Contains(t, s.fails(exitFailed, "subscription", "add", "alise", "home"), `did you mean alice`)
	})
}

// TestFromPlanToPaid goes the way of a month's money: price, subscription, run, invoice,
// payment.
func TestFromPlanToPaid(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "x", "--full-name", "Zoë Ünal", "--email", "zoe@example.org")
		s.ok("tax", "set", "standard", "19")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--tax", "standard", "--due-days", "14")
		s.ok("billing", "set", "--seller-name", "Example Net", "--seller-city", "Wien", "--seller-country", "AT", "--series", "A")
		assert.Equal(t, "Example Net", s.object("billing", "show")["seller_name"])
		assert.Contains(t, s.fails(exitUsage, "billing", "set", "--seller-country", "Austria"), "ISO 3166-1")
		assert.Contains(t, s.fails(exitUsage, "billing", "run", "--as-of", "2999-01-01"), "has not come yet")
		s.ok("subscription", "add", "alice", "home", "--from", "2026-02-01", "--until", "2026-03-01")

		preview := s.rows("billing", "preview", "--as-of", "2026-02-01")
		require.Len(t, preview, 1)
		assert.Equal(t, []any{"alice", "35.58", ""}, []any{preview[0]["username"], preview[0]["total"], preview[0]["error"]})
		assert.Empty(t, s.rows("invoice", "list"), "a preview writes nothing")

		_, release, err := s.open().BeginRun(t.Context(), billing.Date{Year: 2026, Month: time.January, Day: 31})
		require.NoError(t, err)
		release() // as if it had been killed

		// February at 29.90, with 19 % of it: 5.681 is 5.68.
		run := s.object("billing", "run", "--as-of", "2026-02-01")
		assert.Equal(t, []any{1.0, 1.0, 1.0, 0.0}, []any{run["accounts"], run["charges"], run["invoices"], run["failed"]})
		for _, run := range s.rows("billing", "status") {
			assert.NotNil(t, run["finished_at"], "that of the day before was finished first")
		}
		again := s.object("billing", "run", "--as-of", "2026-02-01")
		assert.Equal(t, []any{0.0, 0.0}, []any{again["charges"], again["invoices"]}, "what is charged is not charged again")
		assert.NotEmpty(t, s.rows("billing", "status"))
		list := s.rows("invoice", "list", "--user", "alice", "--state", "issued", "--overdue")
		require.Len(t, list, 1)
		for key, want := range map[string]any{
			"number": "A-000001", "kind": "invoice", "username": "alice", "issued_on": "2026-02-01", "due_on": "2026-02-15",
			"currency": "EUR", "net": "29.90", "tax": "5.68", "total": "35.58", "paid": "0.00",
		} {
			assert.Equal(t, want, list[0][key], key)
		}
		lines := s.object("invoice", "show", "A-000001")["lines"].([]any)
		require.Len(t, lines, 1)
		assert.Equal(t, "29.90", lines[0].(map[string]any)["net"])
		assert.Equal(t, "2026-02-01", lines[0].(map[string]any)["from"])

		pdf := filepath.Join(s.dir, "invoice.pdf")
		s.ok("invoice", "pdf", "A-000001", pdf, "--locale", "de")
		written, err := os.ReadFile(pdf)
		require.NoError(t, err)
		assert.True(t, bytes.HasPrefix(written, []byte("%PDF-")))
		assert.Contains(t, s.fails(exitFailed, "invoice", "xml", "A-000001", "-"), "EN 16931")
		assert.Contains(t, s.fails(exitFailed, "invoice", "show", "A-000009"), "not found")
		assert.Equal(t, "write /nowhere/a.pdf: no such file or directory", s.fails(exitFailed, "invoice", "pdf", "A-000001", "/nowhere/a.pdf"))

		assert.Equal(t, "35.58", s.rows("balance", "alice")[0]["owed"])
		pay := []string{"payment", "add", "alice", "20", "--method", "bank", "--provider", "bank", "--reference", "17"}
		first := s.object(pay...)
		assert.Equal(t, []any{"A-000001 20.00"}, first["invoices"])
		assert.Equal(t, first["id"], s.object(pay...)["id"], "what is reported twice is booked once")
		assert.Equal(t, "15.58", s.rows("balance", "alice")[0]["owed"])
		assert.Contains(t, s.fails(exitFailed, "invoice", "void", "A-000001"), "20.00 EUR have been paid")
		rest := s.object("payment", "add", "alice", "20", "--invoice", "A-000001")
		assert.Equal(t, []any{"A-000001 15.58"}, rest["invoices"])
		assert.Equal(t, "-4.42", s.rows("balance", "alice")[0]["owed"], "the rest is credit")
		assert.Equal(t, "paid", s.object("invoice", "show", "A-000001")["state"])
		back := s.object("payment", "refund", rest["id"].(string), "4.42")
		assert.Equal(t, "-4.42", back["amount"])
		assert.Equal(t, "0.00", s.rows("balance", "alice")[0]["owed"])
		assert.Len(t, s.rows("payment", "list", "--user", "alice"), 3)
		assert.Equal(t, "4.42", s.rows("payment", "list", "--user", "alice")[0]["amount"].(string)[1:])

		note := s.object("invoice", "credit", "A-000001", "--note", "Outage")
		assert.Equal(t, []any{"credit_note", "CN-000001", "35.58"}, []any{note["kind"], note["number"], note["total"]})
		assert.Equal(t, "-35.58", s.rows("balance", "alice")[0]["owed"])
		assert.Equal(t, "the books balance\n", s.ok("billing", "check"))
		assert.Contains(t, s.fails(exitUsage, "payment", "add", "alice", "1.234"), "EUR has 2 decimals")
		assert.Equal(t, "nothing is open of invoice A-000001", s.fails(exitFailed, "payment", "add", "alice", "5", "--invoice", "A-000001"))
		assert.Equal(t, "a payment is allocated to invoices: CN-000001 is a credit note", s.fails(exitFailed, "payment", "add", "alice", "5", "--invoice", "CN-000001"))
		assert.Equal(t, "--on 2999-01-01 has not come yet", s.fails(exitUsage, "payment", "add", "alice", "5", "--on", "2999-01-01"))
		s.ok("user", "add", "newcomer", "--password", "x")
		assert.Contains(t, s.fails(exitUsage, "payment", "add", "newcomer", "1"), "no subscription and no balance yet: say the currency with --currency")
		assert.Contains(t, s.fails(exitUsage, "payment", "add", "alice", "1", "--method", "shells"), "is not one of cash, bank, card")
	})
}

// TestSubscriptionsGiveService holds that who subscribes has the plan, and for as long.
func TestSubscriptionsGiveService(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		for _, plan := range []string{"home", "fibre"} {
			s.ok("plan", "add", plan)
			s.ok("plan", "price", plan, "--currency", "EUR", "--price", "30", "--every", "30 days")
		}
		s.ok("user", "add", "alice", "--password", "x", "--expires", "2020-01-01")
		s.ok("subscription", "add", "alice", "home")
		alice := s.object("user", "show", "alice")
		assert.Equal(t, "home", alice["plan"])
		assert.Nil(t, alice["expires_at"], "who had expired is served again")
		id := s.rows("subscription", "list", "--user", "alice")[0]["id"].(string)
		s.ok("billing", "run")

		assert.Equal(t, "fibre", s.object("subscription", "change", id, "fibre")["plan"])
		assert.Equal(t, "fibre", s.object("user", "show", "alice")["plan"])
		ended := s.object("subscription", "cancel", id, "--at-period-end")
		assert.NotEmpty(t, ended["end"])
		assert.NotNil(t, s.object("user", "show", "alice")["expires_at"])
		assert.Empty(t, s.object("subscription", "resume", id)["end"])
		assert.Nil(t, s.object("user", "show", "alice")["expires_at"])
		assert.Contains(t, s.fails(exitUsage, "subscription", "cancel", id, "--on", "2030-01-01", "--at-period-end"), "exclude each other")
		assert.Contains(t, s.fails(exitFailed, "subscription", "change", id, "fibre"), "has that rate already")

		// A start in the future changes nothing yet.
		s.ok("user", "add", "bob", "--password", "x")
		s.ok("subscription", "add", "bob", "home", "--from", "2999-01-01")
		assert.Empty(t, s.object("user", "show", "bob")["plan"])
		assert.Equal(t, "the books balance\n", s.ok("billing", "check"))
	})
}
