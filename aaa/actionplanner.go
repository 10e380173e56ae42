package aaa

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/dictionary"
)

// Why nothing can be asked of a NAS about a session. The errors that wrap these say
// more.
var (
	// ErrSessionEnded means that the session is not open any more.
	ErrSessionEnded = errors.New("the session has ended")
	// ErrNoNAS means that nobody knows where, or under which secret, a request about the
	// session would go, or how its NAS would find it.
	ErrNoNAS = errors.New("the NAS of the session cannot be asked")
	// ErrNoChange means that a CoA-Request cannot do to the session what is wanted.
	ErrNoChange = errors.New("the session cannot be changed")
	// ErrNothingToChange means that the session has what is wanted.
	ErrNothingToChange = errors.New("there is nothing to change in the session")
)

// ActionStore is where an [ActionPlanner] finds sessions and what they depend on. It
// opens no secret.
type ActionStore interface {
	ListSessionsPage(ctx context.Context, filter SessionFilter, page Page) (list []Session, next string, err error)
	NASRowByID(ctx context.Context, id uuid.UUID) (*NASRow, error)
	ListNASPage(ctx context.Context, filter NASFilter, page Page) (rows []NASRow, next string, err error)
	// UserRowsByName returns those of the users that exist, in no order.
	UserRowsByName(ctx context.Context, names []string) ([]UserRow, error)
	// UserNames returns the names under which a user's sessions are.
	UserNames(ctx context.Context, userID uuid.UUID) ([]UserName, error)
	// FormerUser returns who had the name then and was renamed since; zero: nobody.
	FormerUser(ctx context.Context, name string, at time.Time) (uuid.UUID, error)
	UserRowByID(ctx context.Context, id uuid.UUID) (*UserRow, error)
	Groups(ctx context.Context) ([]Group, error)
	PlanByName(ctx context.Context, name string) (*Plan, error)
}

// ActionPlanner turns what somebody wants of sessions into actions to be queued. It
// remembers what it has read: one serves one wish, in one goroutine.
type ActionPlanner struct {
	dict      *dictionary.Dictionary
	templates *Templates
	store     ActionStore

	nases  map[plannedKey]plannedNAS
	plans  map[string]*Plan
	groups map[uuid.UUID]Group // nil: not read yet
}

type plannedKey struct {
	id   uuid.UUID
	addr netip.Addr
}

type plannedNAS struct {
	nas *NAS // without secrets
	err error
}

// NewActionPlanner returns a planner.
func NewActionPlanner(dict *dictionary.Dictionary, templates *Templates, store ActionStore) *ActionPlanner {
	return &ActionPlanner{dict: dict, templates: templates, store: store, nases: map[plannedKey]plannedNAS{}, plans: map[string]*Plan{}}
}

// SessionChange is what is wanted of a session.
type SessionChange struct {
	Kind ActionKind
	// Plan and Attributes are for [ActionCoA], one or both: what the plan gives, of
	// which Attributes replaces those of the same name. Whoever sets Attributes calls
	// [ValidateChange] first.
	Plan       *Plan
	Attributes []Item
}

// Select returns the open sessions that the filter selects, the latest start first. Those
// of a user are also those that began under a name that the user had before, and not those
// that began when somebody else had the name. It fails with ErrBatchTooLarge if there are
// more than MaxBatch.
func (p *ActionPlanner) Select(ctx context.Context, filter SessionFilter) ([]Session, error) {
	if filter.Username == "" {
		return p.open(ctx, filter)
	}
	users, err := p.store.UserRowsByName(ctx, []string{filter.Username})
	if err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return p.open(ctx, filter)
	}
	return p.SelectUser(ctx, users[0].ID, filter)
}

// SelectUser is Select for the sessions of a user; the filter's Username is not looked at.
func (p *ActionPlanner) SelectUser(ctx context.Context, userID uuid.UUID, filter SessionFilter) ([]Session, error) {
	names, err := p.store.UserNames(ctx, userID)
	if err != nil {
		return nil, err
	}
	var sessions []Session
	seen := make(map[uuid.UUID]bool)
	for _, name := range names {
		of := filter
		of.Username = name.Name
		if name.From.After(of.StartedFrom) {
			of.StartedFrom = name.From
		}
		if !name.Before.IsZero() && (of.StartedBefore.IsZero() || name.Before.Before(of.StartedBefore)) {
			of.StartedBefore = name.Before
		}
		list, err := p.open(ctx, of)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if !seen[list[i].ID] { // a name may be the user's twice
				seen[list[i].ID] = true
				sessions = append(sessions, list[i])
			}
		}
	}
	if len(sessions) > MaxBatch {
		return nil, errTooManySessions()
	}
	slices.SortStableFunc(sessions, func(a, b Session) int { return b.StartedAt.Compare(a.StartedAt) })
	return sessions, nil
}

