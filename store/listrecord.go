package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

var sessionLists = lister[aaa.Session]{
	name: "sessions", sorts: aaa.SessionSorts(),
	keys: map[string]sortKey[aaa.Session]{
		"started_at": timeKey("started_at", func(x *aaa.Session) time.Time { return x.StartedAt }),
		"stopped_at": timeKey("stopped_at", func(x *aaa.Session) time.Time { return x.StoppedAt }),
	},
	id: idKey("id", func(x *aaa.Session) uuid.UUID { return x.ID }),
}

func sessionConditions(f aaa.SessionFilter) (c conditions) {
	if f.Online != nil {
		c.terms = append(c.terms, map[bool]string{true: "stopped_at IS NULL", false: "stopped_at IS NOT NULL"}[*f.Online])
	}
	for _, equal := range []struct{ column, value string }{
		{"username", f.Username}, {"calling_station_id", f.CallingStationID}, {"plan", f.Plan}, {"terminate_cause", f.TerminateCause},
	} {
		if equal.value != "" {
			c.add(equal.column+" = $%d", cleanText(equal.value))
		}
	}
	if f.NASAddr.IsValid() {
		c.add("nas_ip = $%d", address{&f.NASAddr})
	}
	if f.NASID != uuid.Nil {
		c.add("nas_id = $%d", f.NASID.String())
	}
	if f.Address.IsValid() {
		c.holding(f)
	}
	c.span("started_at", f.StartedFrom, f.StartedBefore)
	c.span("stopped_at", f.StoppedFrom, f.StoppedBefore)
	return c
}

// holding appends a term for the sessions that have the address, or a prefix with it.
// All prefixes that contain it are named, so that indexes find them.
func (c *conditions) holding(f aaa.SessionFilter) {
	if addr := f.Address.Unmap(); addr.Is4() {
		c.add("framed_ip = $%d", address{&addr})
		return
	}
	covering := coveringTexts(f.Address)
	n := len(c.args) + 1
	c.args = append(c.args, arguments(covering)...)
	within := placeholders(n, len(covering))
	c.terms = append(c.terms, fmt.Sprintf(`id IN (SELECT id FROM sessions WHERE framed_ipv6 = $%d
		UNION SELECT id FROM sessions WHERE framed_ipv6_prefix IN (%s) UNION SELECT id FROM sessions WHERE delegated_prefix IN (%s))`, n, within, within))
}

