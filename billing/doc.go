// Package billing turns what subscribers have bought and used into money: charges,
// invoices, payments and a ledger in which all of it balances.
//
// It is rules without a database. A billing run asks a store for accounts, computes
// for each what is due ([Compute]) and hands the result back, which the store writes
// in the transaction that it read the account in. So a run that is killed is as if the
// accounts it had not finished had not been looked at.
//
// Amounts are whole minor units of a currency (cents), rates are exact decimals, and
// there is one rule of rounding ([Decimal.Of]): to the nearest minor unit, halves away
// from zero. Days are civil days in the configured time zone ([Date]): a day of 23
// or 25 hours is a day.
//
// # Rules that a reader may wonder about
//
// The price of a part of a period is what the price is up to its last day less what it was
// up to its first, each rounded once; usage is rated in the same way. So parts add up to
// the whole however it was cut, and a credit is what was charged less what was had.
//
// Postpaid usage is charged some days after its period is over (SettleDays), late records
// as adjustments. Someone suspended by dunning goes on paying the price: the contract goes
// on. Who has two subscriptions with usage terms at once is charged for the usage by both.
//
// A prepaid subscription is charged day by day while there is credit, so that the credit
// tells at any time what is left; a day that there is no credit for is not served, and
// free. The charges come on one invoice when the period is over, which the credit pays: an
// invoice a day helps nobody, and one for a top-up would be about money, not about what
// was supplied. Its prices include the tax, as they are what leaves the credit. What a
// prepaid user can spend is the ledger's credit less the charges on no invoice yet.
//
// Charges that add up to no more than nothing wait for the next invoice. If the user has
// no subscription that goes on, they become a credit note, so nobody waits for money.
package billing
