package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"radiusd/aaa"
	"radiusd/operator"
)

// AuditStore keeps who changed what, and the events that tell of it.
type AuditStore interface {
	ListAudit(ctx context.Context, filter operator.AuditFilter) ([]operator.AuditEntry, error)
	// VerifyAudit fails with *operator.AuditError if the log was tampered with.
	VerifyAudit(ctx context.Context, expect operator.AuditMark, progress func(done, of uint64)) (operator.AuditReport, error)
	// AppendAudit adds an entry, and an event if a kind is given.
	AppendAudit(ctx context.Context, e operator.AuditEntry, eventKind string) error
	EventsAfter(ctx context.Context, position uint64, limit int) ([]operator.Event, error)
}

// audit is the resources /audit and /events.
type audit struct{ store AuditStore }

func (h *audit) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	p := r.Params
	filter := operator.AuditFilter{
		ActorName: p.Actor, Action: p.Action, EntityKind: p.EntityKind, EntityID: p.EntityID, RequestID: p.RequestID, Since: p.From, Until: p.Before,
	}
	const list = "audit"
	before, err := numberCursor(p.Cursor, list, filter)
	if err != nil {
		return nil, err
	}
	limit := page(p.Cursor, p.Limit, "").Limit
	asked := filter
	asked.Before, asked.Limit = before, limit+1
	entries, err := h.store.ListAudit(ctx, asked)
	if err != nil {
		return nil, err
	}
	body := AuditList{Items: []AuditEntry{}, NextCursor: nextCursor("")}
	if len(entries) > limit {
		entries = entries[:limit]
		body.NextCursor = nextCursor(formatNumberCursor(entries[limit-1].Seq, list, filter))
	}
	for i := range entries {
		entry, err := auditEntryOf(&entries[i])
		if err != nil {
			return nil, err
		}
		body.Items = append(body.Items, entry)
	}
	return ListAudit200JSONResponse(body), nil
}

func (h *audit) VerifyAudit(ctx context.Context, _ VerifyAuditRequestObject) (VerifyAuditResponseObject, error) {
	report, err := h.store.VerifyAudit(ctx, operator.AuditMark{}, nil)
	var tampered *operator.AuditError
	if errors.As(err, &tampered) {
		return VerifyAudit200JSONResponse{Valid: false, Entries: count(report.Entries), Head: report.Head.String(), Problem: tampered.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return VerifyAudit200JSONResponse{Valid: true, Entries: count(report.Entries), Head: report.Head.String()}, nil
}

func (h *audit) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	const list = "events"
	after, err := numberCursor(r.Params.Cursor, list, nil)
	if err != nil {
		return nil, err
	}
	events, err := h.store.EventsAfter(ctx, after, page(r.Params.Cursor, r.Params.Limit, "").Limit)
	if err != nil {
		return nil, err
	}
	body := EventList{Items: []Event{}}
	for _, e := range events {
		after = e.Seq
		event := Event{ID: e.ID, At: e.At, Type: e.Kind, Cursor: formatNumberCursor(e.Seq, list, nil)}
		if err := json.Unmarshal(e.Payload, &event.Data); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
		body.Items = append(body.Items, event)
	}
	body.NextCursor = formatNumberCursor(after, list, nil)
	return ListEvents200JSONResponse(body), nil
}

// formatNumberCursor writes the cursor of a list whose rows are numbered.
func formatNumberCursor(n uint64, list string, filter any) string {
	return aaa.FormatCursor(list, "", filter, strconv.FormatUint(n, 10))
}

// numberCursor reads what formatNumberCursor wrote; zero: the first page.
func numberCursor(cursor, list string, filter any) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	keys, err := aaa.ParseCursor(cursor, list, "", filter)
	if err != nil {
		return 0, err
	}
	if len(keys) != 1 {
		return 0, aaa.ErrBadCursor
	}
	n, err := strconv.ParseUint(keys[0], 10, 63)
	if err != nil {
		return 0, aaa.ErrBadCursor
	}
	return n, nil
}

func auditEntryOf(e *operator.AuditEntry) (AuditEntry, error) {
	entry := AuditEntry{
		Seq: count(e.Seq), At: e.At, Action: e.Action, EntityKind: e.EntityKind, EntityID: idOrNull(e.EntityID), EntityName: e.EntityName,
		Hash: hex.EncodeToString(e.Hash[:]),
		Actor: AuditActor{
			Kind: AuditActorKind(e.Actor.Kind.String()), ID: idOrNull(e.Actor.ID), Name: e.Actor.Name,
			Address: textOrNull(e.Actor.Addr), RequestID: e.Actor.RequestID,
		},
	}
	if err := json.Unmarshal(e.Changes, &entry.Changes); err != nil {
		return entry, fmt.Errorf("audit entry %d: %w", e.Seq, err)
	}
	return entry, nil
}
