package report

import (
	"context"
	"slices"
	"time"
)

var catalogue = []Report{
	{
		Name:  "usage",
		Title: "Usage by user, NAS or plan",
		Text: `What was used, by user, NAS or plan. What a session used from one accounting
record to the next is spread evenly over that time, and so divided where a period
begins; it belongs to the plan that the user had when the later record came.

By user and whole days the store answers from usage_daily, which has also what was
used in records that have been deleted since. Otherwise usage is worked out from
the records, as far as they are kept. ClickHouse answers from its rollups.`,
		Examples: []string{
			"usage",
			"usage --by nas --period day --from 2026-11-01 --to 2026-12-01",
			"usage --user alice --period hour --from yesterday",
			"usage --by plan --period month --from 2026-01-01 -o csv",
		},
		Parameters: []Parameter{byOr(ByUser, ByNAS, ByPlan), periodOr(Total), fromMonth, toTomorrow, onlyUser, onlyNAS, onlyPlan,
			limitOr("1000", "at most so many users, NASes or plans, those with the most octets first; 0 for all, by name")},
		columns: slices.Concat([]Column{startColumn}, keyColumns, usageColumns),
		run: func(ctx context.Context, source Source, a *arguments, fn func(Row) error) error {
			return runUsage(ctx, source, a, By(a.choice("by")), Period(a.choice("period")), func(u Usage) error {
				return fn(append(Row{a.start(u.Start), u.Key}, usageValues(u)...))
			})
		},
	},
	{
		Name:  "top-users",
		Title: "The users with the most traffic",
		Text: `The users that have used most octets, both directions together, the most first. It
counts as usage does.`,
		Examples:   []string{"top-users", "top-users --from yesterday --to today --limit 10", "top-users --nas 192.0.2.1"},
		Parameters: []Parameter{fromMonth, toTomorrow, onlyNAS, onlyPlan, limitOr("20", "at most so many users; 0 for all, by name")},
		columns:    slices.Concat([]Column{{Name: "username", Unit: UnitText}}, usageColumns),
		run: func(ctx context.Context, source Source, a *arguments, fn func(Row) error) error {
			return runUsage(ctx, source, a, ByUser, Total, func(u Usage) error {
				return fn(append(Row{u.Key}, usageValues(u)...))
			})
		},
	},
	{
		Name:  "concurrent",
		Title: "Sessions that were open at once",
		Text: `How many sessions were open at the beginning of each step, and the most that were
open at one moment within it. Steps are equally long. A session without a Stop is
open until its stop is inferred, and then counts until its last sign of life.

ClickHouse knows records only: a session without a Stop counts until its last
record, or as open if that is less than a day old.`,
		Examples: []string{
			"concurrent",
			"concurrent --from 2026-11-01 --to 2026-11-08 --step 1h",
			"concurrent --nas 192.0.2.1 --step 5m -o csv",
		},
		Parameters: []Parameter{
			{Name: "from", Kind: KindTime, Default: "today", Placeholder: "TIME", Says: "where the report begins"},
			{Name: "to", Kind: KindTime, Default: "now", Placeholder: "TIME", Says: "where it ends, at the latest now"},
			{Name: "step", Kind: KindSpan, Default: "1h", Placeholder: "SPAN", Says: "how long each step is, as in 5m, 1h or 1d"},
			onlyUser, onlyNAS,
		},
		columns: []Column{
			{Name: "at", Unit: UnitStart, Says: "when the step begins"},
			{Name: "sessions", Unit: UnitCount, Says: "open at that moment"},
			{Name: "most", Unit: UnitCount, Says: "open at once within the step"},
		},
		run: func(ctx context.Context, source Source, a *arguments, fn func(Row) error) error {
			q := ConcurrentQuery{Step: a.span("step"), User: a.text("user"), NAS: a.address("nas")}
			q.From, q.To = a.moment("from"), a.moment("to")
			if now := a.now.UTC().Truncate(time.Microsecond); q.To.After(now) {
				q.To = now
			}
			a.ordered(q.From, q.To)
			if err := q.Check(); err != nil {
				a.fail("step", "%v", err)
			}
			if a.err != nil || source == nil {
				return a.err
			}
			return source.Concurrent(ctx, q, func(c Concurrent) error { return fn(Row{Start{c.At.In(a.zone), Hour}, c.Sessions, c.Most}) })
		},
	},
	{
		Name:  "address",
		Title: "Who held an address at a time",
		Text: `The sessions that had an address, or a framed or delegated IPv6 prefix that
contains it, at a time or during one, the latest start first. The ends are included:
where one session stopped and the next one started, both are shown. Where no Stop
was seen, stop_inferred says so, and the real end was at or after updated_at.

A session shows the address that it had last. ClickHouse knows records only: a
session without a Stop ended with its last record, or is open if that is less than
a day old.`,
		Examples: []string{
			"address 198.51.100.7 --at 2026-11-20T08:15:00Z",
			"address 2001:db8:ff12::1 --from 2026-11-01 --to 2026-11-08",
		},
		Parameters: []Parameter{
			{Name: "address", Kind: KindAddress, Required: true, Positional: true, Placeholder: "ADDRESS", Says: "the IPv4 or IPv6 address"},
			{Name: "at", Kind: KindTime, Placeholder: "TIME", Says: "at this time; now if neither this nor --from is given"},
			{Name: "from", Kind: KindTime, Placeholder: "TIME", Says: "at any time from here on"},
			{Name: "to", Kind: KindTime, Placeholder: "TIME", Says: "until here (default now)"},
			limitOr("1000", "at most so many sessions; 0 for all"),
		},
		columns: []Column{
			{Name: "username", Unit: UnitText},
			{Name: "held", Unit: UnitAddress, Says: "the address, or the prefix that contains it"},
			{Name: "started_at", Unit: UnitTime},
			{Name: "stopped_at", Unit: UnitTime, Says: "empty: open"},
			{Name: "stop_inferred", Unit: UnitYesNo, Says: "no Stop was seen"},
			{Name: "updated_at", Unit: UnitTime, Says: "the latest record"},
			{Name: "calling_station_id", Unit: UnitText},
			{Name: "nas_ip", Unit: UnitAddress},
			{Name: "nas_port_id", Unit: UnitText, Detail: true},
			{Name: "session_id", Unit: UnitID},
			{Name: "acct_session_id", Unit: UnitText, Detail: true},
			{Name: "start_inferred", Unit: UnitYesNo, Detail: true, Says: "no Start was seen"},
		},
		run: func(ctx context.Context, source Source, a *arguments, fn func(Row) error) error {
			q := HolderQuery{Address: a.address("address"), From: a.moment("from"), To: a.moment("to"), Limit: a.count("limit")}
			now := a.now.UTC().Truncate(time.Microsecond)
			switch at := a.moment("at"); {
			case !at.IsZero() && !(q.From.IsZero() && q.To.IsZero()):
				a.fail("at", "goes without from and to")
			case !at.IsZero():
				q.From, q.To = at, at
			case q.From.IsZero() && !q.To.IsZero():
				a.fail("from", "is missing where to is given")
			case q.From.IsZero():
				q.From, q.To = now, now
			case q.To.IsZero():
				q.To = now
			}
			if q.From.After(q.To) {
				a.fail("to", "%s is before %s", q.To.Format(time.RFC3339), q.From.Format(time.RFC3339))
			}
			if a.err != nil || source == nil {
				return a.err
			}
			return source.Holders(ctx, q, func(h Holder) error {
				var held any = h.Held
				if h.Held.IsSingleIP() {
					held = h.Held.Addr()
				}
				return fn(Row{h.Username, held, h.StartedAt, h.StoppedAt, h.StopInferred, h.UpdatedAt, h.CallingStationID,
					h.NASAddr, h.NASPortID, h.SessionID, h.AcctSessionID, h.StartInferred})
			})
		},
	},
	{
		Name:  "terminate-causes",
		Title: "Why sessions ended",
		Text: `How many sessions stopped in a time, by Acct-Terminate-Cause. A session counts once,
when its last Stop says it ended. Where no Stop was seen, the cause is inferred:
NAS-Reboot, Port-Preempted (the same device began anew) or Lost-Service (silence).

ClickHouse knows records only, and so shows no inferred stops.`,
		Examples: []string{
			"terminate-causes",
			"terminate-causes --by nas --period day --from 2026-11-01 --to 2026-11-08",
		},
		Parameters: []Parameter{byOr(ByNothing, ByNAS, ByPlan), periodOr(Total), fromMonth, toTomorrow, onlyUser, onlyNAS,
			limitOr("0", "at most so many rows of each period, the greatest counts; 0 for all")},
		columns: slices.Concat([]Column{startColumn}, keyColumns, []Column{
			{Name: "terminate_cause", Unit: UnitText, Says: "empty: the NAS sent none"},
			{Name: "inferred", Unit: UnitYesNo, Says: "no Stop was seen"},
			{Name: "sessions", Unit: UnitCount},
		}),
		run: func(ctx context.Context, source Source, a *arguments, fn func(Row) error) error {
			return runCounts(ctx, source, a, Stops, func(c Count, row Row) error {
				return fn(append(row, c.Cause, c.Inferred, c.Count))
			})
		},
	},
	{
		Name:  "reject-reasons",
		Title: "Why logins were refused",
		Text: `How many Access-Requests were answered with an Access-Reject in a time, by reason.
User names are shown as they were sent, also those of nobody.`,
		Examples: []string{
			"reject-reasons",
			"reject-reasons --by user --from yesterday --limit 20",
			"reject-reasons --period hour --from today --nas 192.0.2.1",
		},
		Parameters: []Parameter{byOr(ByNothing, ByUser, ByNAS), periodOr(Total), fromMonth, toTomorrow, onlyUser, onlyNAS,
			limitOr("1000", "at most so many rows of each period, the greatest counts; 0 for all")},
		columns: slices.Concat([]Column{startColumn}, keyColumns, []Column{
			{Name: "reason", Unit: UnitText},
			{Name: "rejects", Unit: UnitCount},
		}),
		run: func(ctx context.Context, source Source, a *arguments, fn func(Row) error) error {
			return runCounts(ctx, source, a, Rejects, func(c Count, row Row) error {
				return fn(append(row, c.Cause, c.Count))
			})
		},
	},
}

