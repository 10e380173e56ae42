package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// followSubscriptions gives users what all their subscriptions together say: the plan of
// the one that serves them today, an expiry when the service ends, and a suspension while
// all that runs waits for credit. It is called whenever a subscription has changed, each
// night, and when money comes, and nothing else of billing writes these: so what is charged
// is what the network gives, from the same transaction on. What was set by hand beside a
// subscription that runs lasts until then.
//
// turned are those of the users of whom a subscription has just got another state. They
// alone lose something: who has none any more expires, and who has used up the credit is
// suspended, with the sessions that are open. So what somebody gives by hand afterwards
// stays.
func (tx *writeTx) followSubscriptions(ctx context.Context, userIDs []uuid.UUID, turned map[uuid.UUID]turn) error {
	today := tx.store.today()
	followed, err := tx.followed(ctx, userIDs)
	if err != nil {
		return err
	}
	for i := range followed {
		f := &followed[i]
		if err := tx.follow(ctx, f, billing.ServiceOf(f.subscriptions, today), turned[f.user.ID]); err != nil {
			return err
		}
	}
	return nil
}

// turn is what has become of a user's subscriptions.
type turn uint8

// The turns. Of several of a user the highest counts.
const (
	notTurned   turn = iota
	turnedByDay      // one has ended on the day that was noted before
	turnedNow        // one has another state
)

// turnOf says what has become of a subscription. One that ended before it ran takes nothing
// from anybody.
func turnOf(before, x *billing.Subscription, today billing.Date) turn {
	noted := x.State == billing.SubscriptionEnded && x.End == before.End
	ran := x.End.IsZero() || x.Start.Before(x.End) || !noted && !today.Before(x.Start)
	switch {
	case x.State == before.State || !ran:
		return notTurned
	case noted:
		return turnedByDay
	}
	return turnedNow
}

// followedUser is a user with all subscriptions. Of the user it has ID, Name, Status,
// Suspension, PlanID, ExpiresAt and UpdatedAt.
type followedUser struct {
	user          aaa.User
	subscriptions []billing.Subscription
}

// followed reads users who are there and have subscriptions, in the order of their ids. Their
// accounts must be locked, or a subscription that another transaction makes is not seen.
func (tx *writeTx) followed(ctx context.Context, userIDs []uuid.UUID) (list []followedUser, err error) {
	wanted := texts(userIDs)
	slices.Sort(wanted)
	var u aaa.User
	var x billing.Subscription
	err = eachChunk(tx, "s.user_id", "uuid", slices.Compact(wanted), func(which string, args []any) error {
		return eachRow(ctx, tx, `SELECT u.id, u.username, u.status, u.suspension, u.plan_id, u.expires_at, u.updated_at, s.id, r.plan_id, s.state, s.start_day, s.end_day, s.created_at
			FROM subscriptions s JOIN rates r ON r.id = s.rate_id JOIN users u ON u.id = s.user_id WHERE `+which+" ORDER BY s.user_id", args,
			[]any{id{&u.ID}, text{&u.Name}, word[aaa.UserStatus]{&u.Status, aaa.ParseUserStatus}, word[aaa.Suspension]{&u.Suspension, aaa.ParseSuspension}, nullID{&u.PlanID}, moment{&u.ExpiresAt}, moment{&u.UpdatedAt},
				id{&x.ID}, id{&x.Rate.PlanID}, term(&x.State), civil{&x.Start}, civil{&x.End}, moment{&x.CreatedAt}}, func() error {
				if n := len(list); n == 0 || list[n-1].user.ID != u.ID {
					list = append(list, followedUser{user: u})
				}
				last := &list[len(list)-1]
				last.subscriptions = append(last.subscriptions, x)
				return nil
			})
	})
	return list, err
}

// follow gives a user a service. turned is as for followSubscriptions.
func (tx *writeTx) follow(ctx context.Context, f *followedUser, s billing.Service, turned turn) error {
	runs := s.PlanID != uuid.Nil
	var end time.Time
	if !s.Until.IsZero() {
		end = s.Until.Start(tx.store.location).UTC()
	}
	longer := f.user.ExpiresAt.IsZero() || f.user.ExpiresAt.After(end)
	given := turned == turnedByDay && longer && !f.user.UpdatedAt.Before(end) // by hand, after the end
	ended := turned != notTurned && !runs && !s.Until.IsZero() && !given
	overdue := false
	if f.user.Suspension == aaa.SuspendedBalance && !s.Suspended {
		var err error
		if overdue, err = tx.stillOverdue(ctx, f.user.ID); err != nil {
			return err
		}
	}
	serve := func(u *aaa.User) error {
		switch {
		case runs:
			u.PlanID, u.ExpiresAt = s.PlanID, end
		case ended && (u.ExpiresAt.IsZero() || u.ExpiresAt.After(end)):
			u.ExpiresAt = end
		}
		switch {
		case s.Suspended && turned != notTurned && u.Status == aaa.UserActive:
			u.Status, u.Suspension = aaa.UserSuspended, aaa.SuspendedBalance
		case s.Suspended || u.Suspension != aaa.SuspendedBalance:
		case overdue:
			u.Suspension = aaa.SuspendedOverdue
		default:
			u.Status, u.Suspension = aaa.UserActive, aaa.SuspendedByHand
		}
		return nil
	}
	u := f.user
	if err := serve(&u); err != nil {
		return err
	}
	if u.PlanID != f.user.PlanID || !u.ExpiresAt.Equal(f.user.ExpiresAt) || u.Status != f.user.Status || u.Suspension != f.user.Suspension {
		if _, err := users.changeIn(ctx, tx, "id", u.ID.String(), serve); err != nil {
			return err
		}
	}
	if ended || turned != notTurned && u.Suspension == aaa.SuspendedBalance {
		return tx.endSessions(ctx, "billing", u.Name, nil)
	}
	return nil
}

// awaitCredit has a user who is made active wait for credit, if that was used up while an
// operator had the user suspended or disabled. Whoever is given service although billing has
// suspended them keeps it.
func (tx *writeTx) awaitCredit(ctx context.Context, before, u *aaa.User) error {
	if u.Status != aaa.UserActive || before.Status == aaa.UserActive || before.SuspendedByBilling() {
		return nil
	}
	exhausted, err := tx.exhausted(ctx, u.ID)
	if exhausted {
		u.Status, u.Suspension = aaa.UserSuspended, aaa.SuspendedBalance
	}
	return err
}

// today is the present day in the configured time zone.
func (s *Store) today() billing.Date { return billing.DateOf(s.timestamp(), s.location) }
