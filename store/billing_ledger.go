package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// balanceKey is an account of a user in the ledger.
type balanceKey struct {
	userID   uuid.UUID
	currency billing.Currency
}

func compareBalances(a, b balanceKey) int {
	return cmp.Or(bytes.Compare(a.userID[:], b.userID[:]), cmp.Compare(a.currency, b.currency))
}

func balanceFields(k *balanceKey, balance *billing.Amount) []field {
	return []field{{"user_id", id{&k.userID}}, {"currency", term(&k.currency)}, {"balance", money(balance)}}
}

func transactionFields(t *billing.Transaction) []field {
	return []field{
		{"id", id{&t.ID}},
		{"at", moment{&t.At}},
		{"kind", term(&t.Kind)},
		{"currency", term(&t.Currency)},
		{"subject_id", nullID{&t.SubjectID}},
		{"memo", text{&t.Memo}},
	}
}

// postingRow is a posting as it is written.
type postingRow struct {
	billing.Posting
	transactionID uuid.UUID
	number        int
	currency      billing.Currency
	at            time.Time
}

func postingFields(p *postingRow) []field {
	return []field{
		{"transaction_id", id{&p.transactionID}},
		{"posting", whole[int]{&p.number}},
		{"account", term(&p.Account)},
		{"user_id", nullID{&p.UserID}},
		{"amount", money(&p.Amount)},
		{"currency", term(&p.currency)},
		{"at", moment{&p.at}},
	}
}

// lockAccounts locks the accounts of users and returns what they owe. Whoever changes what
// is sold to users or what they owe has them locked, so that is done by one at a time. Rows
// are locked in one order, or two transactions would wait for one another: users, their
// ledger_balances, their subscriptions, their charges, in each table by the user. Deleting
// and changing a user begin with the first of them. Orders are locked by those alone who have
// the account locked.
func (tx *writeTx) lockAccounts(ctx context.Context, userIDs []uuid.UUID) (map[balanceKey]billing.Amount, error) {
	if err := tx.lockUsers(ctx, userIDs); err != nil {
		return nil, err
	}
	return tx.balances(ctx, userIDs, tx.forUpdate())
}

// lockUsers is the first step of lockAccounts.
func (tx *writeTx) lockUsers(ctx context.Context, userIDs []uuid.UUID) error {
	lock := tx.forUpdate()
	if lock == "" {
		return nil
	}
	return eachChunk(tx, "id", "uuid", texts(userIDs), func(which string, args []any) error {
		_, err := tx.ExecContext(ctx, "SELECT 1 FROM users WHERE "+which+" ORDER BY id"+lock, args...)
		return err
	})
}

// lockBalances is lockAccounts of those with the keys, whose balances are made if there are
// none.
func (tx *writeTx) lockBalances(ctx context.Context, keys []balanceKey) error {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, compareBalances)
	keys = slices.Compact(keys)
	userIDs := make([]uuid.UUID, len(keys))
	for i := range keys {
		userIDs[i] = keys[i].userID
	}
	userIDs = slices.Compact(userIDs)
	if err := tx.lockUsers(ctx, userIDs); err != nil {
		return err
	}
	var k balanceKey
	var none billing.Amount
	if err := insertNew(ctx, tx, "ledger_balances", filled(balanceFields(&k, &none), len(keys), func(i int) { k = keys[i] })); err != nil {
		return err
	}
	_, err := tx.balances(ctx, userIDs, tx.forUpdate())
	return err
}

// balances reads what users owe.
func (tx *writeTx) balances(ctx context.Context, users []uuid.UUID, lock string) (map[balanceKey]billing.Amount, error) {
	list := map[balanceKey]billing.Amount{}
	var k balanceKey
	var balance billing.Amount
	fields := balanceFields(&k, &balance)
	err := eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM ledger_balances WHERE "+which+" ORDER BY user_id, currency"+lock, args, targets(fields), func() error {
			list[k] = balance
			return nil
		})
	})
	return list, err
}