// runCounts runs a report of counts. fn gets each with the beginning of its row:
// the period and the key, if the rows are by one.
func runCounts(ctx context.Context, source Source, a *arguments, event Event, fn func(Count, Row) error) error {
	q := CountQuery{Event: event, By: By(a.choice("by")), Span: a.spanOf(Period(a.choice("period"))),
		User: a.text("user"), NAS: a.address("nas"), Limit: a.count("limit")}
	if a.err != nil || source == nil {
		return a.err
	}
	return source.Counts(ctx, q, func(c Count) error {
		row := Row{a.start(c.Start)}
		if q.By != ByNothing {
			row = append(row, c.Key)
		}
		return fn(c, row)
	})
}

// runUsage runs a report of usage, with those parameters that it has.
func runUsage(ctx context.Context, source Source, a *arguments, by By, period Period, fn func(Usage) error) error {
	q := UsageQuery{Span: a.spanOf(period), By: by, User: a.text("user"), NAS: a.address("nas"), Plan: a.text("plan"), Limit: a.count("limit")}
	if a.err != nil || source == nil {
		return a.err
	}
	return source.Usage(ctx, q, fn)
}

// usageValues are the values of usageColumns.
func usageValues(u Usage) Row {
	return Row{u.Seconds, u.InputOctets, u.OutputOctets, add(u.InputOctets, u.OutputOctets)}
}
