package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/billing/checkout/checkouttest"
	"radiusd/operator"
)

// bankEntry is an entry of a CAMT.053 file: of money that came in today, unless the
// amount is negative, and is booked, unless there is no reference.
func (b *books) bankEntry(reference, amount, remittance string) string {
	direction, state := "CRDT", "BOOK"
	if rest, out := strings.CutPrefix(amount, "-"); out {
		amount, direction = rest, "DBIT"
	}
	if reference == "" {
		state = "PDNG"
	}
	return fmt.Sprintf(`<Ntry><Amt Ccy="EUR">%s</Amt><CdtDbtInd>%s</CdtDbtInd><Sts>%s</Sts><BookgDt><Dt>%s</Dt></BookgDt><AcctSvcrRef>%s</AcctSvcrRef>
<NtryDtls><TxDtls><RltdPties><Dbtr><Nm>Zora Payer</Nm></Dbtr></RltdPties><RmtInf>%s</RmtInf></TxDtls></NtryDtls></Ntry>`,
		amount, direction, state, b.today, reference, remittance)
}

// camt is a CAMT.053 file.
func camt(entries ...string) string {
	return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>` +
		strings.Join(entries, "") + `</Stmt></BkToCstmrStmt></Document>`
}

// sendBank imports a file of a media type.
func (c *client) sendBank(query, file, mediaType string) *answer {
	c.t.Helper()
	return c.post("/bank-statements"+query, file, "Content-Type", mediaType)
}

func outcomes(i api.BankImport) (list []string) {
	for _, line := range i.Lines {
		list = append(list, string(line.Outcome))
	}
	return list
}

func TestBankStatements(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		alice, invoice := b.billed(t, "alice")
		bob, second := b.billed(t, "bob")
		owner, xml := b.owner, "application/xml"
		ref, err := billing.RFReference(invoice.Number.MustGet())
		require.NoError(t, err)
		file := camt(b.bankEntry("B1", "20.00", "<Strd><CdtrRefInf><Ref>"+ref+"</Ref></CdtrRefInf></Strd>"), b.bankEntry("B2", "9.90", "<Ustrd>what for</Ustrd>"),
			b.bankEntry("B3", "-5.00", "<Ustrd>fees</Ustrd>"), b.bankEntry("", "1.00", ""), b.bankEntry("B5", "7.00", "<Ustrd>gift</Ustrd>"), b.bankEntry("B6", "x", ""))
		want := []string{"booked", "unmatched", "ignored", "pending", "unmatched", "wrong"}

		dry := into[api.BankImport](owner.sendBank("?dry_run=true", file, xml).is(http.StatusOK))
		assert.Equal(t, want, outcomes(dry))
		assert.True(t, dry.StatementID.IsNull())
		assert.True(t, dry.Lines[0].EntryID.IsNull())
		assert.Empty(t, into[api.BankEntryList](owner.get("/bank-entries").is(http.StatusOK)).Items, "nothing was written")
		broken := strings.TrimSuffix(file, "</Stmt></BkToCstmrStmt></Document>")
		owner.sendBank("", broken, xml).field("file")
		assert.Empty(t, into[api.BankEntryList](owner.get("/bank-entries").is(http.StatusOK)).Items, "of half a file nothing is taken")

		done := into[api.BankImport](owner.sendBank("?name=march.xml", file, "text/xml; charset=utf-8").is(http.StatusOK))
		assert.Equal(t, want, outcomes(done))
		assert.Equal(t, api.BankImportCounts{Entries: 6, Booked: 1, Unmatched: 2, Ignored: 1, Pending: 1, Wrong: 1}, done.Counts)
		first := done.Lines[0]
		assert.Equal(t, []any{alice, "Zora Payer", money("20.00")}, []any{first.UserID.MustGet(), first.Name, *first.Amount})
		assert.Equal(t, []api.BankAllocation{{InvoiceID: invoice.ID, Number: invoice.Number.MustGet(), Amount: money("20.00")}}, first.Allocations)
		payment := into[api.Payment](owner.get("/payments/" + first.PaymentID.MustGet().String()).is(http.StatusOK))
		assert.Equal(t, []any{"bank", first.Reference, b.day(0)}, []any{payment.Provider, payment.Reference, payment.ReceivedOn.String()})
		assert.Equal(t, money("16.00"), into[api.Invoice](owner.get("/invoices/"+invoice.ID.String()).is(http.StatusOK)).Open)
		again := into[api.BankImport](owner.sendBank("", file, xml).is(http.StatusOK))
		assert.Equal(t, []string{"known", "known", "known", "pending", "known", "wrong"}, outcomes(again))
		assert.Equal(t, first.EntryID, again.Lines[0].EntryID)

		t.Run("entries", func(t *testing.T) {
			owner := owner.in(t)
			statement := done.StatementID.MustGet().String()
			for query, n := range map[string]int{
				"": 4, "?state=booked": 1, "?state=waiting": 2, "?state=proposed": 0, "?state=ignored": 1, "?user_id=" + alice.String(): 1, "?user_id=" + bob.String(): 0,
				"?statement_id=" + statement: 4, "?statement_id=" + uuid.NewString(): 0, "?booked_from=" + b.day(0): 4, "?booked_before=" + b.day(0): 0,
			} {
				assert.Len(t, into[api.BankEntryList](owner.get("/bank-entries"+query).is(http.StatusOK)).Items, n, query)
			}
			seen, path := map[uuid.UUID]bool{}, "/bank-entries?limit=3"
			for path != "" {
				list := into[api.BankEntryList](owner.get(path).is(http.StatusOK))
				for _, e := range list.Items {
					seen[e.ID] = true
					assert.Equal(t, e, into[api.BankEntry](owner.get("/bank-entries/"+e.ID.String()).is(http.StatusOK)))
				}
				if path = ""; !list.NextCursor.IsNull() {
					path = "/bank-entries?limit=3&cursor=" + list.NextCursor.MustGet()
				}
			}
			assert.Len(t, seen, 4)
			owner.get("/bank-entries?cursor=x").code(http.StatusBadRequest, "bad_cursor")
			owner.get("/bank-entries/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
		})
		t.Run("personal data is for who may see it", func(t *testing.T) {
			path := "/bank-entries/" + done.Lines[4].EntryID.MustGet().String()
			assert.Contains(t, string(owner.in(t).get(path).is(http.StatusOK).body), "Zora Payer")
			for _, path := range []string{path, "/bank-entries"} {
				body := string(w.as(t, "auditor").get(path).is(http.StatusOK).body)
				assert.NotContains(t, body, "Zora Payer")
				assert.NotContains(t, body, "gift")
			}
			blind := w.token(t, operator.BillingRead, operator.BillingWrite)
			body := string(blind.sendBank("?dry_run=true", file, xml).is(http.StatusOK).body)
			assert.NotContains(t, body, "Zora Payer")
			owner.in(t).get("/payments?reference=x").is(http.StatusOK)
			blind.in(t).get("/payments").is(http.StatusOK)
			blind.in(t).get("/payments?reference=x").code(http.StatusForbidden, "forbidden") // who may not read them, may not guess them
		})
		t.Run("assign", func(t *testing.T) {
			owner := owner.in(t)
			path := "/bank-entries/" + done.Lines[1].EntryID.MustGet().String() + "/assign"
			for field, body := range map[string]object{"invoice_id": {}, "user_id": {"user_id": "x"}} {
				owner.post(path, body).field(field)
			}
			owner.post(path, object{"invoice_id": invoice.ID, "user_id": alice}).field("invoice_id")
			owner.post(path, object{"invoice_id": uuid.New()}).code(http.StatusNotFound, "not_found")
			owner.post(path, object{"user_id": uuid.New()}).code(http.StatusNotFound, "not_found")
			owner.post("/bank-entries/"+uuid.NewString()+"/assign", object{"user_id": alice}).code(http.StatusNotFound, "not_found")
			body := object{"invoice_id": second.ID}
			booked := into[api.BankEntry](owner.post(path, body, "Idempotency-Key", "a").is(http.StatusOK))
			assert.Equal(t, []any{api.BankEntryState("booked"), bob, "bob"}, []any{booked.State, booked.UserID.MustGet(), booked.Username})
			assert.Equal(t, booked, into[api.BankEntry](owner.post(path, body, "Idempotency-Key", "a").is(http.StatusOK)), "sent again")
			owner.post(path, object{"user_id": alice}, "Idempotency-Key", "a").code(http.StatusUnprocessableEntity, "key_reused")
			owner.post(path, body).code(http.StatusConflict, "in_use")
			assert.Equal(t, money("26.10"), into[api.Invoice](owner.get("/invoices/"+second.ID.String()).is(http.StatusOK)).Open)
			owner.post("/bank-entries/"+done.Lines[2].EntryID.MustGet().String()+"/assign", object{"user_id": alice}).field("amount")
		})
		t.Run("dismiss", func(t *testing.T) {
			owner := owner.in(t)
			path := "/bank-entries/" + done.Lines[4].EntryID.MustGet().String()
			dismissal := object{"reason": "Of the owner"}
			e := into[api.BankEntry](owner.post(path+"/dismiss", dismissal, "Idempotency-Key", "d").is(http.StatusOK))
			assert.Equal(t, e, into[api.BankEntry](owner.post(path+"/dismiss", dismissal, "Idempotency-Key", "d").is(http.StatusOK)))
			owner.post(path+"/dismiss", object{}, "Idempotency-Key", "d").code(http.StatusUnprocessableEntity, "key_reused")
			assert.Equal(t, []any{api.BankEntryState("ignored"), "Of the owner"}, []any{e.State, e.Reason})
			e = into[api.BankEntry](owner.post(path+"/assign", object{"user_id": bob}).is(http.StatusOK))
			assert.Equal(t, api.BankEntryState("booked"), e.State, "it was one after all")
			assert.Equal(t, e, into[api.BankEntry](owner.post(path+"/dismiss", dismissal, "Idempotency-Key", "d").is(http.StatusOK)), "sent again it undoes nothing")
			assert.Len(t, into[api.AuditList](owner.get("/audit?action=bank_entries.dismiss").is(http.StatusOK)).Items, 1)
			owner.post(path+"/dismiss", object{}).code(http.StatusConflict, "in_use")
		})
		t.Run("CSV", func(t *testing.T) {
			owner := owner.in(t)
			day := b.today.String()
			rows := "Tag;Betrag;Name;Zweck;Rest\n" + day + ";26,10;Bob;Rechnung;" + second.Number.MustGet() + "\n" + day + ";oops;x;y;z\n"
			query := "?csv_date=Tag&csv_amount=betrag&csv_name=Name&csv_remittance=Zweck%7CRest&csv_currency=eur&csv_decimal=,"
			done := into[api.BankImport](owner.sendBank(query, rows, "text/csv").is(http.StatusOK))
			assert.Equal(t, []string{"booked", "wrong"}, outcomes(done))
			assert.Equal(t, "Rechnung "+second.Number.MustGet(), done.Lines[0].Remittance)
			assert.Equal(t, 3, done.Lines[1].Line)
			assert.Contains(t, done.Lines[1].Reason, "oops")
			for _, test := range []struct{ field, query, file, mediaType string }{
				{"csv", "", rows, "text/csv"},
				{"csv_currency", "?csv_currency=%C3%A4%C3%A4", rows, "text/csv"},
				{"csv_delimiter", "?csv_delimiter=ab", rows, "text/csv"},
				{"csv_date", query, file, xml},
				{"csv_date", "?csv_date=" + strings.Repeat("x", 101), rows, "text/csv"},
				{"file", query, "a;b\n", "text/csv"},
				{"file", query, "", "text/csv"},
				{"file", "", "<html/>", xml},
				{"file", "", "", xml},
			} {
				owner.sendBank(test.query, test.file, test.mediaType).field(test.field)
			}
			for _, mediaType := range []string{"application/json", "application/octet-stream", ";;"} {
				owner.sendBank(query, rows, mediaType).code(http.StatusUnsupportedMediaType, "unsupported_media_type")
			}
		})
		assert.NotContains(t, w.log.String(), "Zora Payer")
		run, err := w.store.CheckLedger(t.Context())
		require.NoError(t, err)
		assert.Empty(t, run)
	})
}

func TestCheckouts(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		alice, invoice := b.billed(t, "alice")
		owner, path := b.owner, "/invoices/"+invoice.ID.String()+"/checkout"
		order := into[api.Order](owner.post("/orders", object{"user_id": alice, "kind": "top_up", "amount": eur("20")}).is(http.StatusCreated))
		for _, path := range []string{path, "/orders/" + order.ID.String() + "/checkout"} {
			owner.post(path, nil).code(http.StatusConflict, "checkout_not_configured")
		}

		provider := checkouttest.New(w.clock.now)
		t.Cleanup(provider.Close)
		stripe, err := checkout.NewStripe(checkout.StripeOptions{
			SecretKey: checkouttest.SecretKey, WebhookSecrets: []string{checkouttest.WebhookSecret}, URL: provider.URL, RetryAfter: time.Millisecond,
		})
		require.NoError(t, err)
		desk := &checkout.Desk{
			Provider: stripe, Book: w.store, SuccessURL: "https://isp.example/paid", CancelURL: "https://isp.example/bills", Zone: time.UTC, Now: w.clock.now,
			Rules: func(ctx context.Context, day billing.Date) (billing.RunOptions, error) {
				settings, _, err := w.store.BillingSettings(ctx)
				return settings.RunOptions(day, time.UTC, nil, w.clock.now()), err
			},
		}
		w.api.Checkout = desk
		w.serve(t)
		pay := func(page api.CheckoutPage) {
			request, err := w.store.CheckoutByID(t.Context(), page.ID)
			require.NoError(t, err)
			provider.Pay(request.SessionID)
			event := provider.Last()
			outcome, err := desk.Take(t.Context(), provider.Header(event), event.Body)
			require.NoError(t, err)
			assert.Equal(t, "booked", outcome)
		}

		provider.Fail(checkouttest.Fault{Status: http.StatusPaymentRequired})
		portal := w.token(t, operator.CheckoutCreate)
		portal.post(path, nil, "Idempotency-Key", "page").code(http.StatusBadGateway, "checkout_provider")
		page := into[api.CheckoutPage](portal.post(path, nil, "Idempotency-Key", "page").is(http.StatusOK))
		assert.Equal(t, money("36.00"), page.Amount)
		portal.get("/invoices/"+invoice.ID.String()).code(http.StatusForbidden, "forbidden")
		assert.NotEmpty(t, page.URL)
		assert.True(t, page.ExpiresAt.After(w.clock.now().Add(time.Hour)))
		assert.Equal(t, page, into[api.CheckoutPage](owner.post(path, nil).is(http.StatusOK)), "the same page")
		assert.Equal(t, 1, provider.Sessions())
		pay(page)
		paid := into[api.Invoice](owner.get("/invoices/" + invoice.ID.String()).is(http.StatusOK))
		assert.Equal(t, []any{api.InvoiceState("paid"), money("0.00")}, []any{paid.State, paid.Open})
		assert.Equal(t, page, into[api.CheckoutPage](portal.post(path, nil, "Idempotency-Key", "page").is(http.StatusOK)), "the same request again")
		portal.post("/orders/"+order.ID.String()+"/checkout", nil, "Idempotency-Key", "page").code(http.StatusUnprocessableEntity, "key_reused")
		problem := owner.post(path, nil).code(http.StatusConflict, "nothing_owed").problem()
		assert.Contains(t, problem.Detail, invoice.Number.MustGet())

		// A refund is the provider's to make: it is booked once it was, and once.
		request, err := w.store.CheckoutByID(t.Context(), page.ID)
		require.NoError(t, err)
		refund := "/payments/" + request.PaymentID.String() + "/refund"
		provider.Fail(slices.Repeat([]checkouttest.Fault{{Status: http.StatusServiceUnavailable}}, 4)...)
		problem = owner.post(refund, object{"amount": eur("6")}).code(http.StatusBadGateway, "checkout_provider").problem()
		assert.Contains(t, problem.Detail, "has not given the money back: the payment provider answered 503")
		assert.Empty(t, into[api.PaymentList](owner.get("/payments?refunds=true").is(http.StatusOK)).Items)
		back := into[api.Payment](owner.post(refund, object{"amount": eur("6")}, "Idempotency-Key", "back").is(http.StatusCreated))
		assert.Equal(t, back, into[api.Payment](owner.post(refund, object{"amount": eur("6")}, "Idempotency-Key", "back").is(http.StatusCreated)))
		assert.Equal(t, []any{"stripe", api.PaymentMethod("card")}, []any{back.Provider, back.Method})
		session, _ := provider.Session(request.SessionID)
		assert.EqualValues(t, 600, session.Refunded)
		owner.post(refund, object{"amount": eur("30.01")}).field("amount")
		owner.post("/orders/"+order.ID.String()+"/complete", nil).code(http.StatusConflict, "order_state")

		path = "/orders/" + order.ID.String()
		page = into[api.CheckoutPage](owner.post(path+"/checkout", nil, "Idempotency-Key", "order").is(http.StatusOK))
		assert.Equal(t, money("20.00"), page.Amount)
		pay(page)
		assert.Equal(t, api.OrderState("completed"), into[api.Order](owner.get(path).is(http.StatusOK)).State)
		owner.post(path+"/checkout", nil).code(http.StatusConflict, "nothing_owed")
		assert.Equal(t, page, into[api.CheckoutPage](owner.post(path+"/checkout", nil, "Idempotency-Key", "order").is(http.StatusOK)))
		assert.Equal(t, 2, provider.Sessions())
		for _, kind := range []string{"/invoices/", "/orders/"} {
			owner.post(kind+uuid.NewString()+"/checkout", nil).code(http.StatusNotFound, "not_found")
		}
		for _, secret := range []string{checkouttest.SecretKey, checkouttest.WebhookSecret} {
			assert.NotContains(t, w.log.String(), secret)
		}

		for _, event := range provider.Events() { // again, and those of refunds
			_, err := desk.Take(t.Context(), provider.Header(event), event.Body)
			require.NoError(t, err)
			assert.Contains(t, string(event.Body), checkouttest.Card)
		}
		assert.Empty(t, openTables(t, w.database).find(t, checkouttest.Card), "nothing of a card is kept")
		assert.NotContains(t, w.log.String(), checkouttest.Card)
	})
}

func TestBillingReports(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		_, invoice := b.billed(t, "alice")
		owner, invoicePath := b.owner, "/invoices/"+invoice.ID.String()
		catalogue := into[api.ReportCatalogue](owner.get("/reports/billing").is(http.StatusOK))
		require.Len(t, catalogue.Items, 5)
		for _, r := range catalogue.Items {
			got := into[api.ReportResult](owner.get("/reports/billing/" + r.Name).is(http.StatusOK))
			assert.NotEmpty(t, got.Columns, r.Name)
			for _, row := range got.Rows {
				assert.Len(t, row, len(got.Columns), r.Name)
			}
			owner.get("/reports/billing/" + r.Name + "?format=csv").is(http.StatusOK)
		}
		span := "from=" + b.day(-1) + "&to=" + b.day(1)
		row := func(path string) map[string]any {
			got := into[api.ReportResult](owner.get("/reports/billing/" + path).is(http.StatusOK))
			require.Len(t, got.Rows, 1, path)
			values := map[string]any{}
			for i, c := range got.Columns {
				values[c.Name] = got.Rows[0][i]
			}
			return values
		}
		has := func(path string, want map[string]any) {
			t.Helper()
			got := row(path)
			for name, value := range want {
				assert.Equal(t, value, got[name], "%s %s", path, name)
			}
		}
		has("revenue?by=plan&period=total&"+span, map[string]any{"plan": "home", "currency": "EUR", "invoiced": "30.00", "revenue": "30.00"})
		has("tax?period=total&"+span, map[string]any{"name": "VAT", "percent": "20", "net": "30.00", "tax": "6.00"})
		has("receivables?by=user&on="+b.day(0), map[string]any{"username": "alice", "not_due": "36.00", "open": "36.00", "balance": "36.00"})
		has("receivables?user=alice&on="+b.day(15), map[string]any{"not_due": "0.00", "days_0_30": "36.00"})
		has("churn?by=plan&period=total&"+span, map[string]any{"plan": "home", "at_start": 0.0, "started": 1.0, "at_end": 1.0})
		assert.Empty(t, into[api.ReportResult](owner.get("/reports/billing/allowance").is(http.StatusOK)).Rows, "the plan has none")

		owner.post(invoicePath+"/credit-notes", object{"lines": []any{object{"line": 1, "amount": eur("12")}}}).is(http.StatusCreated)
		owner.post("/payments", object{"user_id": invoice.UserID, "amount": eur("100")}).is(http.StatusCreated)
		text := string(owner.get("/reports/billing/receivables?format=csv").is(http.StatusOK).body)
		assert.True(t, strings.HasPrefix(text, "currency,not_due,"), text)
		assert.NotContains(t, text, "'", "a negative amount is a number")
		assert.Contains(t, text, ",-", "they have paid too much")

		for field, path := range map[string]string{
			"by": "revenue?by=user", "period": "tax?period=hour", "from": "churn?from=soon", "to": "tax?from=2026-02-01&to=2026-01-01",
			"on": "receivables?on=2026-01-01T12:00:00Z", "user": "revenue?user=alice", "date": "tax?date=due", "format": "tax?format=pdf",
		} {
			owner.get("/reports/billing/" + path).field(field)
		}
		support := w.as(t, "support")
		support.get("/invoices/" + invoice.ID.String()).is(http.StatusOK)
		for _, path := range []string{"/reports/billing", "/reports/billing/revenue"} {
			support.get(path).code(http.StatusForbidden, "forbidden")
		}
		owner.get("/reports/billing/profit").field("billing_report_name")
		owner.post("/reports/revenue/run", object{}).code(http.StatusNotFound, "not_found")
	})
}
