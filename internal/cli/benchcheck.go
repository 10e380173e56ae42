package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// ackBook is a log of `bench acct` in memory, to compare stores with.
type ackBook struct {
	prefix       string // of the NAS-Identifiers of the load
	nases        map[string]uint32
	records      map[ackKey]*ackEntry
	boots        map[ackKey][]*ackEntry // without Event-Timestamp, whose time is about what it was
	sessions     map[ackSessionKey]*ackSession
	names        map[string]string // each user name once
	acknowledged int
	unanswered   int
}

// ackKey is what tells a record of a load from all others: counters grow with every
// record of a session. A boot has its time instead.
type ackKey struct {
	nas, port     uint32
	status        aaa.AcctStatus
	seconds       uint32
	input, output uint64
}

// ackEntry is a record of the log.
type ackEntry struct {
	event        time.Time
	eventSent    bool
	acknowledged bool
	found        int // rows of the store that is compared
}

type ackSessionKey struct{ nas, port uint32 }

// ackSession is a session of the log.
type ackSession struct {
	acctSessionID, username string
	framedIP                netip.Addr
	stored                  storedSession
}

// storedSession is what the records of a session in a store say together.
type storedSession struct {
	id                     uuid.UUID
	records                int
	seconds, input, output uint64
	started, stopped       bool
	listed                 int // rows in sessions
}

// derivedTolerance is how far the time of a record without Event-Timestamp can be
// from when it was sent: it depends on when the server has read it.
const derivedTolerance = 10 * time.Second

func readAckBook(path string) (*ackBook, error) {
	b := &ackBook{nases: map[string]uint32{}, records: map[ackKey]*ackEntry{}, boots: map[ackKey][]*ackEntry{},
		sessions: map[ackSessionKey]*ackSession{}, names: map[string]string{}}
	if err := readAckLog(path, b.add); err != nil {
		return nil, err
	}
	if b.acknowledged == 0 {
		return nil, fmt.Errorf("%s: no record was acknowledged", path)
	}
	return b, nil
}

func (b *ackBook) add(r *ackRecord) error {
	prefix := r.nas[:strings.LastIndexByte(r.nas, '-')+1]
	if b.prefix == "" {
		b.prefix = prefix
	}
	if prefix != b.prefix || prefix == "" {
		return fmt.Errorf("the log has records of several loads: NAS %s among %s", r.nas, b.prefix)
	}
	nas, ok := b.nases[r.nas]
	if !ok {
		nas = uint32(len(b.nases))
		b.nases[strings.Clone(r.nas)] = nas
	}
	entry := &ackEntry{event: r.event, eventSent: r.eventSent, acknowledged: !r.acknowledged.IsZero()}
	if entry.acknowledged {
		b.acknowledged++
	} else {
		b.unanswered++
	}
	key := ackKey{nas: nas, port: r.port, status: r.status, seconds: uint32(r.seconds), input: r.input, output: r.output}
	if r.status == aaa.AcctOn || r.status == aaa.AcctOff {
		b.addBoot(key, entry)
		return nil
	}
	if b.records[key] != nil {
		return fmt.Errorf("the log has a record twice: %s", b.describe(key))
	}
	b.records[key] = entry
	session := ackSessionKey{nas, r.port}
	if b.sessions[session] == nil {
		name, ok := b.names[r.username]
		if !ok {
			name = strings.Clone(r.username)
			b.names[name] = name
		}
		b.sessions[session] = &ackSession{acctSessionID: strings.Clone(r.acctSessionID), username: name, framedIP: r.framedIP}
	}
	return nil
}

func (b *ackBook) addBoot(key ackKey, entry *ackEntry) {
	if entry.eventSent {
		key.input = uint64(entry.event.Unix())
		b.records[key] = entry
		return
	}
	b.boots[key] = append(b.boots[key], entry)
}

// describe says which record a key stands for.
func (b *ackBook) describe(key ackKey) string {
	name := "?"
	for nas, number := range b.nases {
		if number == key.nas {
			name = nas
		}
	}
	if key.port == 0 {
		return fmt.Sprintf("%s of NAS %s", key.status, name)
	}
	user, id := "", ""
	if s := b.sessions[ackSessionKey{key.nas, key.port}]; s != nil {
		user, id = s.username, s.acctSessionID
	}
	return fmt.Sprintf("%s of session %s (port %d) of %s on NAS %s, %d s, %d octets in, %d out",
		key.status, id, key.port, printable(user), name, key.seconds, key.input, key.output)
}

