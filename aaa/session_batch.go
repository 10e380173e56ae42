package aaa

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
)

// SessionTx is what MergeBatch asks of a store's transaction.
type SessionTx interface {
	// SessionsByID returns those of the sessions that exist.
	SessionsByID(ctx context.Context, ids []uuid.UUID) ([]Session, error)
	// SessionsOfUsers returns the users' sessions on these NASes that are open or
	// stopped at or after since, the latest started first and no more than limit.
	SessionsOfUsers(ctx context.Context, usernames []string, nases []netip.Addr, since time.Time, limit int) ([]Session, error)
	// BootsOf returns the boots of these NASes, whatever their NASIdentifier and
	// NASID, that happened at or after since. Those of the batch itself may be missing.
	BootsOf(ctx context.Context, nases []netip.Addr, since time.Time) ([]Boot, error)
	// EndByBoot ends the sessions for which Boot.Ends holds and that are open, or
	// were ended by inference later than the boot: StoppedAt is boot.At,
	// StopInferred is true, TerminateCause is CauseReboot. As SQL:
	//
	//	nas_id IS NOT DISTINCT FROM $nas AND nas_ip = $addr AND ($identifier = '' OR nas_identifier = $identifier)
	//	AND started_at < $at AND updated_at <= $at
	//	AND (stopped_at IS NULL OR stop_inferred AND stopped_at > $at)
	EndByBoot(ctx context.Context, boot Boot) error
}

// SessionCloser is a store that can be told of sessions that ended because
// nothing was heard of them for too long, which no record says.
type SessionCloser interface {
	// CloseSessions ends those of the sessions that are open and have no record
	// later than the closing. It is called again after an error.
	CloseSessions(ctx context.Context, closings []Closing) error
}

// Closing is the inferred end of a session that lapsed. As SQL:
//
//	SET stopped_at = $stopped_at, stop_inferred = true, terminate_cause = CauseLapsed
//	WHERE id = $id AND stopped_at IS NULL AND updated_at <= $stopped_at
//
// The same goes for the ids in Others: a store that several nodes write to may have
// the session under one of them.
type Closing struct {
	SessionID uuid.UUID
	StoppedAt time.Time
	Others    []uuid.UUID
}

// SessionChanges is what a batch of records changes. The store writes it in the
// transaction in which it was worked out.
type SessionChanges struct {
	Sessions []*Session   // to insert, or to replace whole by ID
	Usage    []DailyUsage // to add to usage_daily: one for each user and day
}

// siblingLimit bounds how many sessions of the users in a batch are looked at for
// superseding each other.
const siblingLimit = 10000

// stepAfter is after how many records of a batch it is looked whether others are to get
// their turn on the processor: a batch takes some ten milliseconds, and answers do not wait
// that long.
const stepAfter = 16

// MergeBatch works out what a batch of records, resolved by a Resolver, means for
// the stored sessions and the users' daily usage in loc. Records that were merged
// before change nothing, so a batch may come again in whole or in part. The store
// keeps the records themselves, and the boots among them, in the same transaction. With a
// context of [WithTurns] it leaves the processor to others.
func MergeBatch(ctx context.Context, tx SessionTx, records []Record, loc *time.Location) (SessionChanges, error) {
	b := batch{loc: loc, sessions: make(map[uuid.UUID]*mergedSession, len(records)), usage: make(map[dailyKey]*DailyUsage, len(records))}
	boots, ordered := splitBoots(records)
	for _, boot := range boots {
		if err := tx.EndByBoot(ctx, boot); err != nil {
			return SessionChanges{}, fmt.Errorf("end the sessions of NAS %s: %w", boot.NASAddr, err)
		}
	}
	if len(ordered) == 0 {
		return SessionChanges{}, nil
	}
	if err := b.load(ctx, tx, ordered); err != nil {
		return SessionChanges{}, err
	}
	b.merge(ordered, PaceOf(ctx))
	if err := b.settle(ctx, tx, boots); err != nil {
		return SessionChanges{}, err
	}
	return b.changes(), nil
}

// batch is the state of one MergeBatch.
type batch struct {
	loc      *time.Location
	sessions map[uuid.UUID]*mergedSession
	order    []*mergedSession // those with records in the batch, as they first come
	usage    map[dailyKey]*DailyUsage
}

type mergedSession struct {
	Session
	changed bool
	// unsettled: what is known beside the session's records may end or reopen it,
	// or it may end others.
	unsettled bool
}

type dailyKey struct {
	username string
	day      int64
}

// splitBoots takes the boots out of a batch, and puts the other records in order
// of time, for the recognition of wraps.
func splitBoots(records []Record) ([]Boot, []*Record) {
	var boots []Boot
	rest := make([]*Record, 0, len(records))
	for i := range records {
		r := &records[i]
		switch {
		case r.Status.boot():
			boots = append(boots, r.Boot())
		case r.Status.session():
			rest = append(rest, r)
		}
	}
	slices.SortStableFunc(rest, func(a, b *Record) int {
		return cmp.Or(a.EventTime.Compare(b.EventTime), cmp.Compare(a.SessionSeconds, b.SessionSeconds))
	})
	return boots, rest
}

