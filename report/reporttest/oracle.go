package reporttest

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"

	"radiusd/aaa"
	"radiusd/report"
)

// The oracle works reports out from lives in the plainest way there is.

// spent is what a session has used from one record to the next.
type spent struct {
	from, to         time.Time
	seconds, in, out float64
	username, plan   string
	nas              netip.Addr
}

// steps returns what the sessions have used.
func (h *History) steps() (list []spent) {
	for _, l := range h.lives {
		var seconds, in, out, turnsIn, turnsOut, lowIn, lowOut float64
		from := l.began()
		for _, r := range l.records {
			if !r.HasSeconds {
				continue
			}
			if !r.HasGigawords && float64(r.InputOctets) < lowIn {
				turnsIn++
			}
			if !r.HasGigawords && float64(r.OutputOctets) < lowOut {
				turnsOut++
			}
			lowIn, lowOut = float64(r.InputOctets), float64(r.OutputOctets)
			nowIn, nowOut := lowIn+turnsIn*(1<<32), lowOut+turnsOut*(1<<32)
			list = append(list, spent{from: from, to: r.EventTime, seconds: float64(r.SessionSeconds) - seconds, in: nowIn - in, out: nowOut - out,
				username: r.Username, plan: r.Plan, nas: r.NASAddr})
			from, seconds, in, out = r.EventTime, float64(r.SessionSeconds), nowIn, nowOut
		}
	}
	return list
}

// began is when a session started, as far as its records tell.
func (l *life) began() time.Time {
	if first := l.records[0]; first.Status != aaa.AcctStart {
		return first.EventTime.Add(-time.Duration(first.SessionSeconds) * time.Second)
	}
	return l.records[0].EventTime
}

// plan is the latest that a session's records name.
func (l *life) plan() (name string) {
	for _, r := range l.records {
		name = cmp.Or(r.Plan, name)
	}
	return name
}

// usageKey tells the rows of usage apart.
type usageKey struct {
	key   string
	start int64
}

// amount is what a row of usage should say. slack is how far roundings may take
// it away from that.
type amount struct{ seconds, in, out, slack float64 }

// usage works out a UsageQuery without its limit.
func (h *History) usage(q report.UsageQuery) map[usageKey]amount {
	rows := map[usageKey]amount{}
	for _, s := range h.steps() {
		key := map[report.By]string{report.ByUser: s.username, report.ByNAS: s.nas.String(), report.ByPlan: s.plan}[q.By]
		if q.User != "" && s.username != q.User || q.NAS.IsValid() && s.nas != q.NAS || q.Plan != "" && s.plan != q.Plan ||
			q.By == report.ByUser && s.username == "" {
			continue
		}
		for start := q.From; start.Before(q.To); {
			end := periodAfter(q.Span, start)
			lo, hi := latest(start, s.from), earliest(end, s.to)
			share := 0.0
			switch span := s.to.Sub(s.from); {
			case span > 0 && lo.Before(hi):
				share = float64(hi.Sub(lo)) / float64(span)
			case span == 0 && !s.to.Before(start) && s.to.Before(end):
				share = 1
			}
			if share > 0 && s.seconds+s.in+s.out > 0 {
				k := usageKey{key, start.Unix()}
				a := rows[k]
				rows[k] = amount{a.seconds + share*s.seconds, a.in + share*s.in, a.out + share*s.out,
					a.slack + 2 + s.to.Sub(s.from).Hours()} // each hour of a step may be rounded
			}
			start = end
		}
	}
	return rows
}