// post writes transactions, none of which may exist, and the balances. The users'
// accounts must be locked.
func (tx *writeTx) post(ctx context.Context, transactions []billing.Transaction) error {
	transactions = slices.DeleteFunc(slices.Clone(transactions), func(t billing.Transaction) bool { return len(t.Postings) == 0 })
	var postings []postingRow
	changes := map[balanceKey]billing.Amount{}
	var keys []balanceKey
	for i := range transactions {
		t := &transactions[i]
		if err := t.Validate(); err != nil {
			return err
		}
		for n, p := range t.Postings {
			postings = append(postings, postingRow{p, t.ID, n + 1, t.Currency, t.At})
			if p.Account != billing.AccountCustomer {
				continue
			}
			k := balanceKey{p.UserID, t.Currency}
			before, known := changes[k]
			if !known {
				keys = append(keys, k)
			}
			sum, err := before.Add(p.Amount)
			if err != nil {
				return err
			}
			changes[k] = sum
		}
	}
	var t billing.Transaction
	if err := insertRows(ctx, tx, "ledger_transactions", filled(transactionFields(&t), len(transactions), func(i int) { t = transactions[i] })); err != nil {
		return err
	}
	var p postingRow
	if err := insertRows(ctx, tx, "ledger_postings", filled(postingFields(&p), len(postings), func(i int) { p = postings[i] })); err != nil {
		return err
	}
	slices.SortFunc(keys, compareBalances)
	var k balanceKey
	var change billing.Amount
	return resolveRows(ctx, tx, "ledger_balances", "ON CONFLICT (user_id, currency) DO UPDATE SET balance = ledger_balances.balance + excluded.balance",
		filled(balanceFields(&k, &change), len(keys), func(i int) { k, change = keys[i], changes[keys[i]] }))
}

// accountsOf are the users' accounts that a transaction posts to.
func accountsOf(t *billing.Transaction) (keys []balanceKey) {
	for _, p := range t.Postings {
		if p.Account == billing.AccountCustomer {
			keys = append(keys, balanceKey{p.UserID, t.Currency})
		}
	}
	return keys
}

// PostTransaction writes a transaction into the ledger, and reports whether it did:
// one whose ID is there already is not written again.
func (s *Store) PostTransaction(ctx context.Context, t *billing.Transaction) (posted bool, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		posted = false
		if err := tx.lockBalances(ctx, accountsOf(t)); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM ledger_transactions WHERE id = $1)", t.ID.String()).Scan(flag{&there}); err != nil || there {
			return err
		}
		if err := tx.post(ctx, []billing.Transaction{*t}); err != nil {
			return retryOnUnique(err)
		}
		posted = true
		return tx.recordFields(ctx, "ledger.post", "ledger_transaction", t.ID, string(t.Kind), nil, transactionFields(t), "ledger.posted")
	})
	return posted, s.failed("post to the ledger", err)
}

// Balance returns what a user owes in a currency; negative: what the ledger holds for
// the user.
func (s *Store) Balance(ctx context.Context, userID uuid.UUID, currency billing.Currency) (balance billing.Amount, err error) {
	err = s.reader.QueryRowContext(ctx, "SELECT balance FROM ledger_balances WHERE user_id = $1 AND currency = $2", userID.String(), term(&currency)).
		Scan(money(&balance))
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return balance, s.failed("read balance", err)
}

// Balances returns what a user owes, by currency.
func (s *Store) Balances(ctx context.Context, userID uuid.UUID) (map[billing.Currency]billing.Amount, error) {
	list := map[billing.Currency]billing.Amount{}
	var k balanceKey
	var balance billing.Amount
	fields := balanceFields(&k, &balance)
	err := eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM ledger_balances WHERE user_id = $1", []any{userID.String()}, targets(fields), func() error {
		list[k.currency] = balance
		return nil
	})
	return list, s.failed("read balances", err)
}

var statementLists = lister[billing.StatementEntry]{
	name: "statement", sorts: billing.StatementSorts(),
	keys: map[string]sortKey[billing.StatementEntry]{"at": timeKey("ledger_postings.at", func(e *billing.StatementEntry) time.Time { return e.At })},
	id:   idKey("transaction_id", func(e *billing.StatementEntry) uuid.UUID { return e.TransactionID }),
}

