package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"radiusd/operator"
)

// auditPurpose is what the audit log's key is derived from the master key for.
const auditPurpose = "audit log"

func auditFields(e *operator.AuditEntry) []field {
	return []field{
		{"seq", whole[uint64]{&e.Seq}},
		{"id", id{&e.ID}},
		{"at", moment{&e.At}},
		{"actor_kind", word[operator.ActorKind]{&e.Actor.Kind, operator.ParseActorKind}},
		{"actor_id", nullID{&e.Actor.ID}},
		{"actor_name", text{&e.Actor.Name}},
		{"request_id", text{&e.Actor.RequestID}},
		{"addr", address{&e.Actor.Addr}},
		{"action", text{&e.Action}},
		{"entity_kind", text{&e.EntityKind}},
		{"entity_id", nullID{&e.EntityID}},
		{"entity_name", text{&e.EntityName}},
		{"changes", object{&e.Changes}},
		{"prev_hash", digest{&e.PrevHash}},
		{"hash", digest{&e.Hash}},
		{"content_mac", nullDigest{&e.ContentMAC}},
		{"redacted", flag{&e.Redacted}},
	}
}

func eventFields(e *operator.Event) []field {
	return []field{
		{"id", id{&e.ID}},
		{"at", moment{&e.At}},
		{"kind", text{&e.Kind}},
		{"entity_kind", text{&e.EntityKind}},
		{"entity_id", nullID{&e.EntityID}},
		{"payload", object{&e.Payload}},
	}
}

// record adds an entry to the audit log, and an event that tells of it to the outbox
// unless eventKind is empty, when the transaction commits. Who, when and the ids are
// filled in here; the caller gives Action, Entity… and Changes.
func (tx *writeTx) record(ctx context.Context, e operator.AuditEntry, eventKind string) (err error) {
	if e.ID, err = uuid.NewV7(); err != nil {
		return err
	}
	e.At = tx.store.timestamp()
	e.Actor = operator.ActorOf(ctx)
	e.Actor.Addr = e.Actor.Addr.Unmap().WithZone("")
	for _, text := range []*string{&e.Actor.Name, &e.Actor.RequestID, &e.Action, &e.EntityKind, &e.EntityName} {
		*text = cleanText(*text)
	}
	if e.Changes == nil {
		e.Changes = json.RawMessage("{}")
	}
	tx.entries = append(tx.entries, e)
	if eventKind == "" {
		return nil
	}
	payload := operator.EventPayload{
		EntityKind: e.EntityKind, EntityName: e.EntityName, ActorKind: e.Actor.Kind, ActorName: e.Actor.Name,
		RequestID: e.Actor.RequestID, AuditID: e.ID.String(), Changes: e.Changes,
	}
	if e.EntityID != uuid.Nil {
		payload.EntityID = e.EntityID.String()
	}
	return tx.emit(eventKind, e.EntityKind, e.EntityID, payload)
}

// emit adds an event to the outbox when the transaction commits. Neither secrets nor
// personal data belong in the payload, which must have a JSON form.
func (tx *writeTx) emit(kind, entityKind string, entityID uuid.UUID, payload any) (err error) {
	e := operator.Event{At: tx.store.timestamp(), Kind: kind, EntityKind: entityKind, EntityID: entityID}
	if e.Payload, err = json.Marshal(payload); err != nil {
		return err
	}
	if e.ID, err = uuid.NewV7(); err != nil {
		return err
	}
	tx.events = append(tx.events, e)
	return nil
}