func errTooManySessions() error { return fmt.Errorf("%w: select them by NAS", ErrBatchTooLarge) }

// open returns the open sessions that the filter selects as it stands.
func (p *ActionPlanner) open(ctx context.Context, filter SessionFilter) ([]Session, error) {
	online := true
	filter.Online = &online
	var sessions []Session
	for page := (Page{Limit: MaxPageLimit}); ; {
		list, next, err := p.store.ListSessionsPage(ctx, filter, page)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, list...)
		if len(sessions) > MaxBatch {
			return nil, errTooManySessions()
		}
		if next == "" {
			return sessions, nil
		}
		page.Cursor = next
	}
}

// Words says what the filter selects, as it stands with a batch. nas is the name of
// the NAS that NASID is of; empty: the id is written.
func (f *SessionFilter) Words(nas string) string {
	if nas == "" && f.NASID != uuid.Nil {
		nas = f.NASID.String()
	}
	var words []string
	for _, part := range []struct{ name, value string }{
		{"user", f.Username}, {"nas", nas}, {"plan", f.Plan}, {"calling station", f.CallingStationID},
	} {
		if part.value != "" {
			words = append(words, part.name+" "+part.value)
		}
	}
	if f.NASAddr.IsValid() {
		words = append(words, "nas "+f.NASAddr.String())
	}
	if f.Address.IsValid() {
		words = append(words, "address "+f.Address.String())
	}
	if len(words) == 0 {
		return "all online"
	}
	return strings.Join(words, ", ")
}

// SessionWords is Words for sessions that were chosen one by one.
func SessionWords(sessions []Session) string {
	const most = 10
	var ids []string
	for i := range sessions[:min(len(sessions), most)] {
		ids = append(ids, sessions[i].ID.String())
	}
	words := "session " + strings.Join(ids, " ")
	if more := len(sessions) - most; more > 0 {
		words += fmt.Sprintf(", and %d more", more)
	}
	return words
}

// Action returns the action for one session. It fails with ErrSessionEnded, ErrNoNAS,
// ErrNoChange or ErrNothingToChange if it cannot be done.
func (p *ActionPlanner) Action(ctx context.Context, s *Session, want SessionChange) (SessionAction, error) {
	users, err := p.users(ctx, []Session{*s}, want)
	if err != nil {
		return SessionAction{}, err
	}
	return p.action(ctx, s, want, users)
}

// Actions returns an action for each session. What cannot be done has an outcome from
// the beginning: [ActionSkipped] if the session has ended or nothing changes, else
// [ActionFailed], with Detail.
func (p *ActionPlanner) Actions(ctx context.Context, sessions []Session, want SessionChange) ([]SessionAction, error) {
	actions := make([]SessionAction, 0, len(sessions))
	for chunk := range slices.Chunk(sessions, MaxPageLimit) {
		users, err := p.users(ctx, chunk, want)
		if err != nil {
			return nil, err
		}
		for i := range chunk {
			action, err := p.action(ctx, &chunk[i], want, users)
			if err != nil {
				if action, err = undone(&chunk[i], want.Kind, err); err != nil {
					return nil, err
				}
			}
			actions = append(actions, action)
		}
	}
	return actions, nil
}

// undone returns the action that cannot be done, or the error if that is not why.
func undone(s *Session, kind ActionKind, why error) (SessionAction, error) {
	action := NewSessionAction(s, kind, nil)
	action.Detail = why.Error()
	switch {
	case errors.Is(why, ErrSessionEnded), errors.Is(why, ErrNothingToChange):
		action.State = ActionSkipped
	case errors.Is(why, ErrNoNAS), errors.Is(why, ErrNoChange):
		action.State = ActionFailed
	default:
		return action, why
	}
	return action, nil
}

