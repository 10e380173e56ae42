package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
)

// billingEraser takes from the books who a user was. What was sold, for how much, when,
// under which numbers, and what was paid stays, as the law wants it: under a pseudonym.
type billingEraser struct {
	tx        *writeTx
	userID    uuid.UUID
	pseudonym string
	words     *regexp.Regexp // what tells of the person in free texts
}

// eraseBilling pseudonymises what billing has of a user, whose profile must still be
// there.
func eraseBilling(ctx context.Context, tx *writeTx, userID uuid.UUID, pseudonym string, names []heldName) error {
	b := &billingEraser{tx: tx, userID: userID, pseudonym: pseudonym}
	var known []string
	for _, n := range names {
		known = append(known, n.Name)
	}
	var p aaa.Profile
	fields := []any{&p.FullName, &p.Email, &p.Phone, &p.Address}
	err := eachRow(ctx, tx, "SELECT full_name, email, phone, address FROM user_profiles WHERE user_id = $1", []any{userID.String()}, fields, func() error {
		known = append(append(known, p.FullName, p.Email, p.Phone, p.Address), strings.Fields(p.FullName)...)
		return nil
	})
	if err != nil {
		return err
	}
	invoices, err := invoicesWhere(ctx, tx, "WHERE user_id = $1 ORDER BY id", []any{userID.String()})
	if err != nil {
		return err
	}
	for _, i := range invoices {
		known = append(append(known, i.Buyer.Name, i.Buyer.Email, i.Buyer.Phone, i.Buyer.Address, i.Buyer.TaxID, i.Buyer.Username), strings.Fields(i.Buyer.Name)...)
	}
	b.words = wordsOf(known)
	if err := b.invoices(ctx, invoices); err != nil {
		return err
	}
	if err := b.payments(ctx); err != nil {
		return err
	}
	if err := b.equalEntries(ctx); err != nil {
		return err
	}
	if err := b.mails(ctx); err != nil {
		return err
	}
	for _, texts := range []struct{ table, key, column, which string }{
		{"charges", "id", "description", "user_id = $1 AND kind = 'manual'"},
		{"invoice_lines", "invoice_id, line", "description", "invoice_id IN (SELECT id FROM invoices WHERE user_id = $1) AND charge_id IN (SELECT id FROM charges WHERE user_id = $1 AND kind = 'manual')"},
		{"order_history", "order_id, entry", "note", "order_id IN (SELECT id FROM orders WHERE user_id = $1)"},
		{"billing_run_failures", "run_id, user_id", "error", "user_id = $1"},
	} {
		if err := b.texts(ctx, texts.table, texts.key, texts.column, texts.which); err != nil {
			return err
		}
	}
	return nil
}

// shortestWord is how long a text is at least that is looked for in others.
const shortestWord = 3

// wordsOf matches any of the texts, as whole words, in any case; nil: there are none.
func wordsOf(texts []string) *regexp.Regexp {
	var list []string
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if line = strings.Trim(line, " \r\n\t,.;:"); utf8.RuneCountInString(line) >= shortestWord {
				list = append(list, line)
			}
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	list = slices.Compact(list)
	if len(list) == 0 {
		return nil
	}
	for i := range list {
		list[i] = regexp.QuoteMeta(list[i])
	}
	return regexp.MustCompile(`(?i)(^|[^\pL\pN])(?:` + strings.Join(list, "|") + `)($|[^\pL\pN])`)
}

// without returns a text with the pseudonym in place of what tells of the person.
func (b *billingEraser) without(text string) string {
	if b.words == nil {
		return text
	}
	for range 2 { // neighbours share what is between them
		text = b.words.ReplaceAllString(text, "${1}"+b.pseudonym+"${2}")
	}
	return text
}

// invoices takes the buyer from invoices.
func (b *billingEraser) invoices(ctx context.Context, invoices []*invoiceRow) error {
	for _, i := range invoices {
		buyer := billing.Party{Name: b.pseudonym, Username: b.pseudonym, Country: i.Buyer.Country}
		note := b.without(i.Note)
		if _, err := b.tx.ExecContext(ctx, "UPDATE invoices SET buyer = $2, note = $3 WHERE id = $1", i.ID.String(), structured[billing.Party]{&buyer}, text{&note}); err != nil {
			return err
		}
	}
	return nil
}

