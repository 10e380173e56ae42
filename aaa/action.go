package aaa

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/radius"
)

// ActionKind is what a NAS is asked to do with a session (RFC 5176).
type ActionKind uint8

// The kinds of action.
const (
	ActionDisconnect ActionKind = iota // Disconnect-Request: end it
	ActionCoA                          // CoA-Request: change what it is authorized for
)

var actionKindNames = [...]string{"disconnect", "coa"}

// String returns the kind as it stands in session_actions.
func (k ActionKind) String() string {
	if int(k) < len(actionKindNames) {
		return actionKindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseActionKind reads a kind as String writes it.
func ParseActionKind(s string) (ActionKind, error) {
	for i, name := range actionKindNames {
		if s == name {
			return ActionKind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown kind of action %q: want disconnect or coa", s)
}

// ActionState is how far an action has come.
type ActionState uint8

// The states of an action. It waits in the first two; the others are outcomes.
const (
	ActionQueued       ActionState = iota // waits for its turn
	ActionSent                            // a node has taken it and asks the NAS
	ActionAcknowledged                    // the NAS has done it (ACK)
	ActionRefused                         // the NAS has not (NAK); ErrorCause and Detail say why
	ActionUnanswered                      // the NAS was silent, or nothing listens on its port
	ActionFailed                          // it could not be sent; Detail says why
	ActionSkipped                         // there is nothing to do: the session has what is wanted, or had ended before, or the batch was canceled
	ActionGone                            // the NAS does not know the session (NAK, Session-Context-Not-Found)
)

// ActionStateCount is how many states there are.
const ActionStateCount = int(ActionGone) + 1

var actionStateNames = [ActionStateCount]string{
	"queued", "sent", "acknowledged", "refused", "unanswered", "failed", "skipped", "gone",
}

// String returns the state as it stands in session_actions and in metrics.
func (s ActionState) String() string {
	if int(s) < len(actionStateNames) {
		return actionStateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// ParseActionState reads a state as String writes it.
func ParseActionState(text string) (ActionState, error) {
	for i, name := range actionStateNames {
		if text == name {
			return ActionState(i), nil
		}
	}
	return 0, fmt.Errorf("unknown state of an action %q", text)
}

// Pending reports whether the outcome is yet to come.
func (s ActionState) Pending() bool { return s == ActionQueued || s == ActionSent }

// Troubled reports whether the state is an outcome that an operator must look at:
// the session is still there, as it was.
func (s ActionState) Troubled() bool {
	return s == ActionRefused || s == ActionUnanswered || s == ActionFailed
}

// SessionAction is one request to a NAS about one session, and what became of it.
type SessionAction struct {
	ID        uuid.UUID // UUIDv7, in the order of queueing
	BatchID   uuid.UUID
	SessionID uuid.UUID
	// AcctSessionID, Username, NASID and NASAddr are the session's when the action
	// was queued.
	AcctSessionID string
	Username      string
	NASID         uuid.UUID
	NASAddr       netip.Addr
	Kind          ActionKind
	// Attributes are what a CoA-Request changes, as reply items; see [ValidateChange].
	Attributes []Item
	State      ActionState
	// Attempts is how often the request was sent, retransmissions included.
	Attempts   int
	ErrorCause radius.ErrorCause // of a NAK; zero: none
	Detail     string            // why, for people; empty: nothing to add
	Actor      string            // who asked for it
	CreatedAt  time.Time
	SentAt     time.Time // zero: not yet
	AnsweredAt time.Time // when the outcome was known; zero: not yet
	// StoppedAt is when the session ended according to the NAS's Stop; zero: no Stop
	// came yet. It is the session's, so it may come later than the outcome.
	StoppedAt time.Time
	// StopMissing says that a Disconnect-Request was acknowledged, and repeated, and no
	// Stop came.
	StopMissing bool
}

// ActionBatch is what was asked for at once: one session, or all that a filter
// selected.
type ActionBatch struct {
	ID     uuid.UUID // UUIDv7
	Kind   ActionKind
	Filter string // what selected the sessions, for people
	Rate   int    // requests a second on all nodes together; zero: no limit
	Actor  string // who asked for it
	// Totals are the actions by state, as of the moment of reading.
	Totals     ActionTotals
	CreatedAt  time.Time
	FinishedAt time.Time // when the last outcome was known; zero: not yet
}

// ActionTotals counts actions by state.
type ActionTotals [ActionStateCount]int

// Of returns how many are in the state.
func (t ActionTotals) Of(state ActionState) int { return t[state] }

// All returns how many there are.
func (t ActionTotals) All() int { return t.sum(func(ActionState) bool { return true }) }

// Pending returns how many have no outcome yet.
func (t ActionTotals) Pending() int { return t.sum(ActionState.Pending) }

// Troubled returns how many an operator must look at.
func (t ActionTotals) Troubled() int { return t.sum(ActionState.Troubled) }

func (t ActionTotals) sum(of func(ActionState) bool) (n int) {
	for state, count := range t {
		if of(ActionState(state)) {
			n += count
		}
	}
	return n
}

// NewSessionAction returns an action on a session, to be queued.
func NewSessionAction(s *Session, kind ActionKind, attributes []Item) SessionAction {
	return SessionAction{
		SessionID: s.ID, AcctSessionID: s.AcctSessionID, Username: s.Username,
		NASID: s.NASID, NASAddr: s.NASAddr, Kind: kind, Attributes: attributes,
	}
}

// MaxBatch is how many actions one batch may have. Whoever wants more selects fewer
// sessions at a time, by NAS for one.
const MaxBatch = 100000

// ErrBatchTooLarge means that a batch has more than MaxBatch actions.
var ErrBatchTooLarge = errors.New("too many sessions for one batch: at most 100000")

// ActionClaim says which actions a node takes.
type ActionClaim struct {
	Batch uuid.UUID     // only of this batch; zero: of all
	Lease time.Duration // how long the node has for them before another may take them
	Limit int           // at most so many
	// Busy are the NASes of which none is wanted, by nas_ip, and Room returns how many
	// are of another one. It is called in a transaction, and must not block.
	Busy []netip.Addr
	Room func(nas netip.Addr) int
}

// ClaimedAction is an action that a node has taken, and the session it is about.
type ClaimedAction struct {
	SessionAction
	Session *Session // nil: the store does not have it any more
}

// ActionQueue is where actions wait and where their outcomes are kept. All nodes
// take from the same one.
type ActionQueue interface {
	// ClaimActions takes actions that wait, or that a node has taken whose lease has
	// expired: no two nodes have one at the same time. It takes no more of a batch than
	// its rate allows.
	ClaimActions(ctx context.Context, claim ActionClaim) ([]ClaimedAction, error)
	// RecordActions keeps the outcomes: State, Attempts, ErrorCause, Detail and
	// AnsweredAt. One that has an outcome already keeps it. From now until stopBy, if
	// that is not zero, the Stop of those is awaited that are acknowledged disconnects.
	RecordActions(ctx context.Context, outcomes []SessionAction, stopBy time.Time) error
	// ReleaseActions gives back what was taken and not sent, or not waited for.
	ReleaseActions(ctx context.Context, ids []uuid.UUID) error
	// OverdueStops returns disconnects that were acknowledged and whose Stop has not
	// come in time: each once, to be repeated and awaited until again, and once more
	// with StopMissing.
	OverdueStops(ctx context.Context, again time.Time, limit int) ([]ClaimedAction, error)
	// RepeatedActions adds to the Attempts of actions that OverdueStops returned, and
	// sets their Detail unless that is empty.
	RepeatedActions(ctx context.Context, repeated []SessionAction) error
	// GoneSessions returns the sessions of which a NAS has said since the time that it
	// does not know them.
	GoneSessions(ctx context.Context, since time.Time) ([]GoneSession, error)
	// CloseSessions is [SessionCloser]'s.
	CloseSessions(ctx context.Context, closings []Closing) error
}

// GoneSession is a session that its NAS does not know.
type GoneSession struct {
	ID uuid.UUID
	At time.Time // when the NAS said so
}

// ActionFilter selects actions: those to which all of it applies. A zero field
// selects all.
type ActionFilter struct {
	BatchID   uuid.UUID
	SessionID uuid.UUID
	Username  string
	States    []ActionState // none: all
}

// ActionSorts are the sorts of actions and of their batches.
func ActionSorts() []string { return []string{"-created_at"} }
