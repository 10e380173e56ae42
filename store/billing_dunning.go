package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// DunningOptions are what is the same for all accounts of a dunning run.
type DunningOptions struct {
	Day billing.Date
	// Bill is for subscriptions that end.
	Bill billing.RunOptions
	// Change returns what a CoA-Request is to change in the sessions of users who join a
	// group; nothing, or no function: they are ended.
	Change func(*aaa.Group) []aaa.Item
}

// DunningRun is what a dunning run has come to.
type DunningRun struct {
	Cursor   uuid.UUID // the last account that is done
	Finished bool
	Accounts int // with something overdue
	// What was done, by invoices; Mails are those that wait to be sent then.
	Reminded, Restricted, Suspended, Ended, Mails int
	Failed                                        int
	Failures                                      []billing.RunFailure // the first of them
}

// maxDunningFailures bounds how many failures of a dunning run are told.
const maxDunningFailures = 20

func dunningFields(r *billing.DunningRecord, at *time.Time) []field {
	return []field{
		{"invoice_id", id{&r.InvoiceID}},
		{"action", term(&r.Action)},
		{"after_days", whole[int]{&r.AfterDays}},
		{"user_id", id{&r.UserID}},
		{"step", whole[int]{&r.Step}},
		{"days_overdue", whole[int]{&r.DaysOverdue}},
		{"done_on", civil{&r.On}},
		{"state", term(&r.State)},
		{"created_at", moment{at}},
	}
}

// DunAccounts brings the next accounts after the run's cursor, at most limit, to the steps
// that they belong to on a day, in one transaction, and moves the cursor. What was done is
// kept with it, so whoever calls it again does nothing twice. An account that this fails
// for is counted and left as it was.
func (s *Store) DunAccounts(ctx context.Context, run DunningRun, o DunningOptions, limit int) (DunningRun, error) {
	settings, _, err := s.DunningSettings(ctx)
	if err != nil {
		return run, err
	}
	run.Failures = slices.Clone(run.Failures)
	if len(settings.Steps) == 0 {
		run.Finished = true
		return run, nil
	}
	users, err := s.overdueUsers(ctx, run.Cursor, &settings, o.Day, limit)
	if err != nil {
		return run, s.failed("dunning", err)
	}
	next, err := s.dun(ctx, run, &settings, o, users)
	if err != nil && ctx.Err() == nil && !MayPass(err) && len(users) > 1 {
		next = run
		for _, userID := range users {
			if next, err = s.dunOne(ctx, next, &settings, o, userID); err != nil {
				break
			}
		}
	} else if err != nil && ctx.Err() == nil && !MayPass(err) && len(users) == 1 {
		next, err = s.dunOne(ctx, run, &settings, o, users[0])
	}
	if err != nil {
		return run, s.failed("dunning", err)
	}
	if len(users) > 0 {
		next.Cursor = users[len(users)-1]
	}
	next.Finished = len(users) < limit
	return next, nil
}

// dunOne is dun for one account, whose failure is counted.
func (s *Store) dunOne(ctx context.Context, run DunningRun, settings *billing.Dunning, o DunningOptions, userID uuid.UUID) (DunningRun, error) {
	next, err := s.dun(ctx, run, settings, o, []uuid.UUID{userID})
	if err == nil || ctx.Err() != nil || MayPass(err) {
		return next, err
	}
	run.Accounts++
	if run.Failed++; len(run.Failures) < maxDunningFailures {
		f := billing.RunFailure{UserID: userID, At: s.timestamp(), Error: err.Error()}
		if user, _, err := s.UserByID(ctx, userID); err == nil {
			f.Username = user.Name
		}
		run.Failures = append(run.Failures, f)
	}
	return run, nil
}