// accountFields are of ledger_postings joined with ledger_transactions.
func accountFields(e *billing.StatementEntry) []field {
	return []field{
		{"transaction_id", id{&e.TransactionID}},
		{"posting", whole[int]{&e.Posting}},
		{"ledger_postings.at", moment{&e.At}},
		{"kind", term(&e.Kind)},
		{"ledger_postings.currency", term(&e.Currency)},
		{"amount", money(&e.Amount)},
		{"subject_id", nullID{&e.SubjectID}},
		{"memo", text{&e.Memo}},
	}
}

func accountConditions(filter billing.StatementFilter) (c conditions) {
	c.add("ledger_postings.user_id = $%d", filter.UserID.String())
	if filter.Currency != "" {
		c.add("ledger_postings.currency = $%d", term(&filter.Currency))
	}
	c.span("ledger_postings.at", filter.From, filter.Before)
	return c
}

const accountTables = "ledger_postings JOIN ledger_transactions ON ledger_transactions.id = transaction_id"

// StatementPage returns a page of the postings to a user's accounts, the latest first,
// with what was owed after each, and the cursor of the next page; empty: there is none.
// It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) StatementPage(ctx context.Context, filter billing.StatementFilter, page aaa.Page) (list []billing.StatementEntry, next string, err error) {
	p, err := statementLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("statement", err)
	}
	// A transaction has no more than one posting to an account of a user.
	rest, args := p.rest(accountConditions(filter))
	err = s.read(ctx, func(tx *sql.Tx) error {
		var e billing.StatementEntry
		fields := accountFields(&e)
		err := eachRow(ctx, tx, "SELECT "+names(fields)+" FROM "+accountTables+rest, s.planned(args), targets(fields), func() error {
			list = append(list, e)
			return nil
		})
		if err != nil {
			return err
		}
		list, next = p.page(list)
		return addBalances(ctx, tx, filter.UserID, list, p.descending)
	})
	if err != nil {
		return nil, "", s.listFailed("statement", err)
	}
	return list, next, nil
}

// StatementBalances returns what a user owed, by currency, before the first posting that
// the filter selects, and after the last one.
func (s *Store) StatementBalances(ctx context.Context, filter billing.StatementFilter) (opening, closing map[billing.Currency]billing.Amount, err error) {
	sums := func(tx *sql.Tx, before time.Time) (map[billing.Currency]billing.Amount, error) {
		c := accountConditions(billing.StatementFilter{UserID: filter.UserID, Currency: filter.Currency, Before: before})
		list := map[billing.Currency]billing.Amount{}
		var currency billing.Currency
		var sum billing.Amount
		err := eachRow(ctx, tx, "SELECT currency, CAST(sum(amount) AS bigint) FROM ledger_postings"+c.where()+" GROUP BY currency", c.args,
			[]any{term(&currency), money(&sum)}, func() error {
				list[currency] = sum
				return nil
			})
		return list, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		opening = map[billing.Currency]billing.Amount{}
		if !filter.From.IsZero() {
			if opening, err = sums(tx, filter.From); err != nil {
				return err
			}
		}
		if closing, err = sums(tx, filter.Before); err != nil {
			return err
		}
		for currency := range closing {
			opening[currency] += 0 // the same currencies in both
		}
		return nil
	})
	return opening, closing, s.failed("read the balances of a statement", err)
}

// addBalances computes what a user owed after each entry: the sum of what was posted until
// the first entry of each currency, and what came after it.
func addBalances(ctx context.Context, tx *sql.Tx, userID uuid.UUID, list []billing.StatementEntry, descending bool) error {
	sums := map[billing.Currency]billing.Amount{}
	for n := range list {
		e := &list[n]
		if descending {
			e = &list[len(list)-1-n]
		}
		sum, known := sums[e.Currency]
		if !known {
			err := tx.QueryRowContext(ctx, `SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM ledger_postings
				WHERE user_id = $1 AND currency = $2 AND (at, transaction_id) < ($3, $4)`,
				userID.String(), term(&e.Currency), moment{&e.At}, e.TransactionID.String()).Scan(money(&sum))
			if err != nil {
				return err
			}
		}
		sum += e.Amount
		e.Balance, sums[e.Currency] = sum, sum
	}
	return nil
}

