package operator

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Event is something that happened, for other systems. It is written in the same
// transaction as what it tells of.
type Event struct {
	// Seq is its place in the outbox, in the order of commits.
	Seq uint64
	// ID is the same each time the event is delivered.
	ID uuid.UUID
	At time.Time
	// Kind is what happened, as user.created, plan.updated, webhook.disabled.
	Kind       string
	EntityKind string
	EntityID   uuid.UUID
	// Payload is a JSON object without secrets and without personal data.
	Payload json.RawMessage
}

// EventPayload is the Payload of an event that tells of a change.
type EventPayload struct {
	EntityKind string          `json:"entity_kind"`
	EntityID   string          `json:"entity_id,omitempty"`
	EntityName string          `json:"entity_name,omitempty"`
	ActorKind  ActorKind       `json:"actor_kind"`
	ActorName  string          `json:"actor_name,omitempty"`
	RequestID  string          `json:"request_id,omitempty"`
	AuditID    string          `json:"audit_id,omitempty"`
	Changes    json.RawMessage `json:"changes,omitempty"` // as in AuditEntry
}