// overdueUsers returns those who may have come to a step, in the order of their ids.
func (s *Store) overdueUsers(ctx context.Context, after uuid.UUID, d *billing.Dunning, day billing.Date, limit int) (users []uuid.UUID, err error) {
	until := day.AddDays(-d.GraceDays - max(d.Steps[0].AfterDays, 1))
	var userID uuid.UUID
	err = eachRow(ctx, s.reader, `SELECT DISTINCT user_id FROM invoices WHERE state = 'issued' AND kind = 'invoice' AND due_on <= $1 AND user_id > $2
		ORDER BY user_id LIMIT `+fmt.Sprint(limit), []any{civil{&until}, after.String()}, []any{id{&userID}}, func() error {
		users = append(users, userID)
		return nil
	})
	return users, err
}

// dun takes the steps of some accounts, in one transaction.
func (s *Store) dun(ctx context.Context, run DunningRun, settings *billing.Dunning, o DunningOptions, users []uuid.UUID) (next DunningRun, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		next = run
		if _, err := tx.lockAccounts(ctx, users); err != nil { // whoever pays waits
			return err
		}
		accounts, err := readDunning(ctx, tx, tx.store, users)
		if err != nil {
			return err
		}
		d := dunner{tx: tx, settings: settings, o: &o, run: &next}
		for i := range accounts {
			next.Accounts++
			if err := d.take(ctx, &accounts[i]); err != nil {
				return err
			}
		}
		if err := d.saveJoined(ctx); err != nil {
			return err
		}
		var r billing.DunningRecord
		now := s.timestamp()
		err = upsert(ctx, tx, "dunning_steps", "invoice_id, action, after_days", filled(dunningFields(&r, &now), len(d.records), func(i int) { r = d.records[i] }))
		if err != nil {
			return err
		}
		next.Mails += len(d.mails)
		if err := tx.addMails(ctx, d.mails); err != nil {
			return err
		}
		return tx.followInvoices(ctx, users)
	})
	return next, err
}