var transactionLists = lister[billing.Transaction]{
	name: "transactions", sorts: billing.TransactionSorts(),
	keys: map[string]sortKey[billing.Transaction]{"at": timeKey("at", func(t *billing.Transaction) time.Time { return t.At })},
	id:   idKey("id", func(t *billing.Transaction) uuid.UUID { return t.ID }),
}

func transactionConditions(filter billing.TransactionFilter) (c conditions) {
	if filter.Kind != "" {
		c.add("kind = $%d", term(&filter.Kind))
	}
	if filter.SubjectID != uuid.Nil {
		c.add("subject_id = $%d", filter.SubjectID.String())
	}
	if filter.UserID != uuid.Nil {
		c.add("id IN (SELECT transaction_id FROM ledger_postings WHERE user_id = $%d)", filter.UserID.String())
	}
	if filter.Account != "" {
		c.add("EXISTS (SELECT 1 FROM ledger_postings p WHERE p.transaction_id = ledger_transactions.id AND p.account = $%d)", term(&filter.Account))
	}
	c.span("at", filter.From, filter.Before)
	return c
}

// ListTransactionsPage returns a page of the ledger's transactions with their postings, and
// the cursor of the next page; empty: there is none. It fails with aaa.ErrBadCursor and
// aaa.ErrBadSort.
func (s *Store) ListTransactionsPage(ctx context.Context, filter billing.TransactionFilter, page aaa.Page) (list []billing.Transaction, next string, err error) {
	p, err := transactionLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("transactions", err)
	}
	rest, args := p.rest(transactionConditions(filter))
	err = s.read(ctx, func(tx *sql.Tx) error {
		var t billing.Transaction
		fields := transactionFields(&t)
		err := eachRow(ctx, tx, "SELECT "+names(fields)+" FROM ledger_transactions"+rest, s.planned(args), targets(fields), func() error {
			list = append(list, t)
			return nil
		})
		if err != nil {
			return err
		}
		list, next = p.page(list)
		return s.readPostings(ctx, tx, list)
	})
	if err != nil {
		return nil, "", s.listFailed("transactions", err)
	}
	return list, next, nil
}

func (s *Store) readPostings(ctx context.Context, tx *sql.Tx, list []billing.Transaction) error {
	ids, place := make([]uuid.UUID, len(list)), make(map[uuid.UUID]*billing.Transaction, len(list))
	for i := range list {
		ids[i], place[list[i].ID] = list[i].ID, &list[i]
	}
	chunks := &writeTx{Tx: tx, postgres: s.pool != nil}
	var p postingRow
	fields := postingFields(&p)
	return eachChunk(chunks, "transaction_id", "uuid", texts(ids), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM ledger_postings WHERE "+which+" ORDER BY transaction_id, posting", args, targets(fields), func() error {
			t := place[p.transactionID]
			t.Postings = append(t.Postings, p.Posting)
			return nil
		})
	})
}

// TrialBalance returns the sum of each account of the ledger, in a currency, of the
// postings before a time; zero: of all.
func (s *Store) TrialBalance(ctx context.Context, before time.Time) (list []billing.AccountBalance, err error) {
	var c conditions
	c.span("at", time.Time{}, before)
	var b billing.AccountBalance
	err = eachRow(ctx, s.reader, "SELECT account, currency, CAST(sum(amount) AS bigint) FROM ledger_postings"+c.where()+" GROUP BY account, currency ORDER BY currency, account",
		c.args, []any{term(&b.Account), term(&b.Currency), money(&b.Balance)}, func() error {
			list = append(list, b)
			return nil
		})
	if err != nil {
		return nil, s.failed("read the trial balance", err)
	}
	return list, nil
}