// ListSessionsPage returns a page of sessions, and the cursor of the next page; empty:
// there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListSessionsPage(ctx context.Context, filter aaa.SessionFilter, page aaa.Page) (list []aaa.Session, next string, err error) {
	p, err := sessionLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("sessions", err)
	}
	c := sessionConditions(filter)
	if p.keys[0].column == "stopped_at" {
		c.terms = append(c.terms, "stopped_at IS NOT NULL")
	}
	rest, args := p.rest(c)
	if list, err = listSessions(ctx, s.reader, rest, s.planned(args)); err != nil {
		return nil, "", s.listFailed("sessions", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// CountSessions counts the sessions that the filter selects.
func (s *Store) CountSessions(ctx context.Context, filter aaa.SessionFilter) (aaa.Count, error) {
	return s.count(ctx, "sessions", "sessions", sessionConditions(filter))
}

var recordLists = lister[aaa.Record]{
	name: "accounting records", sorts: aaa.RecordSorts(), bounded: true,
	keys: map[string]sortKey[aaa.Record]{
		"event_time": timeKey("event_time", func(r *aaa.Record) time.Time { return r.EventTime }),
	},
	id: idKey("record_id", func(r *aaa.Record) uuid.UUID { return r.ID }),
}

// spanStart is from when on records are listed.
func (s *Store) spanStart(from, before time.Time) time.Time {
	if !from.IsZero() {
		return from
	}
	if before.IsZero() {
		before = s.timestamp()
	}
	return before.Add(-aaa.DefaultSpan).Truncate(time.Microsecond)
}

// recordConditions go by the sessions of a user: an index by the name would have to be
// written with every record.
func recordConditions(f aaa.RecordFilter) (c conditions) {
	if f.SessionID != uuid.Nil {
		c.add("session_id = $%d", f.SessionID.String())
	}
	if f.Username != "" {
		name := cleanText(f.Username)
		c.add("username = $%d AND session_id IN (SELECT id FROM sessions WHERE username = $%d AND (stopped_at IS NULL OR stopped_at >= $%d))",
			name, name, moment{&f.From})
	}
	if f.NASAddr.IsValid() {
		c.add("nas_ip = $%d", address{&f.NASAddr})
	}
	if f.Status != nil {
		c.add("status = $%d", f.Status.String())
	}
	c.span("event_time", f.From, f.Before)
	return c
}

// ListRecordsPage returns a page of accounting records, and the cursor of the next page;
// empty: there is none. Without a span of time in the filter, it goes aaa.DefaultSpan
// back from the first page. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListRecordsPage(ctx context.Context, filter aaa.RecordFilter, page aaa.Page) (list []aaa.Record, next string, err error) {
	p, err := recordLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("accounting records", err)
	}
	if p.since.IsZero() {
		p.since = s.spanStart(filter.From, filter.Before)
	}
	filter.From = p.since
	rest, args := p.rest(recordConditions(filter))
	var r aaa.Record
	fields := recordFields(&r)
	err = s.eachListed(ctx, "SELECT "+names(fields)+" FROM accounting_records"+rest, args, targets(fields), func() error {
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, "", s.listFailed("accounting records", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// CountRecords counts the accounting records that the filter selects.
func (s *Store) CountRecords(ctx context.Context, filter aaa.RecordFilter) (aaa.Count, error) {
	filter.From = s.spanStart(filter.From, filter.Before)
	return s.count(ctx, "accounting records", "accounting_records", recordConditions(filter))
}

var authLists = lister[aaa.AuthRecord]{
	name: "auth records", sorts: aaa.AuthSorts(), bounded: true,
	keys: map[string]sortKey[aaa.AuthRecord]{"at": timeKey("at", func(r *aaa.AuthRecord) time.Time { return r.At })},
	id:   idKey("id", func(r *aaa.AuthRecord) uuid.UUID { return r.ID }),
}

func authConditions(f aaa.AuthFilter) (c conditions) {
	for _, equal := range []struct{ column, value string }{{"username", f.Username}, {"calling_station_id", f.CallingStationID}} {
		if equal.value != "" {
			c.add(equal.column+" = $%d", cleanText(equal.value))
		}
	}
	if f.Accepted != nil {
		c.terms = append(c.terms, map[bool]string{true: "accepted", false: "NOT accepted"}[*f.Accepted])
	}
	if f.Reason != nil {
		c.add("reason = $%d", f.Reason.String())
	}
	if f.NASAddr.IsValid() {
		c.add("nas_ip = $%d", address{&f.NASAddr})
	}
	if f.NASID != uuid.Nil {
		c.add("nas_id = $%d", f.NASID.String())
	}
	c.span("at", f.From, f.Before)
	return c
}

// ListAuthPage returns a page of decisions, and the cursor of the next page; empty:
// there is none. Without a span of time in the filter, it goes aaa.DefaultSpan back from
// the first page. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListAuthPage(ctx context.Context, filter aaa.AuthFilter, page aaa.Page) (list []aaa.AuthRecord, next string, err error) {
	p, err := authLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("auth records", err)
	}
	if p.since.IsZero() {
		p.since = s.spanStart(filter.From, filter.Before)
	}
	filter.From = p.since
	rest, args := p.rest(authConditions(filter))
	var r aaa.AuthRecord
	fields := authFields(&r)
	err = s.eachListed(ctx, "SELECT "+names(fields)+" FROM auth_records"+rest, args, targets(fields), func() error {
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, "", s.listFailed("auth records", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// CountAuth counts the decisions that the filter selects.
func (s *Store) CountAuth(ctx context.Context, filter aaa.AuthFilter) (aaa.Count, error) {
	filter.From = s.spanStart(filter.From, filter.Before)
	return s.count(ctx, "auth records", "auth_records", authConditions(filter))
}
