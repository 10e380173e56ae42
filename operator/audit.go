package operator

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// AuditEntry is one change that somebody made: who, when, what, and how it was
// before and is after.
type AuditEntry struct {
	// Seq counts the entries from 1, without gaps, in the order of commits.
	Seq uint64
	ID  uuid.UUID
	// At is UTC in microseconds.
	At    time.Time
	Actor Actor
	// Action is a table and a verb, like users.create, nas.update, users.import.
	Action string
	// EntityKind is what was changed: user, plan, group, nas, operator, ….
	EntityKind string
	// EntityID is zero for an action on many.
	EntityID uuid.UUID
	// EntityName is the name after the change.
	EntityName string
	// Changes is a JSON object: field -> {"before": …, "after": …}. A create has no
	// before, a delete no after. A secret or a personal datum is only
	// {"changed": true}. An action on many has counts and some names instead.
	Changes json.RawMessage
	// PrevHash is the Hash of the entry before, and Hash is over all of this one,
	// see AuditChain.
	PrevHash, Hash [32]byte
	// ContentMAC stands for EntityName and Changes in Hash, see AuditChain.ContentMAC;
	// zero in entries of before there was one.
	ContentMAC [32]byte
	// Redacted says that EntityName and Changes were blanked, since they told of a person
	// who was erased.
	Redacted bool
}

// AuditFilter selects entries, newest first. Zero fields select all.
type AuditFilter struct {
	// Action is an action, or the beginning of one that ends in a dot, as "users.".
	Action     string
	EntityKind string
	EntityID   uuid.UUID
	EntityName string
	ActorKind  *ActorKind
	ActorID    uuid.UUID
	ActorName  string
	RequestID  string
	// Since and Until bound At: Since <= At < Until.
	Since, Until time.Time
	// Before is the Seq of the last entry of the page before.
	Before uint64
	// Limit is how many entries to return at most; zero: 100.
	Limit int
}

// AuditMark is a place in the log: the number of an entry and its hash. Who keeps
// one outside of the database finds out later if the log was put back to before it.
type AuditMark struct {
	Seq  uint64
	Hash [32]byte
}

func (m AuditMark) String() string { return fmt.Sprintf("%d:%x", m.Seq, m.Hash) }

// ParseAuditMark reads a mark as String writes it.
func ParseAuditMark(text string) (m AuditMark, err error) {
	var hash []byte
	var seq uint64
	n, err := fmt.Sscanf(text, "%d:%x", &seq, &hash)
	if err != nil || n != 2 || len(hash) != len(m.Hash) || fmt.Sprintf("%d:%x", seq, hash) != text {
		return AuditMark{}, fmt.Errorf("%q is not a mark of the audit log: want SEQ:HASH with 64 hex digits, as verify prints it", text)
	}
	return AuditMark{seq, [32]byte(hash)}, nil
}

// AuditReport is what a verification has found in order.
type AuditReport struct {
	// Entries is how many were checked, the first of them First.
	Entries, First uint64
	// Head is the last one.
	Head AuditMark
}

// AuditError says which entry is not as radiusd wrote it, the first one.
type AuditError struct {
	// Seq is its number.
	Seq     uint64
	Problem string
}

func (e *AuditError) Error() string {
	return fmt.Sprintf("audit log: entry %d %s", e.Seq, e.Problem)
}
