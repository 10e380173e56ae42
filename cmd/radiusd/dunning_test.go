package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// Who does not pay is restricted, then suspended, with packets to prove it, and served
// again within a second of the payment. What an operator does by hand stays.
func TestWhoDoesNotPayIsSuspendedUntilPaid(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		f := plainFaultSite(t, storeURL, "")
		f.do("migrate", "up")
		asked := make(chan string, 9)
		port := radiustest.NewDynamic(t, "127.0.0.1", func(p radius.Packet) radiustest.DynamicAnswer {
			id, _ := p.Attributes().String(radius.TypeAcctSessionID)
			asked <- fmt.Sprint(p.Code(), " ", id)
			return radiustest.ACK()
		})
		f.do("nas", "add", "127.0.0.0/8", "--secret", radiustest.Secret, "--require-message-authenticator", "no",
			"--coa-port", fmt.Sprint(netip.MustParseAddrPort(port.Addr).Port()))
		server := f.start()
		defer func() { require.Zero(t, server.terminate(), server.logged()) }()
		today := time.Now().UTC()
		day := func(ago int) string { return today.AddDate(0, 0, -ago).Format(time.DateOnly) }
		f.do("plan", "add", "home")
		f.do("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--every", "year", "--due-days", "0")
		f.do("group", "add", "debtors", "--reply", "Filter-Id := walled-garden")
		f.do("billing", "set", "--seller-name", "Example Net")
		f.do("billing", "dunning", "set", "--steps", "7 remind, 14 remind, 21 restrict, 30 suspend", "--restrict-group", "debtors")
		for name, ago := range map[string]int{"late": 40, "slow": 25, "careless": 40} {
			f.addUser(name, "looking-glass", "--email", name+"@example.org")
			f.do("subscription", "add", name, "home", "--from", day(ago))
			f.do("billing", "run", "--as-of", day(ago))
		}
		login := func(name string) (answer string, accepted bool) {
			return radclient(t, f.auth, "auth", radiustest.Secret, fmt.Sprintf("User-Name=%q,User-Password=looking-glass", name))
		}
		served := func(name string) bool {
			_, accepted := login(name)
			return accepted
		}
		require.Eventually(t, func() bool { return served("late") && served("slow") }, patience, 20*time.Millisecond)
		nas := radiustest.NewNAS(t, "127.0.0.1")
		for _, name := range []string{"late", "slow"} {
			nas.Exchange(server.acct[0], nas.Session(name, "of-"+name).Start())
		}
		require.Eventually(t, func() bool { return len(f.rows("session", "list", "--online")) == 2 }, patience, 50*time.Millisecond)
		// An operator's own suspension.
		f.do("user", "set", "careless", "--status", "suspended")

		require.Len(t, f.rows("billing", "dunning", "preview"), 6, "three reminders and three steps")
		var run map[string]any
		f.decode(&run, "billing", "dunning", "run")
		assert.Equal(t, []any{3.0, 3.0, 1.0, 2.0}, []any{run["accounts"], run["reminded"], run["restricted"], run["suspended"]})
		f.decode(&run, "billing", "dunning", "run")
		assert.Equal(t, []any{0.0, 0.0, 0.0}, []any{run["reminded"], run["restricted"], run["suspended"]}, "once for each invoice")
		assert.Empty(t, f.rows("billing", "dunning", "preview"))
		require.Len(t, f.rows("billing", "dunning", "list"), 6)

		// Refused, with the reason in the reply and in the record.
		answer := ""
		require.Eventually(t, func() bool {
			var accepted bool
			answer, accepted = login("late")
			return !accepted
		}, patience, 20*time.Millisecond)
		require.Contains(t, answer, `Reply-Message = "Your account is suspended: an invoice is overdue."`)
		db := f.database()
		require.Eventually(t, func() bool {
			return number(t, db, `SELECT count(*) FROM auth_records WHERE username = 'late' AND reason = 'suspended' AND detail = 'an invoice is overdue'`) > 0
		}, patience, 50*time.Millisecond)
		answer, accepted := login("careless")
		require.False(t, accepted)
		require.NotContains(t, answer, "Reply-Message", "an operator's reasons are his own")
		// Restricted at the next login.
		require.Eventually(t, func() bool {
			answer, accepted = login("slow")
			return accepted && strings.Contains(answer, `Filter-Id = "walled-garden"`)
		}, patience, 20*time.Millisecond, "%s", answer)
		// Both sessions were ended.
		ended := map[string]bool{}
		for range 2 {
			select {
			case what := <-asked:
				ended[what] = true
			case <-time.After(patience):
				require.Fail(t, "no Disconnect-Request", "%v", ended)
			}
		}
		assert.Equal(t, map[string]bool{"Disconnect-Request of-late": true, "Disconnect-Request of-slow": true}, ended)

		// A part is not enough; the rest has them served within a second.
		f.do("payment", "add", "late", "10")
		require.False(t, served("late"))
		f.do("payment", "add", "late", "19.90")
		paid := time.Now() // the command is over: the transaction was committed before
		require.Eventually(t, func() bool { return served("late") }, patience, 5*time.Millisecond)
		t.Logf("accepted %s after the payment's command", time.Since(paid).Round(time.Millisecond))
		slow := f.rows("invoice", "list", "--user", "slow")[0]["number"].(string)
		f.do("invoice", "write-off", slow)
		require.Eventually(t, func() bool {
			answer, accepted = login("slow")
			return accepted && !strings.Contains(answer, `Filter-Id = "walled-garden"`)
		}, patience, 20*time.Millisecond)
		f.do("payment", "add", "careless", "29.90")
		require.False(t, served("careless"), "who was suspended by hand is served again by hand")

		// Whom an operator serves again though nothing was paid is not suspended again.
		payment := f.rows("payment", "list", "--user", "late")[0]["id"].(string)
		f.do("payment", "refund", payment, "19.90") // the invoice is open again
		f.decode(&run, "billing", "dunning", "run")
		require.Equal(t, 1.0, run["suspended"])
		require.Eventually(t, func() bool { return !served("late") }, patience, 20*time.Millisecond)
		f.do("user", "set", "late", "--status", "active")
		f.decode(&run, "billing", "dunning", "run")
		require.Equal(t, 0.0, run["suspended"])
		require.Eventually(t, func() bool { return served("late") }, patience, 20*time.Millisecond)
		require.Equal(t, "the books balance\n", f.do("billing", "check"))
	})
}

