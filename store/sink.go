package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
)

// SinkName is the name of the SQL sink.
const SinkName = "sql"

// Sink takes accounting records into the store: one transaction for each batch
// holds the records, the merged sessions, the daily usage and the cursor. Several
// nodes may write to one database, each with a Sink of its own. Write is not to be
// called twice at once.
type Sink struct {
	store *Store
	// boots are those that the database has, whichever node took them. They are read
	// in the transactions of batches, and forgotten when one fails: a database that
	// failed over may have lost some.
	boots  *aaa.Resolver
	seen   bootCursor
	memory sinkMemory
}

// sinkMemory is what a batch leaves behind for the next one to use again.
type sinkMemory struct {
	own      map[uuid.UUID]bool
	stored   map[uuid.UUID]int
	found    []aaa.Session
	versions []uint32
	ids      []uuid.UUID
}

// NewSink returns the sink of the store's node.
func (s *Store) NewSink() (*Sink, error) {
	if s.nodeID == "" {
		return nil, errors.New("the SQL sink needs the id of its node")
	}
	return &Sink{store: s, boots: aaa.NewResolver()}, nil
}

// Name returns SinkName.
func (k *Sink) Name() string { return SinkName }

// Cursor returns the End of the last batch that was taken; zero for none.
func (k *Sink) Cursor(ctx context.Context) (journal.Position, error) {
	var position uint64
	err := k.store.reader.QueryRowContext(ctx, "SELECT position FROM ingest_cursors WHERE node_id = $1 AND sink = $2",
		k.store.nodeID, SinkName).Scan(whole[uint64]{&position})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read cursor of sink %s: %w", SinkName, k.store.explain(err))
	}
	return journal.Position(position), nil
}

// Write takes a batch whole or not at all, and fails with ingest.ErrCursorMoved if
// it does not follow the batches that the database has. Records that were taken before, in
// this batch or another, by this node or another, are kept once and counted once.
func (k *Sink) Write(ctx context.Context, batch *ingest.Batch) error {
	k.store.ensurePartitions(ctx, recordPartitions, func(yield func(time.Time) bool) {
		for i := range batch.Records {
			if !yield(batch.Records[i].EventTime) {
				return
			}
		}
	})
	err := k.store.write(ctx, func(tx *writeTx) error {
		t := sinkTx{store: k.store, tx: tx, memory: &k.memory}
		if err := tx.takeTurns(ctx, nasesOf(batch.Records)); err != nil {
			return err
		}
		if err := t.take(ctx, k, batch.Records); err != nil {
			return err
		}
		return k.moveCursor(ctx, tx, batch.Start, batch.End)
	})
	if err != nil {
		k.boots, k.seen = aaa.NewResolver(), bootCursor{}
		if errors.Is(err, ingest.ErrCursorMoved) {
			k.store.forgetPartitions() // those of a database that failed over may be gone too
		}
		return fmt.Errorf("sink %s: %w", SinkName, k.store.explain(err))
	}
	return nil
}

// moveCursor moves the cursor from start to end. That it is at start is what says
// that the database has all batches before this one, and not this one.
func (k *Sink) moveCursor(ctx context.Context, tx *writeTx, start, end journal.Position) error {
	from, to, now := uint64(start), uint64(end), k.store.timestamp()
	query := `UPDATE ingest_cursors SET position = $3, updated_at = $4 WHERE node_id = $1 AND sink = $2 AND position = $5`
	args := []any{k.store.nodeID, SinkName, whole[uint64]{&to}, moment{&now}, whole[uint64]{&from}}
	if start == 0 {
		query = `INSERT INTO ingest_cursors (node_id, sink, position, updated_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (node_id, sink) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at
			WHERE ingest_cursors.position = $5`
	}
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ingest.ErrCursorMoved
}

// sinkTx is the transaction of one batch. It is an aaa.SessionTx.
//
// Besides the turns that nodes take, a session is written only if it is still as it
// was read: it may move from one NAS's address to another, whose turn it is then
// somebody else's. Who inserts or updates it second starts again.
type sinkTx struct {
	store    *Store
	tx       *writeTx
	memory   *sinkMemory
	own      map[uuid.UUID]bool // the sessions that the batch may have records of
	stored   map[uuid.UUID]int  // those of them that exist, and where in found
	found    []aaa.Session
	versions []uint32           // of those in found, in Postgres
	others   map[uuid.UUID]bool // what SessionsOfUsers has returned
}

// take works one batch of records in.
func (t *sinkTx) take(ctx context.Context, k *Sink, records []aaa.Record) error {
	if len(records) == 0 {
		return nil
	}
	records, err := t.identify(ctx, k, records)
	if err != nil {
		return err
	}
	// All of them, also those that the store has: what a record of the same meaning
	// says beyond it, such as an address, belongs to the session.
	changes, err := aaa.MergeBatch(ctx, t, records, t.store.location)
	if err != nil {
		return err
	}
	if err := t.saveSessions(ctx, changes.Sessions); err != nil {
		return err
	}
	if err := t.saveRecords(ctx, records); err != nil {
		return err
	}
	return t.store.addUsage(ctx, t.tx, changes.Usage)
}