// checks of the ledger: each finds what must not be, and says so.
var ledgerChecks = []struct{ query, complaint string }{
	{`SELECT CAST(transaction_id AS text), CAST(sum(amount) AS text) FROM ledger_postings GROUP BY transaction_id HAVING sum(amount) <> 0`,
		"the postings of transaction %s add up to %s"},
	{`SELECT CAST(p.transaction_id AS text), p.currency FROM ledger_postings p JOIN ledger_transactions t ON t.id = p.transaction_id
		WHERE p.currency <> t.currency OR p.at <> t.at`,
		"a posting of transaction %s has another currency (%s) or time"},
	{`SELECT CAST(t.id AS text), t.kind FROM ledger_transactions t WHERE NOT EXISTS (SELECT 1 FROM ledger_postings p WHERE p.transaction_id = t.id)`,
		"transaction %s (%s) has no postings"},
	{`SELECT CAST(coalesce(b.user_id, p.user_id) AS text), coalesce(CAST(p.sum AS text), '0') || ' ' || coalesce(b.currency, p.currency) || ', the balance says ' || coalesce(CAST(b.balance AS text), 'nothing')
		FROM ledger_balances b FULL JOIN (SELECT user_id, currency, sum(amount) AS sum FROM ledger_postings WHERE user_id IS NOT NULL GROUP BY user_id, currency) p
		ON p.user_id = b.user_id AND p.currency = b.currency WHERE coalesce(b.balance, 0) <> coalesce(p.sum, 0)`,
		"the postings of user %s add up to %s"},
	{`SELECT CAST(i.id AS text), CAST(i.paid AS text) || ', allocated ' || CAST(coalesce(a.sum, 0) AS text)
		FROM invoices i LEFT JOIN (SELECT invoice_id, sum(amount) AS sum FROM payment_allocations GROUP BY invoice_id) a ON a.invoice_id = i.id
		WHERE i.kind = 'invoice' AND i.paid <> coalesce(a.sum, 0)`,
		"invoice %s says paid %s"},
	{`SELECT CAST(i.id AS text), CAST(i.paid AS text) || ', allocated ' || CAST(coalesce(a.sum, 0) AS text)
		FROM invoices i LEFT JOIN (SELECT subject_id, sum(amount) AS sum FROM payment_allocations WHERE subject_kind = 'credit_note' GROUP BY subject_id) a ON a.subject_id = i.id
		WHERE i.kind = 'credit_note' AND i.paid <> coalesce(a.sum, 0)`,
		"credit note %s says allocated %s"},
	{`SELECT CAST(p.id AS text), CAST(p.rest AS text) || ' of ' || CAST(p.amount AS text)
		FROM payments p LEFT JOIN (SELECT subject_id, sum(amount) AS sum FROM payment_allocations WHERE subject_kind = 'payment' GROUP BY subject_id) a ON a.subject_id = p.id
		LEFT JOIN (SELECT refunds, sum(amount) AS sum FROM payments WHERE refunds IS NOT NULL GROUP BY refunds) r ON r.refunds = p.id
		WHERE p.refunds IS NULL AND p.rest <> p.amount - coalesce(a.sum, 0) - coalesce(r.sum, 0) - p.expired`,
		"payment %s says that %s are left"},
	{`SELECT CAST(id AS text), state FROM invoices WHERE paid < 0 OR paid > total OR total < 0 OR net + tax <> total
		OR state = 'paid' AND paid <> total OR state = 'issued' AND paid = total OR state IN ('draft', 'void') AND paid <> 0`,
		"invoice %s cannot be %s"},
	{`SELECT CAST(i.id AS text), coalesce(i.number, '') FROM invoices i
		LEFT JOIN (SELECT invoice_id, sum(net) AS net FROM invoice_lines GROUP BY invoice_id) l ON l.invoice_id = i.id
		LEFT JOIN (SELECT invoice_id, sum(net) AS net, sum(tax) AS tax FROM invoice_taxes GROUP BY invoice_id) x ON x.invoice_id = i.id
		WHERE i.net <> coalesce(l.net, 0) OR i.net <> coalesce(x.net, 0) OR i.tax <> coalesce(x.tax, 0)`,
		"the lines or taxes of invoice %s (%s) do not add up"},
	{`SELECT s.series, CAST(s.last AS text) || ', there are ' || CAST(coalesce(i.n, 0) AS text) || ' up to ' || CAST(coalesce(i.last, 0) AS text)
		FROM invoice_series s LEFT JOIN (SELECT series, count(*) AS n, max(sequence) AS last FROM invoices WHERE sequence IS NOT NULL GROUP BY series) i ON i.series = s.series
		WHERE s.last <> coalesce(i.n, 0) OR s.last <> coalesce(i.last, 0)`,
		"the numbers of the series %s have gaps: the last one is %s"},
	{`SELECT CAST(i.id AS text), coalesce(i.number, '') FROM invoices i LEFT JOIN (SELECT t.subject_id, sum(p.amount) AS sum FROM ledger_transactions t
			JOIN ledger_postings p ON p.transaction_id = t.id AND p.account = 'customer' WHERE t.kind IN ('invoice', 'credit_note', 'void') GROUP BY t.subject_id) p ON p.subject_id = i.id
		WHERE coalesce(p.sum, 0) <> CASE WHEN i.state IN ('draft', 'void') THEN 0 WHEN i.kind = 'credit_note' THEN -i.total ELSE i.total END`,
		"what is posted for invoice %s (%s) is not its total"},
	{`SELECT CAST(l.charge_id AS text), CAST(l.invoice_id AS text) FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id LEFT JOIN charges c ON c.id = l.charge_id
		WHERE l.charge_id IS NOT NULL AND i.corrects IS NULL AND (c.invoice_id IS NULL OR c.invoice_id <> l.invoice_id)`,
		"charge %s stands on invoice %s, and does not know it"},
	{`SELECT CAST(c.id AS text), CAST(c.invoice_id AS text) FROM charges c
		WHERE c.invoice_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM invoice_lines l WHERE l.invoice_id = c.invoice_id AND l.charge_id = c.id)`,
		"charge %s is not on invoice %s"},
	{`SELECT CAST(b.user_id AS text), CAST(b.balance AS text) || ' ' || b.currency || ', open less credit are ' || CAST(coalesce(sum(d.amount), 0) AS text)
		FROM ledger_balances b LEFT JOIN (` + documentsOpen + `) d ON d.user_id = b.user_id AND d.currency = b.currency
		GROUP BY b.user_id, b.currency, b.balance HAVING b.balance <> coalesce(sum(d.amount), 0)`,
		"the balance of user %s is %s"},
	{`SELECT CAST(d.user_id AS text), d.currency FROM (` + documentsOpen + `) d GROUP BY d.user_id, d.currency HAVING min(d.amount) < 0 AND max(d.amount) > 0`,
		"user %s has credit in %s beside an open invoice"},
	{`SELECT CAST(i.id AS text), CAST(coalesce(a.sum, 0) AS text) || ', the ledger ' || CAST(coalesce(p.sum, 0) AS text)
		FROM invoices i LEFT JOIN (SELECT invoice_id, sum(amount) AS sum FROM payment_allocations WHERE subject_kind = 'write_off' GROUP BY invoice_id) a ON a.invoice_id = i.id
		LEFT JOIN (SELECT t.subject_id, sum(p.amount) AS sum FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id AND p.account = 'bad_debt' GROUP BY t.subject_id) p
		ON p.subject_id = i.id WHERE coalesce(a.sum, 0) <> coalesce(p.sum, 0) OR a.sum < 0`,
		"invoice %s says written off %s"},
}

// documentsOpen is what users owe by their invoices, and negative what they have.
const documentsOpen = `SELECT user_id, currency, CASE WHEN kind = 'invoice' THEN total - paid ELSE paid - total END AS amount FROM invoices WHERE state = 'issued'
	UNION ALL SELECT user_id, currency, -rest FROM payments WHERE rest > 0`

// maxComplaints bounds what CheckLedger tells of each kind.
const maxComplaints = 20

// CheckLedger computes again what is kept beside the ledger, in one state of the
// database: that transactions add up to zero, users' balances, also by what is open, what is
// paid of invoices and left of payments, that nobody has credit beside an open invoice, that numbers have no gaps and that invoices are made of their
// charges. It returns what is wrong, in words; nothing: all is right.
func (s *Store) CheckLedger(ctx context.Context) (complaints []string, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		for _, check := range ledgerChecks {
			var a, b string
			err := eachRow(ctx, tx, check.query+fmt.Sprintf(" LIMIT %d", maxComplaints), nil, []any{&a, &b}, func() error {
				complaints = append(complaints, fmt.Sprintf(check.complaint, a, b))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, s.failed("check the ledger", err)
	}
	return complaints, nil
}