// periodAfter is when the period ends that begins at start.
func periodAfter(s report.Span, start time.Time) time.Time {
	t := start.In(s.Zone)
	y, m, d := t.Date()
	next := s.To
	switch s.Period {
	case report.Hour:
		next = t.Truncate(time.Hour).Add(time.Hour) // the suite's zones are whole hours from UTC
	case report.Day:
		next = time.Date(y, m, d+1, 0, 0, 0, 0, s.Zone)
	case report.Week:
		for next = time.Date(y, m, d+1, 0, 0, 0, 0, s.Zone); next.Weekday() != time.Monday; {
			next = next.AddDate(0, 0, 1)
		}
	case report.Month:
		next = time.Date(y, m+1, 1, 0, 0, 0, 0, s.Zone)
	}
	return earliest(next, s.To)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// end is when a session stopped, as far as the source knows. One that does not know
// of inferred stops takes the last record for the end, all being long ago.
func (l *life) end(knows Knowledge) (stopped time.Time, cause string, inferred bool) {
	if l.inferred && !knows.InferredStops {
		return l.last, "", true
	}
	return l.stopped, l.cause, l.inferred && !l.stopped.IsZero()
}

// openAt reports whether a session was open.
func (l *life) openAt(t time.Time, knows Knowledge) bool {
	end, _, _ := l.end(knows)
	return !l.began().After(t) && (end.IsZero() || end.After(t))
}

func (h *History) concurrent(q report.ConcurrentQuery, knows Knowledge) (rows []report.Concurrent) {
	count := func(t time.Time) (n uint64) {
		for i := range h.lives {
			r := h.lives[i].records[0]
			if h.lives[i].openAt(t, knows) && (q.User == "" || q.User == r.Username) && (!q.NAS.IsValid() || q.NAS == r.NASAddr) {
				n++
			}
		}
		return n
	}
	for at := q.From; at.Before(q.To); at = at.Add(q.Step) {
		row := report.Concurrent{At: at, Sessions: count(at), Most: count(at)}
		for i := range h.lives { // it only grows where a session begins
			if t := h.lives[i].began(); t.After(at) && t.Before(earliest(at.Add(q.Step), q.To)) {
				row.Most = max(row.Most, count(t))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (h *History) holders(q report.HolderQuery, knows Knowledge) (rows []report.Holder) {
	for _, l := range h.lives {
		r := l.records[len(l.records)-1]
		var held netip.Prefix
		for _, p := range []netip.Prefix{host(r.FramedIP), host(r.FramedIPv6), r.FramedIPv6Prefix, r.DelegatedPrefix} {
			if !held.IsValid() && p.IsValid() && p.Contains(q.Address) {
				held = p
			}
		}
		stopped, _, inferred := l.end(knows)
		if held.IsValid() && !l.began().After(q.To) && (stopped.IsZero() || !stopped.Before(q.From)) {
			updated := l.last
			rows = append(rows, report.Holder{SessionID: r.SessionID, AcctSessionID: r.AcctSessionID, Username: r.Username, CallingStationID: r.CallingStationID,
				NASAddr: r.NASAddr, NASPortID: r.NASPortID, Held: held, StartedAt: l.began(), StartInferred: l.records[0].Status != aaa.AcctStart,
				UpdatedAt: updated, StoppedAt: stopped, StopInferred: inferred})
		}
	}
	slices.SortFunc(rows, compareHolders)
	return rows
}

func compareHolders(a, b report.Holder) int {
	return cmp.Or(b.StartedAt.Compare(a.StartedAt), slices.Compare(b.SessionID[:], a.SessionID[:]))
}

func host(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

func (h *History) counts(q report.CountQuery, knows Knowledge) (rows []report.Count) {
	type happening struct {
		at         time.Time
		key, cause string
		inferred   bool
	}
	var list []happening
	key := func(user string, nas netip.Addr, plan string) string {
		return map[report.By]string{report.ByUser: user, report.ByNAS: nas.String(), report.ByPlan: plan}[q.By]
	}
	for _, l := range h.lives {
		r := l.records[len(l.records)-1]
		if stopped, cause, inferred := l.end(knows); q.Event == report.Stops && !stopped.IsZero() && (knows.InferredStops || !inferred) &&
			(q.User == "" || q.User == r.Username) && (!q.NAS.IsValid() || q.NAS == r.NASAddr) {
			list = append(list, happening{stopped, key(r.Username, r.NASAddr, l.plan()), cause, inferred})
		}
	}
	for _, d := range h.Decisions {
		if q.Event == report.Rejects && !d.Accepted && (q.User == "" || q.User == d.Username) && (!q.NAS.IsValid() || q.NAS == d.NASAddr) {
			list = append(list, happening{d.At, key(d.Username, d.NASAddr, ""), d.Reason.String(), false})
		}
	}
	for start := q.From; start.Before(q.To); {
		end := periodAfter(q.Span, start)
		counts := map[report.Count]uint64{}
		for _, x := range list {
			if !x.at.Before(start) && x.at.Before(end) {
				counts[report.Count{Start: start, Key: x.key, Cause: x.cause, Inferred: x.inferred}]++
			}
		}
		var period []report.Count
		for row, n := range counts {
			row.Count = n
			period = append(period, row)
		}
		slices.SortFunc(period, func(a, b report.Count) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Cause, b.Cause), boolCompare(a.Inferred, b.Inferred))
		})
		if q.Limit > 0 {
			period = period[:min(len(period), q.Limit)]
		}
		rows = append(rows, period...)
		start = end
	}
	return rows
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// near reports whether a number is what it should be, roundings aside.
func near(got uint64, want, slack float64) bool { return math.Abs(float64(got)-want) <= slack }
