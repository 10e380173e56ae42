package billing

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func issued(n int, due string, total Amount) Invoice {
	return Invoice{ID: makeID("invoice", n), Number: InvoiceNumber("2026", int64(n)), Kind: KindInvoice, State: InvoiceIssued,
		UserID: userID, Currency: "EUR", DueOn: day(due), Net: total, Total: total}
}

func TestPostings(t *testing.T) {
	i := issued(1, "2026-11-15", 1190)
	i.Net, i.Tax = 1000, 190
	note := i
	note.ID, note.Kind = makeID("note"), KindCreditNote
	open := i
	open.Paid = 400
	payment := &Payment{ID: makeID("payment"), UserID: userID, Method: PaidBank, Currency: "EUR", Amount: 500}
	refund := &Payment{ID: makeID("refund"), UserID: userID, Method: PaidCash, Currency: "EUR", Amount: 200, Refunds: payment.ID}
	voucher := &Payment{ID: makeID("voucher"), UserID: userID, Method: PaidVoucher, Currency: "EUR", Amount: 500}
	paid := func(p *Payment) Transaction {
		transaction, err := PostPayment(p, testNow)
		require.NoError(t, err)
		return transaction
	}
	for name, c := range map[string]struct {
		transaction Transaction
		kind        TransactionKind
		want        map[AccountName]Amount
	}{
		"invoice":     {PostInvoice(&i, testNow), TransactionInvoice, map[AccountName]Amount{AccountCustomer: 1190, AccountRevenue: -1000, AccountTax: -190}},
		"credit note": {PostInvoice(&note, testNow), TransactionCreditNote, map[AccountName]Amount{AccountCustomer: -1190, AccountRevenue: 1000, AccountTax: 190}},
		"void":        {PostVoid(&i, testNow), TransactionVoid, map[AccountName]Amount{AccountCustomer: -1190, AccountRevenue: 1000, AccountTax: 190}},
		"payment":     {paid(payment), TransactionPayment, map[AccountName]Amount{AccountCustomer: -500, AccountBank: 500}},
		"refund":      {paid(refund), TransactionRefund, map[AccountName]Amount{AccountCustomer: 200, AccountCash: -200}},
		"voucher":     {paid(voucher), TransactionVoucher, map[AccountName]Amount{AccountCustomer: -500, AccountVoucher: 500}},
		"write-off":   {PostWriteOff(&open, open.Open(), 0, testNow), TransactionWriteOff, map[AccountName]Amount{AccountCustomer: -790, AccountBadDebt: 790}},
		"recovery":    {PostWriteOff(&open, -90, 1, testNow), TransactionRecovery, map[AccountName]Amount{AccountCustomer: 90, AccountBadDebt: -90}},
		"expiry":      {PostExpiry(payment.ID, userID, "EUR", 30, 0, testNow), TransactionExpiry, map[AccountName]Amount{AccountCustomer: 30, AccountExpired: -30}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, c.transaction.Validate())
			require.Equal(t, c.kind, c.transaction.Kind)
			got := map[AccountName]Amount{}
			for _, p := range c.transaction.Postings {
				got[p.Account] = p.Amount
			}
			require.Equal(t, c.want, got)
		})
	}
	require.Equal(t, PostInvoice(&i, testNow).ID, PostInvoice(&i, testNow.AddDate(1, 0, 0)).ID, "it is refused the second time")
	require.NotEqual(t, PostInvoice(&i, testNow).ID, PostVoid(&i, testNow).ID)
	require.Empty(t, PostInvoice(&Invoice{ID: makeID("nothing"), Currency: "EUR"}, testNow).Postings)
	_, err := PostPayment(&Payment{Method: "cheque", Amount: 1}, testNow)
	require.ErrorContains(t, err, `payment method "cheque" is unknown`)
	_, err = PostPayment(&Payment{Method: PaidCash, Currency: "EUR"}, testNow)
	require.ErrorContains(t, err, "of more than nothing")
}