// With restrict_live coa an open session is changed when its user is restricted, and changed
// back when that is paid; what cannot be changed back is ended.
func TestRestrictionChangesOpenSessions(t *testing.T) {
	t.Parallel()
	eachEngine(t, restrictionChanges)
}

func restrictionChanges(t *testing.T, storeURL string) {
	f := plainFaultSite(t, storeURL, "")
	f.do("migrate", "up")
	asked := make(chan string, 9)
	port := radiustest.NewDynamic(t, "127.0.0.1", func(p radius.Packet) radiustest.DynamicAnswer {
		session, _ := p.Attributes().String(radius.TypeAcctSessionID)
		filter, _ := p.Attributes().String(radius.TypeFilterID)
		asked <- fmt.Sprint(p.Code(), " ", session, " ", filter)
		return radiustest.ACK()
	})
	f.do("nas", "add", "127.0.0.0/8", "--secret", radiustest.Secret, "--require-message-authenticator", "no",
		"--coa-port", fmt.Sprint(netip.MustParseAddrPort(port.Addr).Port()))
	server := f.start()
	defer func() { require.Zero(t, server.terminate(), server.logged()) }()
	day := time.Now().UTC().AddDate(0, 0, -25).Format(time.DateOnly)
	f.do("plan", "add", "open", "--filter-id", "open")
	f.do("plan", "add", "bare")
	f.do("group", "add", "debtors", "--reply", "Filter-Id := walled-garden")
	f.do("billing", "set", "--seller-name", "Example Net")
	f.do("billing", "dunning", "set", "--steps", "21 restrict", "--restrict-group", "debtors", "--restrict-live", "coa")
	for _, plan := range []string{"open", "bare"} {
		f.do("plan", "price", plan, "--currency", "EUR", "--price", "29.90", "--every", "year", "--due-days", "0")
		f.addUser("on-"+plan, "looking-glass")
		f.do("subscription", "add", "on-"+plan, plan, "--from", day)
	}
	f.do("billing", "run", "--as-of", day)
	nas := radiustest.NewNAS(t, "127.0.0.1")
	for _, plan := range []string{"open", "bare"} {
		nas.Exchange(server.acct[0], nas.Session("on-"+plan, "of-"+plan).Start())
	}
	require.Eventually(t, func() bool { return len(f.rows("session", "list", "--online")) == 2 }, patience, 50*time.Millisecond)
	requests := func(n int) map[string]bool {
		t.Helper()
		got := map[string]bool{}
		for range n {
			select {
			case what := <-asked:
				got[what] = true
			case <-time.After(patience):
				require.Fail(t, "no request", "%v", got)
			}
		}
		return got
	}
	f.do("billing", "dunning", "run")
	assert.Equal(t, map[string]bool{"CoA-Request of-open walled-garden": true, "CoA-Request of-bare walled-garden": true}, requests(2))
	f.do("payment", "add", "on-open", "29.90")
	assert.Equal(t, map[string]bool{"CoA-Request of-open open": true}, requests(1))
	f.do("payment", "add", "on-bare", "29.90")
	assert.Equal(t, map[string]bool{"Disconnect-Request of-bare ": true}, requests(1), "nothing takes a Filter-Id away")
}

