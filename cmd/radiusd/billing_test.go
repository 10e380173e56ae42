package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Terms of the plan that is billed here: a period has thirty days.
const (
	billedPrice     = 2990    // cents
	billedSetup     = 1000    // cents
	billedAllowance = 1 << 20 // octets
	billedPer       = 1 << 20 // octets, for billedTier cents each
	billedTier      = 7       // cents
	billedTax       = 19      // percent
)

// billedSite is a site on which alice and bob have subscribed 31 days ago: the second
// period began yesterday, so that today the usage of the first one is charged.
type billedSite struct {
	*faultSite
	server *server
	start  time.Time
	sent   []acknowledged
}

func newBilledSite(t *testing.T, storeURL string) *billedSite {
	t.Helper()
	b := &billedSite{faultSite: newFaultSite(t, storeURL, ""), start: time.Now().UTC().AddDate(0, 0, -31)}
	b.server = b.faultSite.start()
	b.do("plan", "add", "home")
	b.do("tax", "set", "standard", strconv.Itoa(billedTax), "--name", "VAT")
	b.do("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--setup", "10", "--every", "30 days", "--tax", "standard", "--due-days", "14",
		"--usage", "octets allowance=1MiB price=0.07 per=1MiB name='Extra data'")
	b.do("billing", "set", "--seller-name", "Example Net", "--seller-address", "Main Street 1", "--seller-postcode", "1010", "--seller-city", "Wien",
		"--seller-country", "AT", "--seller-tax-id", "ATU12345675")
	for n, fullName := range []string{"Zoë Ünal", "Łukasz Żółty"} {
		name := fmt.Sprintf("load%d", n+1)
		b.addUser(name, "looking-glass", "--full-name", fullName, "--address", "Side Street 2, 8010 Graz")
		b.do("subscription", "add", name, "home", "--from", b.day(0))
	}
	return b
}

// day names a day by its number in the subscription.
func (b *billedSite) day(n int) string { return b.start.AddDate(0, 0, n).Format(time.DateOnly) }

// bench sends whole sessions that took place at noon of a day, and waits until they are
// stored.
func (b *billedSite) bench(day int, args ...string) {
	b.t.Helper()
	ago := time.Since(b.start.Truncate(24*time.Hour).AddDate(0, 0, day).Add(12 * time.Hour))
	load := b.accounting(append([]string{"--users", "2", "--nas", "4", "--ago", ago.String()}, args...)...)
	b.sent = append(b.sent, load.finish()...)
	db := b.database()
	defer db.Close()
	awaitStored(b.t, db, b.sent)
}

// octets is what a user has transferred by all that was sent and acknowledged.
func (b *billedSite) octets(username string) int64 {
	most := map[string]int64{}
	for _, a := range b.sent {
		if a.username == username {
			most[a.session] = max(most[a.session], a.input+a.output)
		}
	}
	sum := int64(0)
	for _, n := range most {
		sum += n
	}
	return sum
}

// rounded is n/d, halves away from zero.
func rounded(n, d int64) int64 {
	r := new(big.Rat).SetFrac64(n, d)
	cents, err := strconv.ParseInt(r.FloatString(0), 10, 64)
	if err != nil {
		panic(err)
	}
	return cents
}

func taxOn(net int64) int64 { return rounded(net*billedTax, 100) }

// overage is what usage costs beyond the allowance, net.
func overage(octets int64) int64 { return rounded((octets-billedAllowance)*billedTier, billedPer) }

