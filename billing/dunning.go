package billing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// DunningAction is what is done about an invoice that is not paid.
type DunningAction string

// The actions, the milder before the harder.
const (
	DunningRemind   DunningAction = "remind"   // by mail
	DunningRestrict DunningAction = "restrict" // into a group with a restricted reply
	DunningSuspend  DunningAction = "suspend"  // refused until it is paid
	DunningEnd      DunningAction = "end"      // the subscription ends
)

// DunningActions returns all of them, the milder before the harder.
func DunningActions() []DunningAction {
	return []DunningAction{DunningRemind, DunningRestrict, DunningSuspend, DunningEnd}
}

// DunningLive says what becomes of the open sessions of a user who is restricted.
type DunningLive string

// The ways.
const (
	LiveDisconnect DunningLive = "disconnect" // they are ended, so that the user logs in again
	LiveCoA        DunningLive = "coa"        // they are changed, and ended only where that cannot be said
	LiveKeep       DunningLive = "keep"       // they go on as they are
)

// DunningStep is done about an invoice so many days after it was due.
type DunningStep struct {
	AfterDays int           `json:"after_days"`
	Action    DunningAction `json:"action"`
	// Template is the number of the text of a reminder, as in mail.ReminderKind; zero: it
	// is the first, second, … reminder of the list. Steps that are not reminders send no
	// mail unless they have one.
	Template int `json:"template,omitempty"`
}

// Dunning is what is done about invoices that are not paid, the same on every node. The
// zero value does nothing.
type Dunning struct {
	Steps []DunningStep `json:"steps"`
	// GraceDays pass after an invoice is due before its days count, as for transfers.
	GraceDays int `json:"grace_days"`
	// RestrictGroup is the group that restricted users join, at the priority: groups with
	// lower ones come first. Live is what becomes of their open sessions.
	RestrictGroup    uuid.UUID   `json:"restrict_group,omitzero"`
	RestrictPriority int         `json:"restrict_priority"`
	RestrictLive     DunningLive `json:"restrict_live"`
}

// DefaultDunning are the settings until somebody sets others: nothing is done.
func DefaultDunning() Dunning {
	return Dunning{RestrictPriority: -100, RestrictLive: LiveDisconnect}
}

// The bounds of settings of dunning.
const (
	maxDunningSteps = 20
	maxTemplates    = 9
)

// Validate returns all that is wrong with the settings, joined. The steps are to be in
// order.
func (d *Dunning) Validate() error {
	var p problems
	p.need(len(d.Steps) <= maxDunningSteps, "steps", "steps are %d: want at most %d", len(d.Steps), maxDunningSteps)
	p.between("grace_days", d.GraceDays, 0, maxDays)
	p.need(slices.Contains([]DunningLive{LiveDisconnect, LiveCoA, LiveKeep}, d.RestrictLive),
		"restrict_live", "restrict_live is %q: want disconnect, coa or keep", d.RestrictLive)
	hardest := 0
	for i, s := range d.Steps {
		rank := slices.Index(DunningActions(), s.Action)
		at := fmt.Sprintf("steps[%d]", i)
		p.need(rank >= 0, at+".action", "step %d has the action %q: want remind, restrict, suspend or end", i+1, s.Action)
		p.need(0 <= s.AfterDays && s.AfterDays <= maxDays, at+".after_days", "step %d is after %d days: it must be from 0 to %d", i+1, s.AfterDays, maxDays)
		p.need(0 <= s.Template && s.Template <= maxTemplates, at+".template", "step %d has the template %d: it must be from 0 to %d", i+1, s.Template, maxTemplates)
		p.need(i == 0 || d.Steps[i-1].AfterDays < s.AfterDays, at+".after_days", "step %d does not come after the one before it", i+1)
		p.need(s.Action == DunningRemind || rank < 0 || rank > hardest, at+".action", "step %d: %s is not harder than what was done before", i+1, s.Action)
		p.need(s.Action != DunningRestrict || d.RestrictGroup != uuid.Nil, "restrict_group", "step %d restricts users: it needs restrict_group, the group that they join", i+1)
		if s.Action != DunningRemind {
			hardest = max(hardest, rank)
		}
	}
	return errors.Join(p...)
}

// ParseDunningSteps reads steps as people write them: "7 remind, 21 restrict, 30 suspend".
// A number behind the action is its template. Nothing is no steps.
func ParseDunningSteps(text string) ([]DunningStep, error) {
	var steps []DunningStep
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) == 0 && len(steps) == 0 && strings.TrimSpace(text) == "" {
			return nil, nil
		}
		var s DunningStep
		rest := ""
		if n, _ := fmt.Sscanf(part, "%d %s %d %s", &s.AfterDays, &s.Action, &s.Template, &rest); n != len(words) || n < 2 || n > 3 {
			return nil, fmt.Errorf("%q is no step: want days and what is done, as in 7 remind", strings.TrimSpace(part))
		}
		steps = append(steps, s)
	}
	slices.SortStableFunc(steps, func(a, b DunningStep) int { return cmp.Compare(a.AfterDays, b.AfterDays) })
	return steps, nil
}

// String writes a step as ParseDunningSteps reads it.
func (s DunningStep) String() string {
	if s.Template > 0 {
		return fmt.Sprintf("%d %s %d", s.AfterDays, s.Action, s.Template)
	}
	return fmt.Sprintf("%d %s", s.AfterDays, s.Action)
}