// ApplyPlan returns the actions by which the user's open sessions get what a login
// would give them now that the user has the plan; nil: none. old is the plan that the
// sessions have; nil: the one that they were last seen with. One that cannot be changed
// is ended, and all are if the user may not log in any more. What cannot be done at all,
// or need not, is as of Actions.
func (p *ActionPlanner) ApplyPlan(ctx context.Context, user *UserRow, old, plan *Plan, sessions []Session, now time.Time) ([]SessionAction, error) {
	if reason := noLogin(user, now); reason != "" {
		actions, err := p.Actions(ctx, sessions, SessionChange{Kind: ActionDisconnect})
		for i := range actions {
			if actions[i].State == ActionQueued {
				actions[i].Detail = reason
			}
		}
		return actions, err
	}
	change, err := p.planChange(ctx, user)
	if err != nil {
		return nil, err
	}
	var actions []SessionAction
	for i := range sessions {
		s := &sessions[i]
		nas, err := p.reach(ctx, s)
		if err == nil {
			change.Old, change.New = old, plan
			if old == nil {
				change.Old, err = p.seenPlan(ctx, s, plan)
			}
		}
		var planned PlannedAction
		if err == nil {
			planned, err = p.planned(nas, change)
		}
		if err == nil && !planned.Needed {
			err = ErrNothingToChange
		}
		if err != nil {
			action, err := undone(s, ActionCoA, err)
			if err != nil {
				return nil, err
			}
			actions = append(actions, action)
			continue
		}
		action := NewSessionAction(s, planned.Kind, planned.Attributes)
		action.Detail = planned.Reason
		actions = append(actions, action)
	}
	return actions, nil
}

// noLogin says why the user could not log in again; empty: it could.
func noLogin(u *UserRow, now time.Time) string {
	switch {
	case u.Status != UserActive:
		return "the user is " + u.Status.String()
	case !u.ExpiresAt.IsZero() && !now.Before(u.ExpiresAt):
		return "the user has expired"
	}
	return ""
}

// seenPlan returns the plan that the session was last seen with, if it is another one.
func (p *ActionPlanner) seenPlan(ctx context.Context, s *Session, plan *Plan) (*Plan, error) {
	if s.Plan == "" || plan != nil && s.Plan == plan.Name {
		return nil, nil
	}
	seen, ok := p.plans[s.Plan]
	if !ok {
		var err error
		if seen, err = p.store.PlanByName(ctx, s.Plan); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		p.plans[s.Plan] = seen
	}
	return seen, nil
}

// action is Action, with the users by session.
func (p *ActionPlanner) action(ctx context.Context, s *Session, want SessionChange, users map[uuid.UUID]*UserRow) (SessionAction, error) {
	nas, err := p.reach(ctx, s)
	if err != nil {
		return SessionAction{}, err
	}
	if want.Kind == ActionDisconnect {
		return NewSessionAction(s, ActionDisconnect, nil), nil
	}
	if p.templates.forNAS(nas).coa.disconnectOnly {
		return SessionAction{}, fmt.Errorf("%w: its NAS takes no CoA-Requests; disconnect it instead", ErrNoChange)
	}
	if want.Plan == nil {
		return NewSessionAction(s, ActionCoA, want.Attributes), nil
	}
	change, err := p.planChange(ctx, users[s.ID])
	if err != nil {
		return SessionAction{}, err
	}
	change.New = want.Plan
	planned, err := p.planned(nas, change)
	if err != nil {
		return SessionAction{}, err
	}
	attributes := slices.DeleteFunc(planned.Attributes, func(of Item) bool {
		return slices.ContainsFunc(want.Attributes, func(own Item) bool { return strings.EqualFold(own.Attribute, of.Attribute) })
	})
	attributes = append(attributes, want.Attributes...)
	if len(attributes) == 0 {
		return SessionAction{}, fmt.Errorf("%w: plan %q gives nothing that its NAS changes in one", ErrNothingToChange, want.Plan.Name)
	}
	return NewSessionAction(s, ActionCoA, attributes), nil
}

// planned is [Templates.PlanChange]; what is wrong with a plan is the session's matter.
func (p *ActionPlanner) planned(nas *NAS, change PlanChange) (PlannedAction, error) {
	planned, err := p.templates.PlanChange(p.dict, nas, change)
	if err != nil {
		return planned, fmt.Errorf("%w: %w", ErrNoChange, err)
	}
	return planned, nil
}

