package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"radiusd/aaa"
)

// Kind is the type of a parameter.
type Kind string

// The types of parameters, with the texts that they take.
const (
	KindTime    Kind = "time"    // 2026-11-30, a time in RFC 3339, or a word: now, today, yesterday, tomorrow, week, month
	KindSpan    Kind = "span"    // 15m, 1h, 1d
	KindCount   Kind = "count"   // a whole number, 0 or greater
	KindChoice  Kind = "choice"  // one of Choices
	KindAddress Kind = "address" // an IP address
	KindText    Kind = "text"
)

// Parameter is what a report can be asked with.
type Parameter struct {
	Name        string
	Kind        Kind
	Choices     []string // of KindChoice
	Default     string   // empty: none
	Required    bool
	Positional  bool   // on a command line, an argument and not a flag
	Placeholder string // what stands for the value in a usage line
	Says        string
}

// Arguments are the texts of a report's parameters by name. What is empty or
// missing is at its default.
type Arguments map[string]string

// ArgumentError is an argument that a report does not take.
type ArgumentError struct {
	Parameter string // empty: the arguments do not go together
	Message   string
}

func (e *ArgumentError) Error() string {
	if e.Parameter == "" {
		return e.Message
	}
	return e.Parameter + ": " + e.Message
}

// arguments reads the texts of one report's parameters, and keeps the first error.
type arguments struct {
	report *Report
	given  Arguments
	zone   *time.Location
	now    time.Time
	err    error
}

func (a *arguments) fail(name, format string, args ...any) {
	if a.err == nil {
		a.err = &ArgumentError{name, fmt.Sprintf(format, args...)}
	}
}

// text returns an argument or its default; empty if the report has no such
// parameter.
func (a *arguments) text(name string) string {
	p, _ := a.report.Parameter(name)
	text := a.given[name]
	if text == "" {
		text = p.Default
	}
	if text == "" && p.Required {
		a.fail(name, "is missing")
	}
	return text
}

func (a *arguments) choice(name string) string {
	text := a.text(name)
	if p, _ := a.report.Parameter(name); !slices.Contains(p.Choices, text) {
		a.fail(name, "%q is not one of %s", text, strings.Join(p.Choices, ", "))
	}
	return text
}

func (a *arguments) count(name string) int {
	text := a.text(name)
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		a.fail(name, "%q is not a whole number, 0 or greater", text)
	}
	return int(n)
}

// moment reads a time; zero if there is none.
func (a *arguments) moment(name string) time.Time {
	text := a.text(name)
	if text == "" {
		return time.Time{}
	}
	today := aaa.StartOfDay(a.now, a.zone)
	switch text {
	case "now":
		return a.now.UTC().Truncate(time.Microsecond)
	case "today":
		return today
	case "yesterday":
		return aaa.StartOfDay(today.Add(-12*time.Hour), a.zone)
	case "tomorrow":
		return aaa.NextDay(today, a.zone)
	case "week":
		return aaa.StartOfDate(today.Year(), today.Month(), today.Day()-daysSinceMonday(today), a.zone)
	case "month":
		return aaa.StartOfDate(today.Year(), today.Month(), 1, a.zone)
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return aaa.StartOfDate(day.Year(), day.Month(), day.Day(), a.zone)
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		a.fail(name, "%q is neither a day, like 2026-12-31, nor a time in RFC 3339, nor one of now, today, yesterday, tomorrow, week (its Monday) and month (its first day)", text)
	}
	return at.UTC().Truncate(time.Microsecond)
}

// span reads a duration greater than zero; days are 24 hours.
func (a *arguments) span(name string) time.Duration {
	text := a.text(name)
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d <= 0 {
		a.fail(name, "%q is not a span of time: want 15m, 1h or 1d", text)
	}
	return d
}

// address reads an IP address; zero if there is none.
func (a *arguments) address(name string) netip.Addr {
	text := a.text(name)
	if text == "" {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		a.fail(name, "%q is not an IP address", text)
	}
	return address.Unmap()
}

// ordered checks the bounds of a time.
func (a *arguments) ordered(from, to time.Time) {
	if a.err == nil && !from.Before(to) {
		a.fail("to", "%s is not after %s, where the report begins", to.Format(time.RFC3339), from.Format(time.RFC3339))
	}
}

// spanOf reads from and to as the ends of a span.
func (a *arguments) spanOf(period Period) Span {
	s := Span{From: a.moment("from"), To: a.moment("to"), Period: period, Zone: a.zone}
	a.ordered(s.From, s.To)
	if a.err == nil {
		if _, err := s.Starts(); err != nil {
			a.fail("period", "%v", err)
		}
	}
	return s
}

// start returns the beginning of one of the report's periods.
func (a *arguments) start(at time.Time) Start {
	return Start{at.In(a.zone), Period(a.text("period"))}
}
