package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/operator"
)

// ActionStore keeps what is asked of NASes about sessions, and has what that depends
// on.
type ActionStore interface {
	aaa.ActionStore
	SessionByID(ctx context.Context, id uuid.UUID) (*aaa.Session, error)
	PlanByID(ctx context.Context, id uuid.UUID) (*aaa.Plan, error)

	// CheckKey fails if the idempotency key of the context was used before.
	CheckKey(ctx context.Context) error
	// QueueActions adds a batch, once for each idempotency key of the context.
	QueueActions(ctx context.Context, batch *aaa.ActionBatch, actions []aaa.SessionAction) error
	ListActionsPage(ctx context.Context, filter aaa.ActionFilter, page aaa.Page) (list []aaa.SessionAction, next string, err error)
	ActionByID(ctx context.Context, id uuid.UUID) (*aaa.SessionAction, error)
	ListActionBatchesPage(ctx context.Context, page aaa.Page) (list []aaa.ActionBatch, next string, err error)
	ActionBatchByID(ctx context.Context, id uuid.UUID) (*aaa.ActionBatch, error)
	// CancelActions skips what waits in a batch.
	CancelActions(ctx context.Context, batchID uuid.UUID) (skipped int, err error)
}

// actions are the resources /actions and /action-batches, and what is done to sessions.
type actions struct {
	dict      *dictionary.Dictionary
	templates *aaa.Templates
	store     ActionStore
	now       func() time.Time
}

// defaultRate is how many requests of a batch are sent a second if the client does not
// say.
const defaultRate = 50

func (h *actions) planner() *aaa.ActionPlanner {
	return aaa.NewActionPlanner(h.dict, h.templates, h.store)
}

// applyPlan asks the NASes of the user's open sessions to let them have what the user's
// plan gives: by CoA-Requests, or by ending those that cannot be changed, or all if the
// user may not log in any more. It returns the batch, which has no actions if nothing
// changes. oldPlan is the plan that the user had, which the sessions have; zero: the
// ones that they were last seen with, and everything of the plan is sent again.
func (h *actions) applyPlan(ctx context.Context, userID, oldPlan uuid.UUID) (*aaa.ActionBatch, error) {
	user, err := h.store.UserRowByID(ctx, userID)
	if err != nil {
		return nil, err
	}
	var plans [2]*aaa.Plan
	for i, id := range []uuid.UUID{oldPlan, user.PlanID} {
		if id == uuid.Nil {
			continue
		}
		if plans[i], err = h.store.PlanByID(ctx, id); err != nil && !errors.Is(err, aaa.ErrNotFound) {
			return nil, err
		}
	}
	planner := h.planner()
	filter := aaa.SessionFilter{Username: user.Name}
	sessions, err := planner.SelectUser(ctx, userID, filter)
	if err != nil {
		return nil, err
	}
	list, err := planner.ApplyPlan(ctx, user, plans[0], plans[1], sessions, h.now())
	if err != nil {
		return nil, err
	}
	words := filter.Words("")
	if plans[1] != nil {
		words += ", to get plan " + plans[1].Name
	}
	batch := &aaa.ActionBatch{Kind: aaa.ActionCoA, Filter: words, Rate: defaultRate}
	if err := h.store.QueueActions(ctx, batch, list); err != nil {
		return nil, err
	}
	return batch, nil
}

func (h *actions) DisconnectSession(ctx context.Context, r DisconnectSessionRequestObject) (DisconnectSessionResponseObject, error) {
	body, err := h.act(ctx, r.SessionID, func() (aaa.SessionChange, error) { return aaa.SessionChange{Kind: aaa.ActionDisconnect}, nil })
	if err != nil {
		return nil, err
	}
	return DisconnectSession202JSONResponse{Body: body, Headers: DisconnectSession202ResponseHeaders{Location: location("actions", body.ID)}}, nil
}