// mails takes the addresses from mails; those that wait are not sent any more.
func (b *billingEraser) mails(ctx context.Context) error {
	_, err := b.tx.ExecContext(ctx, `UPDATE billing_mails SET recipient = CASE WHEN recipient = '' THEN '' ELSE $2 || ' ' || CAST(id AS text) END, error = '',
		state = CASE WHEN state IN ('waiting', 'sending') THEN 'dropped' ELSE state END, next_at = NULL WHERE user_id = $1`, b.userID.String(), b.pseudonym)
	return err
}

// payments blanks the notes of payments, in which banks say who has paid, and references
// that tell of the person.
func (b *billingEraser) payments(ctx context.Context) error {
	var p paymentRow
	fields := paymentFields(&p)
	var list []paymentRow
	err := eachRow(ctx, b.tx, "SELECT "+names(fields)+" FROM payments WHERE user_id = $1 ORDER BY id", []any{b.userID.String()}, targets(fields), func() error {
		list = append(list, p)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range list {
		p := &list[i]
		if b.without(p.Reference) != p.Reference {
			p.Reference = erasedReference(p.Provider, p.Reference)
		}
		if _, err := b.tx.ExecContext(ctx, "UPDATE payments SET note = '', reference = $2 WHERE id = $1", p.ID.String(), text{&p.Reference}); err != nil {
			return err
		}
	}
	return nil
}

// equalEntries blanks entries of bank statements that equal one of the user's: they may be
// the same payment, which another statement has as well, so that they are nobody's.
func (b *billingEraser) equalEntries(ctx context.Context) error {
	var reference string
	var own []string
	err := eachRow(ctx, b.tx, "SELECT reference FROM bank_entries WHERE user_id = $1", []any{b.userID.String()}, []any{text{&reference}}, func() error {
		own = append(own, reference)
		return nil
	})
	if err != nil {
		return err
	}
	for _, reference := range own {
		equal := bank.EqualOf(reference)
		if equal == "" {
			continue
		}
		from, before := equalReferences(equal)
		_, err := b.tx.ExecContext(ctx, `UPDATE bank_entries SET name = '', iban = '', remittance = '', end_to_end_id = '',
			reason = CASE WHEN state = 'unmatched' THEN reason ELSE '' END WHERE user_id IS NULL AND reference >= $1 AND reference < $2`, text{&from}, text{&before})
		if err != nil {
			return err
		}
	}
	return nil
}

// erasedReference stands for a reference that told of a person: one that is reported again
// is known by it.
func erasedReference(provider, reference string) string {
	sum := sha256.Sum256([]byte(provider + "\x00" + reference))
	return pseudonymPrefix + hex.EncodeToString(sum[:16])
}

// texts takes what tells of the person from a column of free texts.
func (b *billingEraser) texts(ctx context.Context, table, key, column, which string) error {
	keys := strings.Split(key, ", ")
	row := make([]string, len(keys))
	var value string
	var dest []any
	columns := ""
	for i := range keys {
		columns += "CAST(" + keys[i] + " AS text), "
		dest = append(dest, &row[i])
	}
	type change struct {
		key  []string
		text string
	}
	var changes []change
	err := eachRow(ctx, b.tx, "SELECT "+columns+column+" FROM "+table+" WHERE "+which, []any{b.userID.String()}, append(dest, text{&value}), func() error {
		if text := b.without(value); text != value {
			changes = append(changes, change{slices.Clone(row), text})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, x := range changes {
		c := conditions{args: []any{text{&x.text}}}
		for i := range keys {
			c.add("CAST("+keys[i]+" AS text) = $%d", x.key[i])
		}
		if _, err := b.tx.ExecContext(ctx, "UPDATE "+table+" SET "+column+" = $1"+c.where(), c.args...); err != nil {
			return err
		}
	}
	return nil
}