// identify settles the ids of the records by what the database has, and reads their
// sessions.
func (t *sinkTx) identify(ctx context.Context, k *Sink, records []aaa.Record) ([]aaa.Record, error) {
	if aaa.NeedBoots(records) {
		boots, next, err := t.store.bootsSeen(ctx, t.tx, k.seen)
		if err != nil {
			return nil, err
		}
		k.boots.Learn(boots)
		k.seen = next
	}
	ids := k.boots.Identify(records)
	if t.memory.own == nil {
		t.memory.own = make(map[uuid.UUID]bool, len(records))
	}
	t.own = t.memory.own
	clear(t.own)
	ids.EachID(func(sessionID uuid.UUID) { t.own[sessionID] = true })
	if err := t.load(ctx); err != nil {
		return nil, err
	}
	return ids.Decide(func(sessionID uuid.UUID) *aaa.Session {
		if n, ok := t.stored[sessionID]; ok {
			return &t.found[n]
		}
		return nil
	}), nil
}

// load reads the batch's own sessions.
func (t *sinkTx) load(ctx context.Context) error {
	m := t.memory
	m.ids = slices.AppendSeq(m.ids[:0], maps.Keys(t.own))
	slices.SortFunc(m.ids, compareIDs)
	if m.stored == nil {
		m.stored = make(map[uuid.UUID]int, len(m.ids))
	}
	clear(m.stored)
	clear(m.found)
	m.found, m.versions = slices.Grow(m.found[:0], len(m.ids)), m.versions[:0]
	err := t.eachOwn(ctx, m.ids, func(x *aaa.Session, v uint32) {
		m.stored[x.ID] = len(m.found)
		m.found, m.versions = append(m.found, *x), append(m.versions, v)
	})
	t.stored, t.found, t.versions = m.stored, m.found, m.versions
	return err
}

// eachOwn calls fn for those of the sessions that exist, with the version of the row in
// Postgres.
func (t *sinkTx) eachOwn(ctx context.Context, ids []uuid.UUID, fn func(*aaa.Session, uint32)) error {
	var x aaa.Session
	var v uint32
	each := func() error {
		fn(&x, v)
		return nil
	}
	fields := sessionFields(&x)
	query := "SELECT " + names(fields)
	if t.tx.postgres {
		return eachBinaryRow(ctx, t.tx, query+", xmin FROM sessions WHERE id = ANY ($1)", []parameter{idsParameter(ids)},
			append(columns(fields), version{&v}), each)
	}
	return eachChunk(t.tx, "id", "uuid", texts(ids), func(which string, args []any) error {
		return eachRow(ctx, t.tx, query+" FROM sessions WHERE "+which, args, targets(fields), each)
	})
}

// SessionsByID implements aaa.SessionTx. MergeBatch asks for sessions of the
// batch's records only.
func (t *sinkTx) SessionsByID(ctx context.Context, ids []uuid.UUID) ([]aaa.Session, error) {
	if t.stored == nil {
		if err := t.load(ctx); err != nil {
			return nil, err
		}
	}
	if len(ids) == len(t.own) {
		return t.found, nil
	}
	asked := make(map[uuid.UUID]bool, len(ids))
	for _, sessionID := range ids {
		asked[sessionID] = true
	}
	list := make([]aaa.Session, 0, len(ids))
	for i := range t.found {
		if asked[t.found[i].ID] {
			list = append(list, t.found[i])
		}
	}
	return list, nil
}

// SessionsOfUsers implements aaa.SessionTx.
func (t *sinkTx) SessionsOfUsers(ctx context.Context, usernames []string, nases []netip.Addr, since time.Time, limit int) ([]aaa.Session, error) {
	var list []aaa.Session
	err := t.eachOfUsers(ctx, usernames, nases, since, limit, func(x *aaa.Session) error {
		if slices.Contains(nases, x.NASAddr) {
			list = append(list, *x)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b aaa.Session) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), compareIDs(a.ID, b.ID))
	})
	list = list[:min(limit, len(list))]
	t.others = make(map[uuid.UUID]bool, len(list))
	for i := range list {
		t.others[list[i].ID] = true
	}
	return list, err
}

func (t *sinkTx) eachOfUsers(ctx context.Context, usernames []string, nases []netip.Addr, since time.Time, limit int, fn func(*aaa.Session) error) error {
	const recent = " AND (stopped_at IS NULL OR stopped_at >= $2)"
	last := fmt.Sprintf(" ORDER BY started_at DESC, id LIMIT %d%s", limit, t.tx.forUpdate())
	if t.tx.postgres {
		var x aaa.Session
		fields := sessionFields(&x)
		return eachBinaryRow(ctx, t.tx, "SELECT "+names(fields)+" FROM sessions WHERE username = ANY ($1)"+recent+
			" AND nas_ip = ANY ($3::text[]::inet[])"+last,
			[]parameter{textsParameter(usernames), unknownParameter(from(since)), textsParameter(addressTexts(nases))},
			columns(fields), func() error { return fn(&x) })
	}
	// SQLite need not leave alone what others write.
	return eachChunk(t.tx, "username", "text", usernames, func(which string, args []any) error {
		return eachSession(ctx, t.tx, "WHERE "+which+strings.Replace(recent, "$2", fmt.Sprintf("$%d", len(args)+1), 1)+last,
			append(args, from(since)), fn)
	})
}

