// Package report is the catalogue of radiusd's reports: what each is called and
// says, its parameters, and its columns with their units. It turns the texts of
// a command line or a request into typed queries, which a Source answers: the SQL
// store or ClickHouse.
//
// What sources have in common is here as well, so that they agree: the calendar
// (Span), the way from accounting records to usage (Meter, Tally) and from starts
// and stops to sessions at once (Gauge).
package report