// finish writes what record and emit have collected. It is the last thing a
// transaction does: from here to the commit it holds the one row that all writers
// want, and waits for nothing else, so writers neither deadlock nor wait for long.
func (tx *writeTx) finish(ctx context.Context) error {
	if len(tx.entries) == 0 && len(tx.events) == 0 {
		return nil
	}
	err := tx.writeAudit(ctx)
	if kindOf(err) == kindUnique { // it is not the caller's name that is taken
		return fmt.Errorf("write the audit log: %v", err)
	}
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

func (tx *writeTx) writeAudit(ctx context.Context) error {
	chain := tx.store.chain
	last, err := tx.lockHead(ctx)
	if err != nil {
		return err
	}
	for i := range tx.entries {
		e := &tx.entries[i]
		e.Seq, e.PrevHash = last.Seq+1, last.Hash
		e.ContentMAC = chain.ContentMAC(e)
		e.Hash = chain.Hash(e)
		if err := insert(ctx, tx.Tx, "audit_log", auditFields(e)); err != nil {
			return err
		}
		last = operator.AuditMark{Seq: e.Seq, Hash: e.Hash}
	}
	if len(tx.entries) > 0 {
		if err := tx.saveMark(ctx, operator.AuditHead, last); err != nil {
			return err
		}
	}
	events := source{len(tx.events), func(i int) []field { return eventFields(&tx.events[i]) }}
	if events.n == 0 {
		return nil
	}
	if events.n >= copyThreshold {
		return insertRows(ctx, tx, "outbox", events)
	}
	return executeRows(ctx, tx, insertion("outbox", eventFields(new(operator.Event))), events)
}

// lockHead locks the end of the log and returns what the next entry follows. If the
// end is not as radiusd left it, that entry follows nothing, which a verification
// finds: whoever changes the log does not stop the work, but is found out.
func (tx *writeTx) lockHead(ctx context.Context) (operator.AuditMark, error) {
	if err := tx.store.ensureHead(ctx, tx); err != nil {
		return operator.AuditMark{}, err
	}
	chain := tx.store.chain
	var head operator.SignedMark
	var highest uint64
	err := tx.QueryRowContext(ctx, "SELECT seq, hash, mac, (SELECT coalesce(max(seq), 0) FROM audit_log) FROM audit_marks WHERE name = $1"+tx.forUpdate(),
		operator.AuditHead).Scan(whole[uint64]{&head.Seq}, digest{&head.Hash}, digest{&head.MAC}, whole[uint64]{&highest})
	if err != nil {
		return operator.AuditMark{}, err
	}
	if highest > head.Seq || !chain.Valid(operator.AuditHead, head) {
		tx.store.logger.Error("the end of the audit log was changed by somebody else, see the command audit verify", "entry", max(highest, head.Seq))
		return operator.AuditMark{Seq: max(highest, head.Seq), Hash: chain.Broken()}, nil
	}
	return head.AuditMark, nil
}

// executor is a *sql.DB or a *sql.Tx.
type executor interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// ensureHead makes the row of the log's end if there is none: that of a new log, so
// that it is found out where one was taken away.
func (s *Store) ensureHead(ctx context.Context, tx executor) error {
	return s.ensureMark(ctx, tx, operator.AuditHead)
}

func (s *Store) ensureMark(ctx context.Context, tx executor, name string) error {
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM audit_marks WHERE name = $1", name).Scan(&n)
	if err != nil || n > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO audit_marks (name, seq, hash, mac) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
		s.markArgs(name, operator.AuditMark{Hash: s.chain.Genesis()})...)
	return err
}