// Reminder returns which reminder a step, by its place in the list, sends: 1, 2, …; zero:
// none.
func (d *Dunning) Reminder(step int) int {
	s := d.Steps[step]
	if s.Template > 0 || s.Action != DunningRemind {
		return s.Template
	}
	n := 0
	for _, before := range d.Steps[:step+1] {
		if before.Action == DunningRemind {
			n++
		}
	}
	return n
}

// DunningState says whether a step that was taken is still in force.
type DunningState string

// The states of steps that were taken.
const (
	DunningDone   DunningState = "done"
	DunningLifted DunningState = "lifted" // its invoice was paid; done again if that is taken back
	DunningWaived DunningState = "waived" // an operator has undone it; not done again
)

// DunningRecord is a step that was taken about an invoice.
type DunningRecord struct {
	InvoiceID   uuid.UUID
	UserID      uuid.UUID
	Action      DunningAction
	AfterDays   int
	Step        int // 1, 2, … of the settings then
	DaysOverdue int
	On          Date
	State       DunningState
}

// DunningAccount is a user with what is open of invoices, in any currency.
type DunningAccount struct {
	UserID   uuid.UUID
	Username string // as the user is called now; not written
	Email    string // empty: none, or the user was deleted; the invoices say where they went
	// Invoices are those that are issued and not paid in full, the oldest due day first.
	Invoices []Invoice
	// Done are the steps that were taken about them.
	Done []DunningRecord
}

// DunningDue is a step that is to be taken about an invoice.
type DunningDue struct {
	Invoice     *Invoice // of the account
	Step        int      // its place in the settings
	DaysOverdue int
}

// DaysOverdue returns how many days an invoice is overdue on a day, without the grace;
// zero or less: it is not.
func (d *Dunning) DaysOverdue(i *Invoice, day Date) int {
	if i.Kind != KindInvoice || i.State != InvoiceIssued || i.Open() <= 0 {
		return 0
	}
	return i.DueOn.DaysUntil(day) - d.GraceDays
}

// reached returns the place of the last step that an invoice has come to on a day; -1:
// none.
func (d *Dunning) reached(i *Invoice, day Date) int {
	overdue, last := d.DaysOverdue(i, day), -1
	for n, s := range d.Steps {
		if overdue > 0 && s.AfterDays <= overdue {
			last = n
		}
	}
	return last
}

// StepOn returns the place of the step that an account is at on a day, by the invoice that
// is overdue the longest, and how many days that is; -1: it is at none.
func (d *Dunning) StepOn(a *DunningAccount, day Date) (step, daysOverdue int) {
	step = -1
	for i := range a.Invoices {
		step = max(step, d.reached(&a.Invoices[i], day))
		daysOverdue = max(daysOverdue, d.DaysOverdue(&a.Invoices[i], day))
	}
	return step, daysOverdue
}

// Due returns what is to be done about an account on a day to bring each of its invoices
// to its step. What was missed is not made up for one by one: of several reminders the
// last one is sent, and of what is done to the service the hardest alone. A step counts
// as taken about an invoice also if its days were others then: a reminder if a later one
// was sent, the others by what they do. A subscription ends only if something else was
// done about the invoice on an earlier day.
func (d *Dunning) Due(a *DunningAccount, day Date) []DunningDue {
	var due []DunningDue
	for n := range a.Invoices {
		i := &a.Invoices[n]
		remind, service := -1, -1
		for step := range d.reached(i, day) + 1 {
			switch d.Steps[step].Action {
			case DunningRemind:
				remind = step
			case DunningEnd:
				if a.warned(i.ID, day) {
					service = step
				}
			default:
				service = step
			}
		}
		if remind >= 0 && service > remind && d.Reminder(service) > 0 {
			remind = -1 // the later mail says it
		}
		for _, step := range []int{remind, service} {
			if step >= 0 && !a.taken(i.ID, d.Steps[step]) {
				due = append(due, DunningDue{Invoice: i, Step: step, DaysOverdue: d.DaysOverdue(i, day)})
			}
		}
	}
	return due
}

// warned reports whether something was done about an invoice before a day.
func (a *DunningAccount) warned(invoice uuid.UUID, day Date) bool {
	return slices.ContainsFunc(a.Done, func(r DunningRecord) bool { return r.InvoiceID == invoice && r.On.Before(day) })
}

// taken reports whether a step, or one that stands for it, was taken about an invoice.
func (a *DunningAccount) taken(invoice uuid.UUID, s DunningStep) bool {
	rank := slices.Index(DunningActions(), s.Action)
	return slices.ContainsFunc(a.Done, func(r DunningRecord) bool {
		switch {
		case r.InvoiceID != invoice:
			return false
		case s.Action == DunningRemind:
			return r.Action == DunningRemind && r.AfterDays >= s.AfterDays
		}
		return r.State != DunningLifted && r.Action != DunningRemind && slices.Index(DunningActions(), r.Action) >= rank
	})
}

// ActOn returns the day on which service is restricted, suspended or ended if an invoice
// is not paid; no day: it is not threatened, or that is past.
func (d *Dunning) ActOn(i *Invoice, day Date) Date {
	for _, s := range d.Steps {
		on := i.DueOn.AddDays(d.GraceDays + max(s.AfterDays, 1))
		if s.Action != DunningRemind && day.Before(on) {
			return on
		}
	}
	return Date{}
}
