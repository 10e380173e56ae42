package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

// camtEntry is an entry of a CAMT.053 file.
func camtEntry(reference, amount, remittance string) string {
	return fmt.Sprintf(`<Ntry><Amt Ccy="EUR">%s</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-02-10</Dt></BookgDt>
<AcctSvcrRef>%s</AcctSvcrRef><NtryDtls><TxDtls><RltdPties><Dbtr><Nm>%s</Nm></Dbtr></RltdPties><RmtInf>%s</RmtInf></TxDtls></NtryDtls></Ntry>`,
		amount, reference, "Zoë Ünal", remittance)
}

func camtFile(t *testing.T, s *site, entries string) string {
	name := filepath.Join(s.dir, "statement.xml")
	require.NoError(t, os.WriteFile(name, []byte(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>`+entries+`</Stmt></BkToCstmrStmt></Document>`), 0o600))
	return name
}

func TestBankImport(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "x", "--full-name", "Zoë Ünal")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90")
		s.ok("billing", "set", "--seller-name", "Example Net", "--series", "A")
		s.ok("subscription", "add", "alice", "home", "--from", "2026-02-01", "--until", "2026-04-01")
		s.ok("billing", "run", "--as-of", "2026-02-01")
		ref, err := billing.RFReference("A-000001")
		require.NoError(t, err)

		file := camtFile(t, s, camtEntry("B1", "20.00", "<Strd><CdtrRefInf><Ref>"+ref+"</Ref></CdtrRefInf></Strd>")+
			camtEntry("B2", "9.90", "<Ustrd>thank you</Ustrd>")+camtEntry("B3", "5.00", "<Ustrd>?</Ustrd>"))
		dry := s.rows("payment", "import", file, "--dry-run")
		require.Len(t, dry, 3)
		assert.Equal(t, []any{"booked", "unmatched", "unmatched"}, []any{dry[0]["outcome"], dry[1]["outcome"], dry[2]["outcome"]})
		assert.Empty(t, s.rows("payment", "entries"), "a dry run writes nothing")
		lines := s.rows("payment", "import", file)
		assert.Equal(t, []any{"booked", []any{"A-000001 20.00"}}, []any{lines[0]["outcome"], lines[0]["invoices"]})
		assert.Contains(t, lines[0]["reason"], "pays 20.00 EUR of 29.90")
		assert.Equal(t, []any{"proposed", "it names no invoice, but the amount and the payer's name are those of A-000001"}, []any{lines[1]["outcome"], lines[1]["reason"]})
		assert.Equal(t, "unmatched", lines[2]["outcome"])
		for _, line := range s.rows("payment", "import", file) {
			assert.Equal(t, "known", line["outcome"])
		}
		assert.Equal(t, "9.90", s.rows("balance", "alice")[0]["owed"])

		waiting := s.rows("payment", "entries", "--unmatched")
		require.Len(t, waiting, 2)
		for _, entry := range waiting {
			id := entry["id"].(string)
			if entry["state"] == "proposed" {
				assert.Equal(t, []any{"A-000001 9.90"}, s.object("payment", "assign", id, "A-000001")["invoices"])
				assert.Contains(t, s.fails(exitFailed, "payment", "assign", id, "alice"), "it is booked as payment")
				continue
			}
			refused := s.fails(exitFailed, "payment", "assign", id, "alise")
			assert.Contains(t, refused, `there is no invoice alise, and: user "alise": not found`)
			assert.Contains(t, refused, "did you mean alice")
			assert.Equal(t, "ignored", s.object("payment", "dismiss", id, "--note", "a gift")["state"])
		}
		assert.Empty(t, s.rows("payment", "entries", "--unmatched"))
		assert.Equal(t, "0.00", s.rows("balance", "alice")[0]["owed"])

		// The next month by CSV.
		s.ok("billing", "run", "--as-of", "2026-03-01")
		export := filepath.Join(s.dir, "export.csv")
		require.NoError(t, os.WriteFile(export, []byte("Tag;Betrag;Name;Zweck\n05.03.2026;29,90;Ünal;Rechnung A-000002\n06.03.2026;oops;x;y\n"), 0o600))
		assert.Contains(t, s.fails(exitUsage, "payment", "import", export), "columns: date is missing")
		assert.Contains(t, s.fails(exitUsage, "payment", "import", export, "--csv", "colour=blue"), `there is no setting "colour"`)
		lines = s.rows("payment", "import", export, "--csv", "date=Tag", "--csv", "amount=Betrag", "--csv", "name=Name", "--csv", "remittance=Zweck", "--csv", "currency=EUR")
		require.Len(t, lines, 2)
		assert.Equal(t, []any{"booked", "wrong"}, []any{lines[0]["outcome"], lines[1]["outcome"]})
		assert.Equal(t, "0.00", s.rows("balance", "alice")[0]["owed"])
		assert.Equal(t, "the books balance\n", s.ok("billing", "check"))
		assert.Contains(t, s.fails(exitFailed, "payment", "import", filepath.Join(s.dir, "none.xml")), "no such file")
	})
}