// A benchStore is what a log is compared with. Its methods read what there is of the
// NASes whose NAS-Identifier begins with prefix.
type benchStore interface {
	CountRecordsOf(ctx context.Context, prefix string) (int, error)
	EachRecordOf(ctx context.Context, prefix string, fn func(*aaa.Record) error) error
}

// A store that has sessions, as SQL, or the sum of each, as ClickHouse, is asked for
// these as well.
type (
	sessionsOf interface {
		EachSessionOf(ctx context.Context, prefix string, fn func(*aaa.Session) error) error
	}
	usageOf interface {
		EachUsageOf(ctx context.Context, prefix string, fn func(session uuid.UUID, used aaa.Usage) error) error
	}
)

// ackComparison is what came of comparing a store with a log.
type ackComparison struct {
	store                                           string
	acknowledged, unanswered                        int // in the log
	stored                                          int
	missing, doubled, wrong, unknown, wrongSessions int
	sessions                                        int
	problems                                        []string // the first ones
	limit                                           int
}

// ok reports whether the store has what the log says, and nothing else.
func (c *ackComparison) ok() bool {
	return c.missing+c.doubled+c.wrong+c.unknown+c.wrongSessions == 0
}

func (c *ackComparison) problem(count *int, format string, args ...any) {
	*count++
	if len(c.problems) < c.limit {
		c.problems = append(c.problems, c.store+": "+fmt.Sprintf(format, args...))
	}
}