func euros(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// invoices returns what was issued to a user, the oldest first.
func (b *billedSite) invoices(username string) []map[string]any {
	rows := b.rows("invoice", "list", "--user", username)
	slices.Reverse(rows)
	return rows
}

// requireInvoice compares an invoice with the net amounts of its lines, and returns its
// total. Its PDF and its XML say the same.
func (b *billedSite) requireInvoice(number, buyer string, nets ...int64) (total int64) {
	b.t.Helper()
	net := int64(0)
	for _, line := range nets {
		net += line
	}
	total = net + taxOn(net)
	var invoice struct {
		State, Net, Tax, Total string
		Lines                  []struct {
			Net        string
			TaxPercent string `json:"tax_percent"`
		}
	}
	b.decode(&invoice, "invoice", "show", number)
	require.Equal(b.t, []string{euros(net), euros(taxOn(net)), euros(total)}, []string{invoice.Net, invoice.Tax, invoice.Total}, number)
	require.Len(b.t, invoice.Lines, len(nets), number)
	for i, line := range invoice.Lines {
		require.Equal(b.t, []string{euros(nets[i]), strconv.Itoa(billedTax)}, []string{line.Net, line.TaxPercent}, "%s, line %d", number, i+1)
	}
	text := b.pdf(number)
	for _, want := range []string{number, buyer, "Example Net", "ATU12345675", euros(net), euros(taxOn(net)), euros(total)} {
		require.Contains(b.t, text, want, "the PDF of %s", number)
	}
	b.requireXML(number, buyer, net, nets)
	return total
}

// decode is do for a command that shows one thing.
func (s *site) decode(v any, args ...string) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.do(append(args, "-o", "json")...)), v))
}

// pdf is the text of an invoice as a reader shows it.
func (b *billedSite) pdf(number string) string {
	b.t.Helper()
	file := filepath.Join(b.dir, number+".pdf")
	b.do("invoice", "pdf", number, file)
	text, err := exec.Command("pdftotext", "-layout", file, "-").CombinedOutput()
	require.NoError(b.t, err, "pdftotext (package poppler-utils): %s", text)
	return string(text)
}

// requireXML reads what a machine would of an invoice.
func (b *billedSite) requireXML(number, buyer string, net int64, nets []int64) {
	b.t.Helper()
	file := filepath.Join(b.dir, number+".xml")
	b.do("invoice", "xml", number, file)
	text, err := os.ReadFile(file)
	require.NoError(b.t, err)
	var x struct {
		XMLName xml.Name
		ID      string
		Buyer   string `xml:"AccountingCustomerParty>Party>PartyLegalEntity>RegistrationName"`
		Country string `xml:"AccountingCustomerParty>Party>PostalAddress>Country>IdentificationCode"`
		Tax     string `xml:"TaxTotal>TaxAmount"`
		Net     string `xml:"LegalMonetaryTotal>TaxExclusiveAmount"`
		Payable string `xml:"LegalMonetaryTotal>PayableAmount"`
		Lines   []struct {
			Net string `xml:"LineExtensionAmount"`
		} `xml:"InvoiceLine"`
	}
	require.NoError(b.t, xml.Unmarshal(text, &x))
	require.Equal(b.t, []string{"Invoice", number, buyer, "AT", euros(net), euros(taxOn(net)), euros(net + taxOn(net))},
		[]string{x.XMLName.Local, x.ID, x.Buyer, x.Country, x.Net, x.Tax, x.Payable})
	require.Len(b.t, x.Lines, len(nets))
	for i, line := range x.Lines {
		require.Equal(b.t, euros(nets[i]), line.Net, "%s, line %d", number, i+1)
	}
}

// pay pays what an invoice is over, after which nothing is owed.
func (b *billedSite) pay(username string, cents int64) {
	b.t.Helper()
	owed := b.rows("balance", username)
	require.Equal(b.t, euros(cents), owed[0]["owed"])
	b.do("payment", "add", username, euros(cents), "--method", "bank")
	require.Equal(b.t, "0.00", b.rows("balance", username)[0]["owed"])
}

