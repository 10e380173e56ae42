// Package bank reads bank statements and finds out which invoices the money in them
// pays.
//
// [CAMT] reads CAMT.053, the statement of ISO 20022 in XML, and [CSV] what banks export
// for spreadsheets. Both go through the file as a stream: a statement of any length
// takes the memory of one of its entries. An entry that is wrong is reported with its
// line ([EntryError]), and the others go on.
//
// [Entry.Reference] names an entry for good, so a statement that is imported twice, or
// that overlaps with another, books nothing twice. [Match] names the invoices that an
// entry pays, says in words why, and leaves to a person what it could only guess.
package bank
