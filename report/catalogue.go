package report

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Report is one of the catalogue.
type Report struct {
	Name       string
	Title      string // one line
	Text       string // what it counts, and how
	Examples   []string
	Parameters []Parameter
	columns    []Column
	run        func(ctx context.Context, source Source, a *arguments, fn func(Row) error) error
}

// Column describes one value of a report's rows.
type Column struct {
	Name string // as in JSON and CSV; it stays
	Unit Unit
	Says string
	// Detail is what a table for people can do without.
	Detail bool
	// only names what the argument by must be for the column to be there; empty:
	// it always is.
	only By
}

// Unit says what a column's values are.
type Unit string

// The units, with the Go types of the values.
const (
	UnitText    Unit = "text"    // string
	UnitTime    Unit = "time"    // time.Time; zero: none
	UnitStart   Unit = "start"   // Start
	UnitAddress Unit = "address" // netip.Addr or netip.Prefix; zero: none
	UnitID      Unit = "id"      // uuid.UUID
	UnitYesNo   Unit = "yes/no"  // bool
	UnitCount   Unit = "count"   // uint64
	UnitSeconds Unit = "seconds" // uint64
	UnitOctets  Unit = "octets"  // uint64
	UnitMoney   Unit = "money"   // Money, of the currency in the row
)

// Start is when a period begins.
type Start struct {
	At     time.Time
	Period Period
}

// String returns the time in RFC 3339 with the offset of its zone, and so its day
// there.
func (s Start) String() string { return s.At.Format(time.RFC3339) }

// Label returns what people call the period: its day or its month, if it begins
// with one.
func (s Start) Label() string {
	hour, minute, second := s.At.Clock()
	switch midnight := hour == 0 && minute == 0 && second == 0; {
	case s.Period == Month && midnight && s.At.Day() == 1:
		return s.At.Format("2006-01")
	case s.Period == Quarter && midnight && s.At.Day() == 1 && s.At.Month()%3 == 1:
		return fmt.Sprintf("%d-Q%d", s.At.Year(), (s.At.Month()+2)/3)
	case s.Period == Year && midnight && s.At.YearDay() == 1:
		return s.At.Format("2006")
	case s.Period != Hour && midnight:
		return s.At.Format(time.DateOnly)
	case second == 0:
		return s.At.Format("2006-01-02T15:04Z07:00")
	}
	return s.String()
}

// Row is a row of a report: one value for each of its columns, in their order.
type Row []any

// Environment is what a report's arguments are read in.
type Environment struct {
	Zone *time.Location // of days, weeks and months
	Now  time.Time
}

// Catalogue lists all reports in the order they are to be shown.
func Catalogue() []Report { return slices.Clone(catalogue) }

// Parameter returns a parameter of the report.
func (r *Report) Parameter(name string) (Parameter, bool) {
	n := slices.IndexFunc(r.Parameters, func(p Parameter) bool { return p.Name == name })
	if n < 0 {
		return Parameter{}, false
	}
	return r.Parameters[n], true
}

// Columns returns the columns of the rows that Run gives with the arguments.
func (r *Report) Columns(given Arguments) []Column {
	by := By(given["by"])
	if p, ok := r.Parameter("by"); ok && by == "" {
		by = By(p.Default)
	}
	columns := slices.DeleteFunc(slices.Clone(r.columns), func(c Column) bool { return c.only != "" && c.only != by })
	period := Period(given["period"])
	if p, ok := r.Parameter("period"); ok && period == "" {
		period = Period(p.Default)
	}
	for i := range columns {
		columns[i].Detail = columns[i].Detail || columns[i].Unit == UnitStart && period == Total
	}
	return columns
}

// AllColumns returns the columns that rows of the report can have.
func (r *Report) AllColumns() []Column { return slices.Clone(r.columns) }

// Check reads the arguments without running the report. The error is an
// *ArgumentError.
func (r *Report) Check(given Arguments, environment Environment) error {
	return r.Run(context.Background(), nil, given, environment, nil)
}

// Run runs the report on a source and calls fn for each row. An argument that is
// wrong is an *ArgumentError; other errors are the source's and fn's.
func (r *Report) Run(ctx context.Context, source Source, given Arguments, environment Environment, fn func(Row) error) error {
	a := &arguments{report: r, given: given, zone: environment.Zone, now: environment.Now}
	for name := range given {
		if _, ok := r.Parameter(name); !ok {
			return &ArgumentError{name, "the report " + r.Name + " has no such parameter"}
		}
	}
	return r.run(ctx, source, a, fn)
}

// Parameters that several reports have.
var (
	fromMonth    = Parameter{Name: "from", Kind: KindTime, Default: "month", Placeholder: "TIME", Says: "where the report begins"}
	toTomorrow   = Parameter{Name: "to", Kind: KindTime, Default: "tomorrow", Placeholder: "TIME", Says: "where it ends; that moment is not part of it"}
	onlyUser     = Parameter{Name: "user", Kind: KindText, Placeholder: "NAME", Says: "only this user"}
	onlyNAS      = Parameter{Name: "nas", Kind: KindAddress, Placeholder: "ADDRESS", Says: "only this NAS, by its NAS-IP-Address"}
	onlyPlan     = Parameter{Name: "plan", Kind: KindText, Placeholder: "NAME", Says: "only this plan"}
	usageColumns = []Column{
		{Name: "session_seconds", Unit: UnitSeconds, Says: "seconds online, of all sessions together"},
		{Name: "input_octets", Unit: UnitOctets, Says: "octets from the user"},
		{Name: "output_octets", Unit: UnitOctets, Says: "octets to the user"},
		{Name: "octets", Unit: UnitOctets, Says: "both together"},
	}
)

func periodOr(standard Period) Parameter {
	return Parameter{Name: "period", Kind: KindChoice, Default: string(standard), Placeholder: "PERIOD",
		Choices: []string{string(Total), string(Hour), string(Day), string(Week), string(Month)}, Says: "how the time is divided"}
}

func byOr(standard By, others ...By) Parameter {
	p := Parameter{Name: "by", Kind: KindChoice, Default: string(standard), Placeholder: "WHAT", Says: "what the rows are of"}
	for _, by := range append([]By{standard}, others...) {
		p.Choices = append(p.Choices, string(by))
	}
	return p
}

func limitOr(standard, says string) Parameter {
	return Parameter{Name: "limit", Kind: KindCount, Default: standard, Placeholder: "N", Says: says}
}

// keyColumns are the column of what the rows are of.
var keyColumns = []Column{
	{Name: "username", Unit: UnitText, only: ByUser},
	{Name: "nas_ip", Unit: UnitText, only: ByNAS, Says: "NAS-IP-Address if it was sent, else the source address"},
	{Name: "plan", Unit: UnitText, only: ByPlan, Says: "empty: none"},
}

var startColumn = Column{Name: "start", Unit: UnitStart, Says: "when the period began"}