// From a plan to a paid invoice, with real packets, and with records that come after the
// invoice. What is billed is compared to the cent with the records that the NASes have
// kept.
func TestUsageIsBilledToTheCent(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		b := newBilledSite(t, storeURL)
		users := map[string]string{"load1": "Zoë Ünal", "load2": "Łukasz Żółty"}

		// The first period is paid in advance.
		b.do("billing", "run", "--as-of", b.day(0))
		for username, fullName := range users {
			first := b.invoices(username)
			require.Len(t, first, 1)
			b.pay(username, b.requireInvoice(first[0]["number"].(string), fullName, billedSetup, billedPrice))
		}

		// Sessions in it, over three days, on a network that loses and repeats packets.
		for n := range 3 {
			b.bench(26+n, "--seed", strconv.Itoa(n+1), "--sessions", "24", "--loss", "0.05", "--repeat", "0.1")
		}
		b.do("billing", "run")
		before := map[string]int64{}
		for username, fullName := range users {
			before[username] = overage(b.octets(username))
			require.Greater(t, before[username], int64(100), "there is overage, in a figure that tells")
			list := b.invoices(username)
			require.Len(t, list, 2)
			number := list[1]["number"].(string)
			b.pay(username, b.requireInvoice(number, fullName, before[username], billedPrice))
			b.requireOpened(username, number)
		}

		// Records that come late, and the next invoice has what they cost.
		b.bench(27, "--seed", "17", "--sessions", "6")
		b.do("billing", "run")
		for username, fullName := range users {
			list := b.invoices(username)
			require.Len(t, list, 3)
			number := list[2]["number"].(string)
			b.pay(username, b.requireInvoice(number, fullName, overage(b.octets(username))-before[username]))
			require.Contains(t, b.pdf(number), "late")
		}

		// Nothing is charged twice, numbers have no gap, and the books balance.
		b.do("billing", "run")
		numbers := map[string]bool{}
		for _, invoice := range b.rows("invoice", "list") {
			require.Equal(t, "paid", invoice["state"])
			numbers[invoice["number"].(string)] = true
		}
		require.Len(t, numbers, 6)
		for n := range 6 {
			require.Contains(t, numbers, fmt.Sprintf("INV-%06d", n+1))
		}
		require.Equal(t, "the books balance\n", b.do("billing", "check"))
		require.Zero(t, b.server.terminate(), b.server.logged())
	})
}

// requireOpened opens the usage line of an invoice: the charge was made from the octets of
// each day, which are those of the sessions behind it, which are those of their records,
// which were sent.
func (b *billedSite) requireOpened(username, number string) {
	b.t.Helper()
	charges := b.rows("charge", "list", "--invoice", number, "--kind", "usage")
	require.Len(b.t, charges, 1)
	var charge struct {
		Usage    []struct{ Upload, Download int64 }
		Sessions []struct {
			ID       string
			Username string
			Input    int64 `json:"input_octets"`
			Output   int64 `json:"output_octets"`
		}
		Records []struct {
			SessionID string `json:"session_id"`
			Status    string
			Seconds   int64 `json:"session_seconds"`
			Input     int64 `json:"input_octets"`
			Output    int64 `json:"output_octets"`
		}
	}
	b.decode(&charge, "charge", "show", charges[0]["id"].(string), "--limit", "0", "--records")
	require.Len(b.t, charge.Usage, 3, "three days")
	days, sessions := int64(0), int64(0)
	for _, d := range charge.Usage {
		days += d.Upload + d.Download
	}
	for _, x := range charge.Sessions {
		require.Equal(b.t, username, x.Username)
		sessions += x.Input + x.Output
	}
	require.NotEmpty(b.t, charge.Sessions)
	require.Equal(b.t, []int64{b.octets(username), b.octets(username)}, []int64{days, sessions}, "what was sent")

	ofSessions := map[string][]acknowledged{}
	var records, sent []acknowledged
	for _, r := range charge.Records {
		record := acknowledged{status: r.Status, seconds: r.Seconds, input: r.Input, output: r.Output}
		records = append(records, record)
		ofSessions[r.SessionID] = append(ofSessions[r.SessionID], record)
	}
	for _, a := range b.sent {
		if a.username == username {
			sent = append(sent, acknowledged{status: a.status, seconds: a.seconds, input: a.input, output: a.output})
		}
	}
	require.ElementsMatch(b.t, sent, records, "each record that was sent, once")
	require.Len(b.t, ofSessions, len(charge.Sessions))
	for _, x := range charge.Sessions {
		of := ofSessions[x.ID]
		require.NotEmpty(b.t, of, "session %s", x.ID)
		last := of[len(of)-1]
		require.Equal(b.t, []any{"stop", x.Input, x.Output}, []any{last.status, last.input, last.output}, "session %s", x.ID)
	}
}