func (tx *writeTx) saveMark(ctx context.Context, name string, m operator.AuditMark) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit_marks (name, seq, hash, mac) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, mac = excluded.mac`, tx.store.markArgs(name, m)...)
	return err
}

func (s *Store) markArgs(name string, m operator.AuditMark) []any {
	mac := s.chain.MAC(name, m)
	return []any{name, whole[uint64]{&m.Seq}, digest{&m.Hash}, digest{&mac}}
}

// mark reads a row beside the log; the zero value: there is none.
func (s *Store) mark(ctx context.Context, q querier, name, lock string) (m operator.SignedMark, err error) {
	err = q.QueryRowContext(ctx, "SELECT seq, hash, mac FROM audit_marks WHERE name = $1"+lock, name).
		Scan(whole[uint64]{&m.Seq}, digest{&m.Hash}, digest{&m.MAC})
	if errors.Is(err, sql.ErrNoRows) {
		return operator.SignedMark{}, nil
	}
	return m, err
}

// AppendAudit writes an entry about something that no change of the store stands
// for, such as a sign-in. Who did it comes from the context (operator.WithActor);
// the caller gives Action, Entity… and Changes, without secrets and personal data.
// An event of the kind goes to the outbox, unless that is empty.
func (s *Store) AppendAudit(ctx context.Context, e operator.AuditEntry, eventKind string) error {
	err := s.write(ctx, func(tx *writeTx) error { return tx.record(ctx, e, eventKind) })
	if err != nil {
		return s.explain(err)
	}
	return nil
}

// AuditOnce is AppendAudit of what was done elsewhere for a request that may have an
// idempotency key, and made the entity: a repeat fails as every create does.
func (s *Store) AuditOnce(ctx context.Context, entityID uuid.UUID, e operator.AuditEntry) error {
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, entityID); err != nil {
			return err
		}
		return tx.record(ctx, e, "")
	})
	if err != nil {
		return s.explain(err)
	}
	return nil
}

// defaultAuditPage is how many entries ListAudit returns if nobody says.
const defaultAuditPage = 100

// ListAudit returns entries, newest first. The next page has the filter's Before set
// to the Seq of the last one.
func (s *Store) ListAudit(ctx context.Context, filter operator.AuditFilter) (list []operator.AuditEntry, err error) {
	var c conditions
	switch {
	case strings.HasSuffix(filter.Action, "."):
		c.add("action >= $%d", filter.Action)
		c.add("action < $%d", strings.TrimSuffix(filter.Action, ".")+"/") // the character after the dot
	case filter.Action != "":
		c.add("action = $%d", filter.Action)
	}
	for _, term := range []struct{ column, value string }{
		{"entity_kind", filter.EntityKind}, {"entity_name", filter.EntityName}, {"actor_name", filter.ActorName}, {"request_id", filter.RequestID},
	} {
		if term.value != "" {
			c.add(term.column+" = $%d", cleanText(term.value))
		}
	}
	if filter.EntityID != uuid.Nil {
		c.add("entity_id = $%d", filter.EntityID.String())
	}
	if filter.ActorID != uuid.Nil {
		c.add("actor_id = $%d", filter.ActorID.String())
	}
	if filter.ActorKind != nil {
		c.add("actor_kind = $%d", filter.ActorKind.String())
	}
	if !filter.Since.IsZero() {
		c.add("at >= $%d", moment{&filter.Since})
	}
	if !filter.Until.IsZero() {
		c.add("at < $%d", moment{&filter.Until})
	}
	if filter.Before > 0 {
		c.add("seq < $%d", whole[uint64]{&filter.Before})
	}
	if filter.Limit <= 0 {
		filter.Limit = defaultAuditPage
	}
	list, err = s.auditEntries(ctx, s.reader, c.where()+" ORDER BY seq DESC LIMIT "+fmt.Sprint(filter.Limit), c.args)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", s.explain(err))
	}
	return list, nil
}

// AuditEntryByID returns one entry. It fails with ErrNotFound.
func (s *Store) AuditEntryByID(ctx context.Context, entryID uuid.UUID) (operator.AuditEntry, error) {
	list, err := s.auditEntries(ctx, s.reader, "WHERE id = $1", []any{entryID.String()})
	if err != nil {
		return operator.AuditEntry{}, fmt.Errorf("read the audit log: %w", s.explain(err))
	}
	if len(list) == 0 {
		return operator.AuditEntry{}, notFound("audit entry", entryID.String())
	}
	return list[0], nil
}

func (s *Store) auditEntries(ctx context.Context, q querier, rest string, args []any) (list []operator.AuditEntry, err error) {
	var e operator.AuditEntry
	fields := auditFields(&e)
	err = eachRow(ctx, q, "SELECT "+names(fields)+" FROM audit_log "+rest, args, targets(fields), func() error {
		list = append(list, e)
		return nil
	})
	return list, err
}

// object is a JSON object, held as text.
type object struct{ p *json.RawMessage }

func (c object) Value() (driver.Value, error) { return string(*c.p), nil }
func (c object) appendBinary(b []byte) []byte { return appendText(b, []byte(*c.p)) }
func (c object) Scan(src any) error {
	switch v := src.(type) {
	case string:
		*c.p = json.RawMessage(v)
	case []byte:
		*c.p = append(json.RawMessage{}, v...)
	default:
		return mismatch(src, "json")
	}
	return nil
}

// digest is a hash of 32 octets.
type digest struct{ p *[32]byte }

func (c digest) Value() (driver.Value, error) { return c.p[:], nil }
func (c digest) appendBinary(b []byte) []byte { return appendText(b, c.p[:]) }
func (c digest) Scan(src any) error {
	v, ok := src.([]byte)
	if !ok || len(v) != len(c.p) {
		return mismatch(src, "hash")
	}
	*c.p = [32]byte(v)
	return nil
}

// nullDigest is a hash of 32 octets; the zero one is NULL.
type nullDigest struct{ p *[32]byte }

func (c nullDigest) Value() (driver.Value, error) {
	if *c.p == ([32]byte{}) {
		return nil, nil
	}
	return c.p[:], nil
}
func (c nullDigest) appendBinary(b []byte) []byte {
	if *c.p == ([32]byte{}) {
		return appendNull(b)
	}
	return appendText(b, c.p[:])
}
func (c nullDigest) Scan(src any) error {
	if src == nil {
		*c.p = [32]byte{}
		return nil
	}
	return digest(c).Scan(src)
}