// BootsOf implements aaa.SessionTx.
func (t *sinkTx) BootsOf(ctx context.Context, nases []netip.Addr, since time.Time) (list []aaa.Boot, err error) {
	err = eachChunk(t.tx, "nas_ip", "inet", addressTexts(nases), func(which string, args []any) error {
		found, err := listBoots(ctx, t.tx, fmt.Sprintf("WHERE %s AND at >= $%d ORDER BY at", which, len(args)+1), append(args, from(since)))
		list = append(list, found...)
		return err
	})
	return list, err
}

// EndByBoot implements aaa.SessionTx. One statement ends them all, however many
// they are.
func (t *sinkTx) EndByBoot(ctx context.Context, boot aaa.Boot) error {
	t.stored = nil // some of them may change
	_, err := t.tx.ExecContext(ctx, `UPDATE sessions SET stopped_at = $3, stop_inferred = $4, terminate_cause = $5
		WHERE id IN (SELECT id FROM sessions
			WHERE nas_id IS NOT DISTINCT FROM $6 AND nas_ip = $1 AND ($2 = '' OR nas_identifier = $2) AND started_at < $3 AND updated_at <= $3
				AND (stopped_at IS NULL OR stop_inferred AND stopped_at > $3)
			ORDER BY id`+t.tx.forUpdate()+")",
		address{&boot.NASAddr}, text{&boot.NASIdentifier}, moment{&boot.At}, true, aaa.CauseReboot, nullID{&boot.NASID})
	return err
}

// saveSessions writes sessions: those that were there are updated, the others
// inserted.
func (t *sinkTx) saveSessions(ctx context.Context, sessions []*aaa.Session) error {
	var counted, present, others, fresh []*aaa.Session
	for _, x := range sessions {
		n, exists := t.stored[x.ID]
		switch {
		case exists && t.found[n].SameButCounters(x):
			counted = append(counted, x) // as nearly all are: an Interim
		case exists:
			present = append(present, x)
		case t.others[x.ID] && !t.own[x.ID]:
			others = append(others, x)
		default:
			// One that was not there may have been inserted by another node since: it
			// must not be replaced.
			fresh = append(fresh, x)
		}
	}
	var x aaa.Session
	fields := sessionFields(&x)
	of := func(list []*aaa.Session) source {
		return filled(fields, len(list), func(i int) { x = *list[i] })
	}
	if err := t.updateSessions(ctx, counted, counterFields); err != nil {
		return err
	}
	if err := t.updateSessions(ctx, present, sessionFields); err != nil {
		return err
	}
	if err := upsert(ctx, t.tx, "sessions", "id", of(others)); err != nil {
		return err
	}
	return retryOnUnique(insertRows(ctx, t.tx, "sessions", of(fresh)))
}

// updateSessions writes some fields of sessions that exist, the id first.
func (t *sinkTx) updateSessions(ctx context.Context, list []*aaa.Session, fieldsOf func(*aaa.Session) []field) error {
	var x aaa.Session
	fields := fieldsOf(&x)
	if !t.tx.postgres {
		return updateRows(ctx, t.tx, "sessions", filled(fields, len(list), func(i int) { x = *list[i] }))
	}
	var v uint32
	fields = slices.Insert(fields, 1, field{versionColumn, version{&v}})
	return updateVersions(ctx, t.tx, "sessions", filled(fields, len(list), func(i int) {
		x, v = *list[i], t.versions[t.stored[list[i].ID]]
	}))
}

// saveRecords adds the records that the store does not have yet.
func (t *sinkTx) saveRecords(ctx context.Context, records []aaa.Record) error {
	fresh, err := t.unknown(ctx, records)
	if err != nil {
		return err
	}
	if err := t.saveBoots(ctx, fresh); err != nil {
		return err
	}
	var r aaa.Record
	rows := filled(recordFields(&r), len(fresh), func(i int) { r = *fresh[i] })
	return retryOnUnique(insertRows(ctx, t.tx, "accounting_records", rows))
}

// saveBoots keeps the boots among the records apart, where they outlive them.
func (t *sinkTx) saveBoots(ctx context.Context, records []*aaa.Record) error {
	var rows [][]field
	for _, r := range records {
		if r.Status == aaa.AcctOn || r.Status == aaa.AcctOff {
			rows = append(rows, bootFields(new(r.Boot())))
		}
	}
	return insertNew(ctx, t.tx, "nas_boots", listed(rows...))
}

func compareIDs(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }

var _ ingest.Sink = (*Sink)(nil)
var _ aaa.SessionTx = (*sinkTx)(nil)