// users reads the users of the sessions, if something depends on them.
func (p *ActionPlanner) users(ctx context.Context, sessions []Session, want SessionChange) (map[uuid.UUID]*UserRow, error) {
	if want.Plan == nil {
		return nil, nil
	}
	names := make([]string, len(sessions))
	for i := range sessions {
		names[i] = sessions[i].Username
	}
	slices.Sort(names)
	rows, err := p.store.UserRowsByName(ctx, slices.Compact(names))
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*UserRow, len(rows))
	for i := range rows {
		byName[rows[i].Name] = &rows[i]
	}
	users := make(map[uuid.UUID]*UserRow, len(sessions))
	for i := range sessions {
		s := &sessions[i]
		if user := byName[s.Username]; user != nil {
			users[s.ID] = user
			continue
		}
		former, err := p.store.FormerUser(ctx, s.Username, s.StartedAt)
		if err != nil {
			return nil, err
		}
		if former == uuid.Nil {
			continue
		}
		if users[s.ID], err = p.store.UserRowByID(ctx, former); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return users, nil
}

// planChange returns the part of a change that is the user's; nil: nobody knows it.
func (p *ActionPlanner) planChange(ctx context.Context, u *UserRow) (PlanChange, error) {
	if u == nil {
		return PlanChange{}, nil
	}
	change := PlanChange{User: &User{ID: u.ID, Name: u.Name, Items: u.Items, Groups: u.Groups}}
	if len(u.Groups) == 0 {
		return change, nil
	}
	if p.groups == nil {
		groups, err := p.store.Groups(ctx)
		if err != nil {
			return change, err
		}
		p.groups = make(map[uuid.UUID]Group, len(groups))
		for _, g := range groups {
			p.groups[g.ID] = g
		}
	}
	memberships := slices.Clone(u.Groups)
	slices.SortStableFunc(memberships, func(a, b Membership) int { return a.Priority - b.Priority })
	for _, m := range memberships {
		if g, ok := p.groups[m.GroupID]; ok {
			change.Groups = append(change.Groups, g)
		}
	}
	return change, nil
}

// reach returns the NAS of an open session, if a request about the session can go there.
func (p *ActionPlanner) reach(ctx context.Context, s *Session) (*NAS, error) {
	if !s.Open() {
		return nil, fmt.Errorf("%w already, at %s", ErrSessionEnded, s.StoppedAt.UTC().Format(time.RFC3339))
	}
	key := plannedKey{s.NASID, s.NASAddr}
	found, ok := p.nases[key]
	if !ok {
		found.nas, found.err = p.findNAS(ctx, s)
		if found.err != nil && !errors.Is(found.err, ErrNoNAS) {
			return nil, found.err
		}
		p.nases[key] = found
	}
	if found.err != nil {
		return nil, found.err
	}
	to, err := ActionAddress(found.nas, s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNAS, err)
	}
	if coa := &p.templates.forNAS(found.nas).coa; len(coa.identification(s, to.Addr() != s.NASAddr.Unmap())) == 0 {
		return nil, fmt.Errorf("%w: the session has none of the attributes by which it would find it", ErrNoNAS)
	}
	return found.nas, nil
}

// findNAS is [Directory.NASOf] on the store.
func (p *ActionPlanner) findNAS(ctx context.Context, s *Session) (*NAS, error) {
	row := &NASRow{}
	var err error = ErrNotFound
	if s.NASID != uuid.Nil {
		row, err = p.store.NASRowByID(ctx, s.NASID)
	}
	if errors.Is(err, ErrNotFound) && s.NASAddr.IsValid() {
		var rows []NASRow
		rows, _, err = p.store.ListNASPage(ctx, NASFilter{Contains: s.NASAddr.Unmap()}, Page{Limit: MaxPageLimit})
		if err == nil && len(rows) > 0 {
			best := slices.MaxFunc(rows, func(a, b NASRow) int { return a.Prefix.Bits() - b.Prefix.Bits() })
			row = &best
		} else if err == nil {
			err = ErrNotFound
		}
	}
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", ErrNoNAS, noNAS(s))
	}
	if err != nil {
		return nil, err
	}
	return &NAS{ID: row.ID, Name: row.Name, Prefix: row.Prefix, Vendor: row.Vendor, CoAPort: row.CoAPort}, nil
}