// The last step ends the subscription, and the user is refused from then on, because the
// account has expired. A payment of what is left does not sell it again.
func TestLastStepEndsTheSubscription(t *testing.T) {
	t.Parallel()
	eachEngine(t, lastStepEnds)
}

func lastStepEnds(t *testing.T, storeURL string) {
	f := newFaultSite(t, storeURL, "")
	server := f.start()
	defer func() { require.Zero(t, server.terminate(), server.logged()) }()
	day := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	f.do("plan", "add", "home")
	f.do("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--every", "year", "--due-days", "0")
	f.do("billing", "set", "--seller-name", "Example Net")
	f.do("billing", "dunning", "set", "--steps", "7 remind, 20 end")
	f.addUser("anna", "looking-glass")
	f.do("subscription", "add", "anna", "home", "--from", day(25))
	f.do("billing", "run", "--as-of", day(25))
	require.Eventually(t, func() bool { return f.login("anna", "looking-glass") }, patience, 20*time.Millisecond)
	var run map[string]any
	f.decode(&run, "billing", "dunning", "run", "--as-of", day(10))
	require.Equal(t, []any{1.0, 0.0}, []any{run["reminded"], run["ended"]})
	require.True(t, f.login("anna", "looking-glass"))
	f.decode(&run, "billing", "dunning", "run")
	require.Equal(t, []any{0.0, 1.0}, []any{run["reminded"], run["ended"]})
	require.Eventually(t, func() bool { return !f.login("anna", "looking-glass") }, patience, 20*time.Millisecond)
	db := f.database()
	require.Eventually(t, func() bool {
		return number(t, db, `SELECT count(*) FROM auth_records WHERE username = 'anna' AND reason = 'expired'`) > 0
	}, patience, 50*time.Millisecond)
	require.Equal(t, day(0), f.rows("subscription", "list", "--user", "anna")[0]["end"])
	f.do("payment", "add", "anna", f.rows("balance", "anna")[0]["owed"].(string))
	require.False(t, f.login("anna", "looking-glass"))
	require.Equal(t, "the books balance\n", f.do("billing", "check"))
}

// Whose credit is not enough for today is suspended as soon as a prepaid subscription is sold,
// and served by a top-up.
func TestWhoHasNoCreditIsSuspendedUntilToppedUp(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		f := newFaultSite(t, storeURL, "")
		server := f.start()
		defer func() { require.Zero(t, server.terminate(), server.logged()) }()
		f.do("plan", "add", "daily")
		f.do("plan", "price", "daily", "--currency", "EUR", "--price", "30", "--every", "30 days", "--prepaid", "daily")
		f.do("billing", "set", "--seller-name", "Example Net")
		f.addUser("anna", "looking-glass")
		f.do("payment", "add", "anna", "2", "--currency", "EUR") // two days
		f.do("subscription", "add", "anna", "daily", "--from", time.Now().UTC().AddDate(0, 0, -2).Format(time.DateOnly))
		require.Eventually(t, func() bool {
			answer, accepted := radclient(t, f.auth, "auth", faultSecret, `User-Name="anna",User-Password="looking-glass"`)
			return !accepted && strings.Contains(answer, `Reply-Message = "Your account is suspended: the balance is used up."`)
		}, patience, 20*time.Millisecond)
		f.do("billing", "run")
		f.do("payment", "add", "anna", "0.50", "--currency", "EUR") // not enough for the day
		require.False(t, f.login("anna", "looking-glass"))
		f.do("payment", "add", "anna", "1", "--currency", "EUR")
		paid := time.Now()
		require.Eventually(t, func() bool { return f.login("anna", "looking-glass") }, patience, 5*time.Millisecond)
		t.Logf("accepted %s after the top-up's command", time.Since(paid).Round(time.Millisecond))
		require.Equal(t, int64(3), number(t, f.database(), `SELECT count(*) FROM charges`), "the day was charged, once")
		// Ended today, and sold again.
		f.do("subscription", "cancel", f.rows("subscription", "list", "--user", "anna")[0]["id"].(string))
		require.Eventually(t, func() bool { return !f.login("anna", "looking-glass") }, patience, 20*time.Millisecond)
		f.do("subscription", "add", "anna", "daily")
		require.Eventually(t, func() bool { return f.login("anna", "looking-glass") }, patience, 20*time.Millisecond)
		require.Equal(t, "the books balance\n", f.do("billing", "check"))
	})
}