func TestTransactionValidate(t *testing.T) {
	i := issued(1, "2026-11-15", 1000)
	for want, edit := range map[string]func(*Transaction){
		"add up to 0.01 EUR":           func(t *Transaction) { t.Postings[0].Amount++ },
		"no postings":                  func(t *Transaction) { t.Postings = nil },
		"is no currency":               func(t *Transaction) { t.Currency = "" },
		"no id or no subject":          func(t *Transaction) { t.SubjectID = uuid.Nil },
		"its posting to customer must": func(t *Transaction) { t.Postings[0].UserID = uuid.Nil },
		"its posting to revenue must":  func(t *Transaction) { t.Postings[1].UserID = userID },
		"it posts nothing to cash":     func(t *Transaction) { t.Postings = append(t.Postings, Posting{Account: AccountCash}) },
	} {
		transaction := PostInvoice(&i, testNow)
		require.NoError(t, transaction.Validate())
		edit(&transaction)
		require.ErrorContains(t, transaction.Validate(), want)
	}
}

func TestAllocate(t *testing.T) {
	void, part := issued(4, "2026-01-01", 900), issued(2, "2026-11-01", 1000)
	void.State = InvoiceVoid
	part.Paid = 700
	open := []Invoice{issued(3, "2026-12-01", 500), issued(1, "2026-11-01", 100), void, part}
	got, rest := Allocate(650, open, testNow)
	// 1.00 of the first, 3.00 open of the second, 2.50 of the third
	require.Equal(t, []Allocation{
		{makeID("invoice", 1), "2026-000001", 100, testNow}, {makeID("invoice", 2), "2026-000002", 300, testNow}, {makeID("invoice", 3), "2026-000003", 250, testNow},
	}, got)
	require.Zero(t, rest)
	got, rest = Allocate(1000, open, testNow)
	require.Len(t, got, 3)
	require.Equal(t, Amount(100), rest, "what is too much is credit")
	got, rest = Allocate(0, open, testNow)
	require.Empty(t, got)
	require.Zero(t, rest)

	rapid.Check(t, func(t *rapid.T) {
		var open []Invoice
		for n := range rapid.IntRange(0, 8).Draw(t, "invoices") {
			i := issued(n, firstDay.AddDays(rapid.IntRange(0, 5).Draw(t, "due")).String(), Amount(rapid.IntRange(1, 100).Draw(t, "total")))
			i.Paid = Amount(rapid.IntRange(0, int(i.Total)-1).Draw(t, "paid"))
			open = append(open, i)
		}
		a := Amount(rapid.IntRange(0, 500).Draw(t, "amount"))
		got, rest := Allocate(a, open, testNow)
		for _, g := range got {
			a -= g.Amount
			for n := range open {
				if open[n].ID == g.InvoiceID {
					require.NoError(t, open[n].Pay(g.Amount, testNow))
				}
			}
		}
		require.Equal(t, a, rest)
		if rest > 0 {
			for _, i := range open {
				require.Equal(t, InvoicePaid, i.State)
			}
		}
	})
}

func TestInvoiceStates(t *testing.T) {
	i := issued(1, "2026-11-15", 1000)
	i.State, i.Number = InvoiceDraft, ""
	require.ErrorContains(t, i.Void(testNow), "a draft is deleted")
	require.ErrorContains(t, i.Pay(1, testNow), "nothing can be paid on it")
	require.NoError(t, i.Issue("2026-000001", testNow))
	require.ErrorContains(t, i.Issue("2026-000002", testNow), "a draft is issued")
	require.NoError(t, i.Pay(400, testNow))
	require.Equal(t, InvoiceIssued, i.State)
	require.ErrorContains(t, i.Void(testNow), "make a credit note")
	require.ErrorContains(t, i.Pay(601, testNow), "6.00 EUR are open and 4.00 paid: 6.01 cannot be allocated")
	require.NoError(t, i.Pay(600, testNow))
	require.Equal(t, InvoicePaid, i.State)
	require.NoError(t, i.Pay(-1000, testNow), "a payment came back")
	require.ErrorContains(t, i.Pay(-1, testNow), "cannot be allocated")
	require.NoError(t, i.Void(testNow))
	require.ErrorContains(t, i.Void(testNow), "is void already")
	nothing := Invoice{State: InvoiceDraft}
	require.NoError(t, nothing.Issue("2026-000003", testNow))
	require.Equal(t, InvoicePaid, nothing.State)
	require.Equal(t, "A-000042", InvoiceNumber("A", 42))
	require.Equal(t, "A-1000000", InvoiceNumber("A", 1000000))
}
