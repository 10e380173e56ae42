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
package billing