// compare reads a store and returns what differs from the log; limit is how many
// differences to describe.
func (b *ackBook) compare(ctx context.Context, name string, s benchStore, limit int) (*ackComparison, error) {
	c := &ackComparison{store: name, limit: limit, acknowledged: b.acknowledged, unanswered: b.unanswered}
	for _, entry := range b.records {
		entry.found = 0
	}
	for _, list := range b.boots {
		for _, entry := range list {
			entry.found = 0
		}
	}
	for _, session := range b.sessions {
		session.stored = storedSession{}
	}
	owners := make(map[uuid.UUID]ackSessionKey)
	err := s.EachRecordOf(ctx, b.prefix, func(r *aaa.Record) error {
		b.stored(c, r, owners)
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.findMissing(c)
	switch s := s.(type) {
	case sessionsOf:
		err = s.EachSessionOf(ctx, b.prefix, func(x *aaa.Session) error {
			b.compareSession(c, x, owners)
			return nil
		})
	case usageOf:
		err = s.EachUsageOf(ctx, b.prefix, func(id uuid.UUID, used aaa.Usage) error {
			b.compareSum(c, id, used, owners)
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	for _, key := range b.sessionKeys() {
		session := b.sessions[key]
		if session.stored.records > 0 && session.stored.listed != 1 {
			c.problem(&c.wrongSessions, "session %s has %d rows", session.stored.id, session.stored.listed)
		}
	}
	return c, nil
}

// sessionKeys returns the keys of the sessions in order.
func (b *ackBook) sessionKeys() []ackSessionKey {
	keys := make([]ackSessionKey, 0, len(b.sessions))
	for key := range b.sessions {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(x, y ackSessionKey) int { return cmp.Or(cmp.Compare(x.nas, y.nas), cmp.Compare(x.port, y.port)) })
	return keys
}

// stored takes a record of the store.
func (b *ackBook) stored(c *ackComparison, r *aaa.Record, owners map[uuid.UUID]ackSessionKey) {
	c.stored++
	nas, known := b.nases[r.NASIdentifier]
	key := ackKey{nas: nas, port: r.NASPort, status: r.Status, seconds: uint32(r.SessionSeconds), input: r.InputOctets, output: r.OutputOctets}
	if r.Status == aaa.AcctOn || r.Status == aaa.AcctOff {
		b.storedBoot(c, r, key)
		return
	}
	entry := b.records[key]
	session := b.sessions[ackSessionKey{nas, r.NASPort}]
	if !known || entry == nil || session == nil {
		c.problem(&c.unknown, "not in the log: record %s, %s", r.ID, b.describe(key))
		return
	}
	if entry.found++; entry.found > 1 {
		c.problem(&c.doubled, "doubled: record %s, %s", r.ID, b.describe(key))
	}
	if wrong := session.differs(entry, r); wrong != "" {
		c.problem(&c.wrong, "wrong %s: record %s, %s", wrong, r.ID, b.describe(key))
	}
	s := &session.stored
	owner := ackSessionKey{nas, r.NASPort}
	if other, taken := owners[r.SessionID]; taken && other != owner {
		c.problem(&c.wrong, "in the session of port %d: record %s, %s", other.port, r.ID, b.describe(key))
	} else if s.id != uuid.Nil && s.id != r.SessionID {
		c.problem(&c.wrong, "torn from session %s: record %s, %s", s.id, r.ID, b.describe(key))
	} else {
		owners[r.SessionID], s.id = owner, r.SessionID
	}
	s.records++
	s.seconds, s.input, s.output = max(s.seconds, r.SessionSeconds), max(s.input, r.InputOctets), max(s.output, r.OutputOctets)
	s.started = s.started || r.Status == aaa.AcctStart
	s.stopped = s.stopped || r.Status == aaa.AcctStop
}

// differs names what of a record is not as in the log.
func (s *ackSession) differs(entry *ackEntry, r *aaa.Record) string {
	apart := r.EventTime.Sub(entry.event).Abs()
	switch {
	case r.Username != s.username:
		return "username"
	case r.AcctSessionID != s.acctSessionID:
		return "acct_session_id"
	case r.FramedIP != s.framedIP:
		return "framed_ip"
	case entry.eventSent && apart != 0, apart > derivedTolerance:
		return "event_time"
	}
	return ""
}

// storedBoot takes an Accounting-On or -Off of the store. Without Event-Timestamp, its
// copies have different times, and nothing else tells one boot from another.
func (b *ackBook) storedBoot(c *ackComparison, r *aaa.Record, key ackKey) {
	key = ackKey{nas: key.nas, status: key.status}
	var nearest *ackEntry
	for _, entry := range b.boots[key] {
		if nearest == nil || entry.event.Sub(r.EventTime).Abs() < nearest.event.Sub(r.EventTime).Abs() {
			nearest = entry
		}
	}
	if nearest != nil && nearest.event.Sub(r.EventTime).Abs() <= derivedTolerance {
		nearest.found = 1
		return
	}
	key.input = uint64(r.EventTime.Unix())
	entry := b.records[key]
	if entry == nil {
		c.problem(&c.unknown, "not in the log: record %s, %s", r.ID, b.describe(key))
		return
	}
	if entry.found++; entry.found > 1 {
		c.problem(&c.doubled, "doubled: record %s, %s", r.ID, b.describe(key))
	}
}

// findMissing finds what was acknowledged and is not stored.
func (b *ackBook) findMissing(c *ackComparison) {
	for key, entry := range b.records {
		if entry.acknowledged && entry.found == 0 {
			c.problem(&c.missing, "missing: %s", b.describe(key))
		}
	}
	for key, list := range b.boots {
		for _, entry := range list {
			if entry.acknowledged && entry.found == 0 {
				c.problem(&c.missing, "missing: %s", b.describe(key))
			}
		}
	}
}

// compareSum holds the counters of a session against its records, and returns what is
// known of the session; nil if nothing is.
func (b *ackBook) compareSum(c *ackComparison, id uuid.UUID, used aaa.Usage, owners map[uuid.UUID]ackSessionKey) *ackSession {
	c.sessions++
	owner, ok := owners[id]
	if !ok {
		c.problem(&c.wrongSessions, "session %s has no record", id)
		return nil
	}
	session := b.sessions[owner]
	s := &session.stored
	s.listed++
	if used != (aaa.Usage{Seconds: s.seconds, InputOctets: s.input, OutputOctets: s.output}) {
		c.problem(&c.wrongSessions, "session %s has %d s, %d octets in and %d out, its records have %d s, %d and %d",
			id, used.Seconds, used.InputOctets, used.OutputOctets, s.seconds, s.input, s.output)
	}
	return session
}

// compareSession holds a row of sessions against the records of the session.
func (b *ackBook) compareSession(c *ackComparison, x *aaa.Session, owners map[uuid.UUID]ackSessionKey) {
	session := b.compareSum(c, x.ID, aaa.Usage{Seconds: x.SessionSeconds, InputOctets: x.InputOctets, OutputOctets: x.OutputOctets}, owners)
	if session == nil {
		return
	}
	s := &session.stored
	switch {
	case x.Username != session.username || x.AcctSessionID != session.acctSessionID:
		c.problem(&c.wrongSessions, "session %s is not of the user and Acct-Session-Id of its records", x.ID)
	case s.started && x.StartInferred:
		c.problem(&c.wrongSessions, "session %s has a Start, and one that is inferred", x.ID)
	case s.stopped && (x.StopInferred || x.Open()):
		c.problem(&c.wrongSessions, "session %s has a Stop, and is open or ended by inference", x.ID)
	case !s.stopped && !x.StopInferred && !x.Open():
		c.problem(&c.wrongSessions, "session %s has no Stop, and is ended", x.ID)
	}
}