// load reads the sessions that the batch has records of.
func (b *batch) load(ctx context.Context, tx SessionTx, records []*Record) error {
	ids := make([]uuid.UUID, 0, len(records))
	seen := make(map[uuid.UUID]struct{}, len(records))
	for i := range records {
		if _, dup := seen[records[i].SessionID]; !dup {
			seen[records[i].SessionID] = struct{}{}
			ids = append(ids, records[i].SessionID)
		}
	}
	sessions, err := tx.SessionsByID(ctx, ids)
	if err != nil {
		return fmt.Errorf("load sessions: %w", err)
	}
	all := make([]mergedSession, len(ids)) // one for each, of which none moves
	for i := range sessions {
		all[i].Session = sessions[i]
		b.sessions[sessions[i].ID] = &all[i]
	}
	fresh := all[len(sessions):]
	b.order = make([]*mergedSession, 0, len(ids))
	for _, id := range ids {
		s := b.sessions[id]
		if s == nil {
			s, fresh = &fresh[0], fresh[1:]
			s.unsettled = true
			b.sessions[id] = s
		}
		b.order = append(b.order, s)
	}
	return nil
}

func (b *batch) merge(records []*Record, pace *Pace) {
	for i, r := range records {
		if i%stepAfter == stepAfter-1 {
			pace.Step()
		}
		s := b.sessions[r.SessionID]
		// An interim of a session that goes on is what nearly all records are, and
		// nothing beside it can matter then.
		s.unsettled = s.unsettled || s.StopInferred || r.Status == AcctStart
		s.changed = true
		StepOf(&s.Session, r).byDay(b.loc, func(day time.Time, u Usage) { b.addUsage(s.Username, day, u) })
	}
}

func (b *batch) addUsage(username string, day time.Time, u Usage) {
	if username == "" {
		return
	}
	key := dailyKey{username, day.Unix()}
	row := b.usage[key]
	if row == nil {
		row = &DailyUsage{Username: username, Day: day}
		b.usage[key] = row
	}
	row.add(u)
}

// settle ends and reopens sessions by what is known beside their own records.
func (b *batch) settle(ctx context.Context, tx SessionTx, boots []Boot) error {
	var unsettled []*mergedSession
	for _, s := range b.order {
		if s.unsettled {
			unsettled = append(unsettled, s)
		}
	}
	if len(unsettled) == 0 {
		return nil
	}
	since := unsettled[0].StartedAt
	nases := make([]netip.Addr, 0, len(unsettled))
	for _, s := range unsettled {
		nases = append(nases, s.NASAddr)
		if s.StartedAt.Before(since) {
			since = s.StartedAt
		}
	}
	slices.SortFunc(nases, netip.Addr.Compare)
	nases = slices.Compact(nases)
	stored, err := tx.BootsOf(ctx, nases, since)
	if err != nil {
		return fmt.Errorf("load boots: %w", err)
	}
	byNAS := make(map[netip.Addr][]Boot)
	for _, boot := range append(stored, boots...) {
		byNAS[boot.NASAddr] = append(byNAS[boot.NASAddr], boot)
	}
	for _, s := range unsettled {
		s.Settle(byNAS[s.NASAddr], nil)
	}
	return b.supersede(ctx, tx, unsettled, nases, since)
}

// supersede lets sessions of one device on one port end each other.
func (b *batch) supersede(ctx context.Context, tx SessionTx, unsettled []*mergedSession, nases []netip.Addr, since time.Time) error {
	var usernames []string
	devices := make(map[device][]*mergedSession)
	for _, s := range unsettled {
		if d, ok := deviceOf(&s.Session); ok {
			usernames = append(usernames, s.Username)
			devices[d] = nil
		}
	}
	if len(usernames) == 0 {
		return nil
	}
	slices.Sort(usernames)
	stored, err := tx.SessionsOfUsers(ctx, slices.Compact(usernames), nases, since, siblingLimit)
	if err != nil {
		return fmt.Errorf("load the sessions of users: %w", err)
	}
	for i := range stored {
		if b.sessions[stored[i].ID] == nil {
			s := &mergedSession{Session: stored[i]}
			b.sessions[s.ID] = s
			b.order = append(b.order, s)
		}
	}
	for _, s := range b.order {
		if d, ok := deviceOf(&s.Session); ok {
			if siblings, asked := devices[d]; asked {
				devices[d] = append(siblings, s)
			}
		}
	}
	for _, siblings := range devices {
		for _, s := range siblings {
			for _, other := range siblings {
				if s.unsettled || other.unsettled {
					s.changed = s.Settle(nil, []*Session{&other.Session}) || s.changed
				}
			}
		}
	}
	return nil
}

// changes collects the result in a settled order, so that two writers that meet
// take their locks alike.
func (b *batch) changes() SessionChanges {
	c := SessionChanges{Sessions: make([]*Session, 0, len(b.order)), Usage: make([]DailyUsage, 0, len(b.usage))}
	for _, s := range b.order {
		if s.changed {
			c.Sessions = append(c.Sessions, &s.Session)
		}
	}
	for _, row := range b.usage {
		c.Usage = append(c.Usage, *row)
	}
	slices.SortFunc(c.Sessions, func(a, b *Session) int { return slices.Compare(a.ID[:], b.ID[:]) })
	slices.SortFunc(c.Usage, func(a, b DailyUsage) int {
		return cmp.Or(cmp.Compare(a.Username, b.Username), a.Day.Compare(b.Day))
	})
	return c
}

// device is what a session supersedes another on.
type device struct {
	username string
	nas      nasKey
	station  string // in normal form
	port     string
}

// deviceOf returns the device of a session, and false if it does not say.
func deviceOf(s *Session) (device, bool) {
	if s.CallingStationID == "" || s.Username == "" {
		return device{}, false
	}
	return device{s.Username, nasKey{addr: s.NASAddr, identifier: s.NASIdentifier}, NormalizeStation(s.CallingStationID), s.Port()}, true
}