func (h *actions) ChangeSession(ctx context.Context, r ChangeSessionRequestObject) (ChangeSessionResponseObject, error) {
	body, err := h.act(ctx, r.SessionID, func() (aaa.SessionChange, error) { return h.change(ctx, "", *r.Body) })
	if err != nil {
		return nil, err
	}
	return ChangeSession202JSONResponse{Body: body, Headers: ChangeSession202ResponseHeaders{Location: location("actions", body.ID)}}, nil
}

// act queues one action on one session. A repeat is answered with the first one's action,
// whatever has become of session and plan since.
func (h *actions) act(ctx context.Context, sessionID uuid.UUID, change func() (aaa.SessionChange, error)) (Action, error) {
	list, err := h.queueOne(ctx, sessionID, change)
	if id, again := repeated(err); again {
		if list, _, err = h.store.ListActionsPage(ctx, aaa.ActionFilter{BatchID: id}, aaa.Page{Limit: 1}); err == nil && len(list) == 0 {
			err = fmt.Errorf("batch %s of a session action: %w", id, aaa.ErrNotFound)
		}
	}
	if err != nil {
		return Action{}, err
	}
	return actionOf(&list[0]), nil
}

func (h *actions) queueOne(ctx context.Context, sessionID uuid.UUID, change func() (aaa.SessionChange, error)) ([]aaa.SessionAction, error) {
	if err := h.store.CheckKey(ctx); err != nil {
		return nil, err
	}
	want, err := change()
	if err != nil {
		return nil, err
	}
	session, err := h.store.SessionByID(ctx, sessionID)
	if err != nil {
		return nil, err
	}
	action, err := h.planner().Action(ctx, session, want)
	if err != nil {
		return nil, err
	}
	list := []aaa.SessionAction{action}
	batch := aaa.ActionBatch{Kind: want.Kind, Filter: aaa.SessionWords([]aaa.Session{*session})}
	return list, h.store.QueueActions(ctx, &batch, list)
}

// change reads what a CoA-Request is to change. within is where in the input it stands.
func (h *actions) change(ctx context.Context, within string, in CoAInput) (want aaa.SessionChange, err error) {
	want.Kind = aaa.ActionCoA
	if in.PlanID == uuid.Nil && len(in.Attributes) == 0 {
		return want, invalidField(within+"attributes", "want a plan or an attribute")
	}
	if in.PlanID != uuid.Nil {
		if want.Plan, err = h.store.PlanByID(ctx, in.PlanID); errors.Is(err, aaa.ErrNotFound) {
			return want, invalidField(within+"plan_id", "%v", err)
		} else if err != nil {
			return want, err
		}
	}
	var wrong []FieldError
	for i, a := range in.Attributes {
		item := aaa.Item{Kind: aaa.ReplyItem, Attribute: a.Attribute, Op: "+=", Value: a.Value}
		if err := aaa.ValidateChange(h.dict, []aaa.Item{item}); err != nil {
			wrong = append(wrong, FieldError{Field: fmt.Sprintf("%sattributes[%d]", within, i), Message: err.Error()})
		}
		want.Attributes = append(want.Attributes, item)
	}
	if len(wrong) > 0 {
		return want, invalid(wrong...)
	}
	if len(want.Attributes) > 0 {
		if err := aaa.ValidateChange(h.dict, want.Attributes); err != nil {
			return want, invalidField(within+"attributes", "%v", err)
		}
	}
	return want, nil
}