// readDunning reads what dunning needs to know of users.
func readDunning(ctx context.Context, q querier, s *Store, users []uuid.UUID) ([]billing.DunningAccount, error) {
	accounts := make([]billing.DunningAccount, len(users))
	byID := make(map[uuid.UUID]*billing.DunningAccount, len(users))
	for i, userID := range users {
		accounts[i].UserID = userID
		byID[userID] = &accounts[i]
	}
	for chunk := range slices.Chunk(users, inListSize) {
		which, args := s.isOneOf(chunk)
		open, err := invoicesWhere(ctx, q, "WHERE user_id "+which+" AND state = 'issued' AND kind = 'invoice' ORDER BY user_id, due_on, id", args)
		if err != nil {
			return nil, err
		}
		for _, i := range open {
			account := byID[i.UserID]
			account.Invoices = append(account.Invoices, i.Invoice)
		}
		var userID uuid.UUID
		var name, email string
		err = eachRow(ctx, q, "SELECT users.id, username, coalesce(email, '') FROM users LEFT JOIN user_profiles ON user_id = users.id WHERE users.id "+which, args,
			[]any{id{&userID}, text{&name}, text{&email}}, func() error {
				byID[userID].Username, byID[userID].Email = name, email
				return nil
			})
		if err != nil {
			return nil, err
		}
		var r billing.DunningRecord
		var at time.Time
		fields := dunningFields(&r, &at)
		err = eachRow(ctx, q, "SELECT "+names(fields)+" FROM dunning_steps WHERE user_id "+which+" ORDER BY invoice_id, after_days, action", args, targets(fields), func() error {
			byID[r.UserID].Done = append(byID[r.UserID].Done, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return accounts, nil
}

// dunner takes steps and collects what is written of them.
type dunner struct {
	tx       *writeTx
	settings *billing.Dunning
	o        *DunningOptions
	run      *DunningRun
	records  []billing.DunningRecord
	mails    []billing.Mailing
	joined   []uuid.UUID // who has joined the group
	// What sessions are changed by is the same for all accounts.
	items []aaa.Item
	asked bool
}

// DunningEvent is the payload of events about invoices that are not paid.
type DunningEvent struct {
	InvoiceID   uuid.UUID             `json:"invoice_id"`
	Number      string                `json:"number"`
	UserID      uuid.UUID             `json:"user_id"`
	Action      billing.DunningAction `json:"action"`
	AfterDays   int                   `json:"after_days"`
	DaysOverdue int                   `json:"days_overdue"`
	Open        billing.Amount        `json:"open"` // in minor units
	Currency    billing.Currency      `json:"currency"`
}

// take takes the steps that are due of an account.
func (d *dunner) take(ctx context.Context, a *billing.DunningAccount) error {
	due := d.settings.Due(a, d.o.Day)
	first := len(d.records)
	var restrict, suspend bool
	for _, x := range due {
		step := d.settings.Steps[x.Step]
		d.records = append(d.records, billing.DunningRecord{
			InvoiceID: x.Invoice.ID, UserID: a.UserID, Action: step.Action, AfterDays: step.AfterDays,
			Step: x.Step + 1, DaysOverdue: x.DaysOverdue, On: d.o.Day, State: billing.DunningDone,
		})
		if reminder := d.settings.Reminder(x.Step); reminder > 0 {
			d.mails = append(d.mails, billing.Mailing{
				InvoiceID: x.Invoice.ID, UserID: a.UserID, Purpose: fmt.Sprintf("overdue_%d", step.AfterDays), Recipient: cmp.Or(a.Email, x.Invoice.Buyer.Email),
				Details: billing.MailDetails{Reminder: reminder, DaysOverdue: x.DaysOverdue, ActOn: d.settings.ActOn(x.Invoice, d.o.Day)},
			})
		}
		switch step.Action {
		case billing.DunningRemind:
			d.run.Reminded++
		case billing.DunningRestrict:
			restrict = true
			d.run.Restricted++
		case billing.DunningSuspend:
			suspend = true
			d.run.Suspended++
		case billing.DunningEnd:
			d.run.Ended++
			if err := d.end(ctx, x.Invoice); err != nil {
				return err
			}
		}
		err := d.tx.emit("invoice.overdue", "invoice", x.Invoice.ID, DunningEvent{
			x.Invoice.ID, x.Invoice.Number, a.UserID, step.Action, step.AfterDays, x.DaysOverdue, x.Invoice.Open(), x.Invoice.Currency})
		if err != nil {
			return err
		}
	}
	if a.Username == "" || !restrict && !suspend {
		return nil // nobody to refuse: the user was deleted
	}
	if err := d.waive(ctx, a, d.records[first:], restrict, suspend); err != nil {
		return err
	}
	return d.serve(ctx, a, restrict, suspend)
}

// waive notes of steps that were taken before, and are not in force any more, that an
// operator has undone them: what is paid now does not depend on those.
func (d *dunner) waive(ctx context.Context, a *billing.DunningAccount, now []billing.DunningRecord, restrict, suspend bool) error {
	if !slices.ContainsFunc(a.Done, func(r billing.DunningRecord) bool {
		return r.State == billing.DunningDone && (r.Action == billing.DunningSuspend && suspend || r.Action == billing.DunningRestrict && restrict)
	}) {
		return nil // as of most
	}
	var suspension aaa.Suspension
	var restricted int
	err := d.tx.QueryRowContext(ctx, "SELECT suspension, (SELECT count(*) FROM dunning_restrictions r JOIN user_groups g ON g.user_id = r.user_id AND g.group_id = r.group_id WHERE r.user_id = users.id) FROM users WHERE id = $1",
		a.UserID.String()).Scan(word[aaa.Suspension]{&suspension, aaa.ParseSuspension}, whole[int]{&restricted})
	if err != nil {
		return err
	}
	for _, r := range a.Done {
		undone := r.Action == billing.DunningSuspend && suspend && suspension != aaa.SuspendedOverdue ||
			r.Action == billing.DunningRestrict && restrict && restricted == 0
		again := slices.ContainsFunc(now, func(n billing.DunningRecord) bool {
			return n.InvoiceID == r.InvoiceID && n.Action == r.Action && n.AfterDays == r.AfterDays
		})
		if r.State != billing.DunningDone || !undone || again {
			continue
		}
		_, err := d.tx.ExecContext(ctx, "UPDATE dunning_steps SET state = 'waived' WHERE invoice_id = $1 AND action = $2 AND after_days = $3",
			r.InvoiceID.String(), term(&r.Action), r.AfterDays)
		if err != nil {
			return err
		}
	}
	return nil
}

// serve restricts or suspends a user. Whom an operator has suspended or disabled stays so.
func (d *dunner) serve(ctx context.Context, a *billing.DunningAccount, restrict, suspend bool) error {
	tx, group := d.tx, d.settings.RestrictGroup
	suspended, joined := false, false
	_, err := users.changeIn(ctx, tx, "id", a.UserID.String(), func(u *aaa.User) error {
		suspended, joined = false, false
		member := slices.ContainsFunc(u.Groups, func(m aaa.Membership) bool { return m.GroupID == group })
		if restrict && !member {
			u.Groups, joined = append(slices.Clip(u.Groups), aaa.Membership{GroupID: group, Priority: d.settings.RestrictPriority}), true
		}
		if suspend && (u.Status == aaa.UserActive || u.Suspension == aaa.SuspendedBalance) {
			u.Status, u.Suspension, suspended = aaa.UserSuspended, aaa.SuspendedOverdue, true
		}
		return nil
	})
	if joined && kindOf(err) == kindForeignKey {
		return errNoGroup(group)
	}
	if err != nil {
		return err
	}
	var items []aaa.Item
	if joined {
		if items, err = d.change(ctx, group); err != nil {
			return err
		}
		d.joined = append(d.joined, a.UserID)
	}
	switch {
	case suspended:
		return tx.endSessions(ctx, "dunning", a.Username, nil)
	case joined && d.settings.RestrictLive != billing.LiveKeep:
		return tx.endSessions(ctx, "dunning", a.Username, items)
	}
	return nil
}

// saveJoined writes who has joined the group, and what their sessions are changed by.
func (d *dunner) saveJoined(ctx context.Context) error {
	now, changed := d.tx.store.timestamp(), attributesOf(d.items)
	var userID uuid.UUID
	return upsert(ctx, d.tx, "dunning_restrictions", "user_id, group_id", filled([]field{
		{"user_id", id{&userID}}, {"group_id", id{&d.settings.RestrictGroup}}, {"changed", structured[[]string]{&changed}}, {"created_at", moment{&now}},
	}, len(d.joined), func(i int) { userID = d.joined[i] }))
}

// change returns what sessions are changed by when their users join the group; nothing:
// they are ended.
func (d *dunner) change(ctx context.Context, group uuid.UUID) ([]aaa.Item, error) {
	if d.settings.RestrictLive != billing.LiveCoA || d.o.Change == nil || d.asked {
		return d.items, nil
	}
	found, err := groups.find(ctx, d.tx.store, d.tx.Tx, "id", group.String(), "", nil)
	if err != nil {
		return nil, err
	}
	d.items, d.asked = d.o.Change(found), true
	return d.items, nil
}

// end ends the subscriptions that an invoice is about.
func (d *dunner) end(ctx context.Context, i *billing.Invoice) error {
	var subscriptionID uuid.UUID
	var list []uuid.UUID
	err := eachRow(ctx, d.tx, `SELECT DISTINCT c.subscription_id FROM charges c JOIN subscriptions s ON s.id = c.subscription_id
		WHERE c.invoice_id = $1 AND s.state <> 'ended' AND (s.end_day IS NULL OR s.end_day > $2) ORDER BY c.subscription_id`,
		[]any{i.ID.String(), civil{&d.o.Day}}, []any{id{&subscriptionID}}, func() error {
			list = append(list, subscriptionID)
			return nil
		})
	if err != nil {
		return err
	}
	for _, subscriptionID := range list {
		err := d.tx.billAccount(ctx, i.UserID, d.o.Bill, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
			return billing.Cancel(a, subscriptionID, d.o.Day, o)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// endSessions asks the NASes to end the open sessions of a user, or to change them. The
// actor is the part of billing that does.
func (tx *writeTx) endSessions(ctx context.Context, actor, username string, change []aaa.Item) error {
	open, err := listSessions(ctx, tx, "WHERE username = $1 AND stopped_at IS NULL ORDER BY started_at LIMIT "+fmt.Sprint(pageSize), []any{username})
	if err != nil || len(open) == 0 {
		return err
	}
	kind := aaa.ActionDisconnect
	if len(change) > 0 {
		kind = aaa.ActionCoA
	}
	batch := &aaa.ActionBatch{ID: uuid.Must(uuid.NewV7()), Kind: kind, Filter: (&aaa.SessionFilter{Username: username}).Words(""), Actor: actor, CreatedAt: tx.store.timestamp()}
	actions := make([]aaa.SessionAction, len(open))
	for i := range open {
		a := aaa.NewSessionAction(&open[i], kind, change)
		a.ID, a.BatchID, a.Actor, a.CreatedAt, a.State = uuid.Must(uuid.NewV7()), batch.ID, batch.Actor, batch.CreatedAt, aaa.ActionQueued
		batch.Totals[a.State]++
		actions[i] = a
	}
	if err := insertBatch(ctx, tx, batch, false); err != nil {
		return err
	}
	if err := insertActions(ctx, tx, actions); err != nil {
		return err
	}
	return tx.recordQueued(ctx, batch)
}

// EachDunning calls fn for the accounts that have come to a step on a day, in the order of
// their users' ids. The account may be kept.
func (s *Store) EachDunning(ctx context.Context, settings *billing.Dunning, day billing.Date, fn func(*billing.DunningAccount) error) error {
	if len(settings.Steps) == 0 {
		return nil
	}
	for last := uuid.Nil; ; {
		list, err := s.DunningPage(ctx, settings, day, last, inListSize)
		if err != nil {
			return err
		}
		for i := range list {
			if err := fn(&list[i]); err != nil {
				return err
			}
		}
		if len(list) < inListSize {
			return nil
		}
		last = list[len(list)-1].UserID
	}
}

// DunningPage returns the accounts after a user's id that have come to a step on a day, at
// most limit, in the order of their users' ids.
func (s *Store) DunningPage(ctx context.Context, settings *billing.Dunning, day billing.Date, after uuid.UUID, limit int) (list []billing.DunningAccount, err error) {
	if len(settings.Steps) == 0 {
		return nil, nil
	}
	users, err := s.overdueUsers(ctx, after, settings, day, limit)
	if err == nil {
		err = s.read(ctx, func(tx *sql.Tx) error {
			list, err = readDunning(ctx, tx, s, users)
			return err
		})
	}
	return list, s.failed("read accounts in dunning", err)
}

// errNoGroup words that settings name a group that is not there.
func errNoGroup(groupID uuid.UUID) error {
	return &billing.FieldError{Field: "restrict_group", Message: fmt.Sprintf("group %s does not exist", groupID)}
}

// groupExists fails if settings name a group that is not there. One that is there is not
// deleted before the transaction ends.
func groupExists(ctx context.Context, tx *writeTx, groupID uuid.UUID) error {
	if groupID == uuid.Nil {
		return nil
	}
	var name string
	err := tx.QueryRowContext(ctx, "SELECT name FROM groups WHERE id = $1"+tx.forUpdate(), groupID.String()).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoGroup(groupID)
	}
	return err
}