func (h *actions) ListActions(ctx context.Context, r ListActionsRequestObject) (ListActionsResponseObject, error) {
	filter := aaa.ActionFilter{BatchID: r.Params.BatchID, SessionID: r.Params.SessionID, Username: r.Params.Username}
	if r.Params.State != "" {
		state, err := aaa.ParseActionState(string(r.Params.State))
		if err != nil {
			return nil, invalidField("state", "%v", err)
		}
		filter.States = []aaa.ActionState{state}
	}
	found, next, err := h.store.ListActionsPage(ctx, filter, page(r.Params.Cursor, r.Params.Limit, ""))
	if err != nil {
		return nil, err
	}
	list := ActionList{Items: make([]Action, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = h.show(ctx, &found[i])
	}
	return ListActions200JSONResponse(list), nil
}

func (h *actions) GetAction(ctx context.Context, r GetActionRequestObject) (GetActionResponseObject, error) {
	action, err := h.store.ActionByID(ctx, r.ActionID)
	if err != nil {
		return nil, err
	}
	return GetAction200JSONResponse(h.show(ctx, action)), nil
}

func (h *actions) ListActionBatches(ctx context.Context, r ListActionBatchesRequestObject) (ListActionBatchesResponseObject, error) {
	found, next, err := h.store.ListActionBatchesPage(ctx, page(r.Params.Cursor, r.Params.Limit, ""))
	if err != nil {
		return nil, err
	}
	list := ActionBatchList{Items: make([]ActionBatch, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = actionBatchOf(&found[i])
	}
	return ListActionBatches200JSONResponse(list), nil
}

func (h *actions) CreateActionBatch(ctx context.Context, r CreateActionBatchRequestObject) (CreateActionBatchResponseObject, error) {
	batch, err := h.queueBatch(ctx, r.Body)
	if id, again := repeated(err); again {
		batch, err = h.store.ActionBatchByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	if r.Body.DryRun {
		return CreateActionBatch200JSONResponse(actionBatchOf(batch)), nil
	}
	return CreateActionBatch202JSONResponse{Body: actionBatchOf(batch), Headers: CreateActionBatch202ResponseHeaders{Location: location("action-batches", batch.ID)}}, nil
}

// queueBatch queues what is to be done to all sessions of a batch, unless it is a dry run.
func (h *actions) queueBatch(ctx context.Context, in *ActionBatchInput) (*aaa.ActionBatch, error) {
	if err := h.store.CheckKey(ctx); err != nil {
		return nil, err
	}
	want, err := h.batchChange(ctx, in)
	if err != nil {
		return nil, err
	}
	filter, words, err := h.batchFilter(ctx, in.Filter)
	if err != nil {
		return nil, err
	}
	planner := h.planner()
	sessions, err := planner.Select(ctx, filter)
	if err != nil {
		return nil, err
	}
	list, err := planner.Actions(ctx, sessions, want)
	if err != nil {
		return nil, err
	}
	batch := &aaa.ActionBatch{Kind: want.Kind, Filter: words, Rate: in.Rate}
	if batch.Rate == 0 {
		batch.Rate = defaultRate
	}
	if in.DryRun {
		batch.Actor, batch.CreatedAt = operator.ActorOf(ctx).Name, h.now()
		for i := range list {
			batch.Totals[list[i].State]++
		}
		return batch, nil
	}
	return batch, h.store.QueueActions(ctx, batch, list)
}

// batchChange reads what is to be done to all sessions of a batch.
func (h *actions) batchChange(ctx context.Context, in *ActionBatchInput) (aaa.SessionChange, error) {
	kind, err := aaa.ParseActionKind(string(in.Kind))
	switch {
	case err != nil:
		return aaa.SessionChange{}, invalidField("kind", "%v", err)
	case kind == aaa.ActionCoA && in.Change == nil:
		return aaa.SessionChange{}, invalidField("change", "coa needs what is to be changed")
	case kind == aaa.ActionCoA:
		return h.change(ctx, "change.", *in.Change)
	case in.Change != nil:
		return aaa.SessionChange{}, invalidField("change", "only coa changes something")
	}
	return aaa.SessionChange{Kind: kind}, nil
}

// batchFilter reads which sessions a batch is about, and says it in words.
func (h *actions) batchFilter(ctx context.Context, in ActionFilter) (filter aaa.SessionFilter, words string, err error) {
	filter = aaa.SessionFilter{Username: in.Username, NASID: in.NasID, Plan: in.Plan}
	if filter.NASAddr, err = addressParameter("filter.nas_ip", in.NasIP); err != nil {
		return filter, "", err
	}
	switch everybody := filter == (aaa.SessionFilter{}); {
	case everybody && !in.All:
		return filter, "", invalidField("filter", "an empty filter selects nothing: say all to mean everybody who is online")
	case in.All && !everybody:
		return filter, "", invalidField("filter.all", "all goes without another filter")
	}
	name := ""
	if in.NasID != uuid.Nil {
		nas, err := h.store.NASRowByID(ctx, in.NasID)
		if errors.Is(err, aaa.ErrNotFound) {
			return filter, "", invalidField("filter.nas_id", "%v", err)
		} else if err != nil {
			return filter, "", err
		}
		if name = nas.Name; name == "" {
			name = nas.Prefix.String()
		}
	}
	return filter, filter.Words(name), nil
}

func (h *actions) GetActionBatch(ctx context.Context, r GetActionBatchRequestObject) (GetActionBatchResponseObject, error) {
	batch, err := h.store.ActionBatchByID(ctx, r.BatchID)
	if err != nil {
		return nil, err
	}
	return GetActionBatch200JSONResponse(actionBatchOf(batch)), nil
}

func (h *actions) CancelActionBatch(ctx context.Context, r CancelActionBatchRequestObject) (CancelActionBatchResponseObject, error) {
	if _, err := h.store.CancelActions(ctx, r.BatchID); err != nil {
		return nil, err
	}
	batch, err := h.store.ActionBatchByID(ctx, r.BatchID)
	if err != nil {
		return nil, err
	}
	return CancelActionBatch200JSONResponse(actionBatchOf(batch)), nil
}

// show is actionOf without the secrets that a CoA-Request has, unless the caller may send
// one.
func (h *actions) show(ctx context.Context, a *aaa.SessionAction) Action {
	body := actionOf(a)
	if principalOf(ctx).Can(operator.SessionsAct) {
		return body
	}
	for i, item := range a.Attributes {
		if item.Secret(h.dict) {
			body.Attributes[i].Value = hidden
		}
	}
	return body
}

// actionOf is an action as the API shows it.
func actionOf(a *aaa.SessionAction) Action {
	attributes := make([]ActionAttribute, len(a.Attributes))
	for i, item := range a.Attributes {
		attributes[i] = ActionAttribute{Attribute: item.Attribute, Value: item.Value}
	}
	return Action{
		ID: a.ID, BatchID: a.BatchID, SessionID: a.SessionID, AcctSessionID: a.AcctSessionID, Username: a.Username,
		NasID: idOrNull(a.NASID), NasIP: textOrNull(a.NASAddr), Kind: ActionKind(a.Kind.String()), Attributes: attributes,
		State: ActionState(a.State.String()), Attempts: a.Attempts, ErrorCause: orNull(a.ErrorCause.String(), a.ErrorCause != 0),
		Detail: a.Detail, CreatedBy: a.Actor, CreatedAt: a.CreatedAt.UTC(),
		SentAt: timeOrNull(a.SentAt), AnsweredAt: timeOrNull(a.AnsweredAt), StoppedAt: timeOrNull(a.StoppedAt), StopMissing: a.StopMissing,
	}
}

// actionBatchOf is a batch as the API shows it.
func actionBatchOf(b *aaa.ActionBatch) ActionBatch {
	states := map[string]int{}
	for state, n := range b.Totals {
		if n > 0 {
			states[aaa.ActionState(state).String()] = n
		}
	}
	return ActionBatch{
		ID: idOrNull(b.ID), Kind: ActionKind(b.Kind.String()), Filter: b.Filter, Rate: b.Rate, Total: b.Totals.All(), States: states,
		CreatedBy: b.Actor, CreatedAt: b.CreatedAt.UTC(), FinishedAt: timeOrNull(b.FinishedAt),
	}
}
