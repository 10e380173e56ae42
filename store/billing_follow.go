package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// followSubscriptions gives users the plan that they are subscribed to on a day, and has
// them expire when that ends: what is sold is what the network gives, from the same
// transaction on. Of several subscriptions the one that began first counts. Users without
// one on that day are left as they are; those whose last one has ended have expired. An
// expiry that somebody has set stays while the subscription has no end, unless renewed
// says that one was taken back or that it is a new one. Who was suspended for want of
// credit is served again when the subscription is.
func (tx *writeTx) followSubscriptions(ctx context.Context, userIDs []uuid.UUID, renewed bool) error {
	today, loc := tx.store.today(), tx.store.location
	type sold struct {
		user, plan uuid.UUID
		end        billing.Date
		hasPlan    uuid.UUID
		expires    time.Time
		state      billing.SubscriptionState
		suspension aaa.Suspension
	}
	var row sold
	wanted := make(map[uuid.UUID]sold, len(userIDs))
	texts := make([]string, 0, len(userIDs))
	for _, userID := range userIDs {
		texts = append(texts, userID.String())
	}
	slices.Sort(texts)
	err := eachChunk(tx, "s.user_id", "uuid", slices.Compact(texts), func(which string, args []any) error {
		n := len(args)
		query := strings.NewReplacer("WHICH", which, "TODAY", "$"+strconv.Itoa(n+1)).Replace(`SELECT s.user_id, r.plan_id, s.end_day, u.plan_id, u.expires_at, s.state, u.suspension
			FROM subscriptions s JOIN rates r ON r.id = s.rate_id JOIN users u ON u.id = s.user_id
			WHERE WHICH AND s.state <> 'ended' AND s.start_day <= TODAY AND (s.end_day IS NULL OR s.end_day > TODAY)
			ORDER BY s.user_id, s.start_day, s.created_at, s.id`)
		return eachRow(ctx, tx, query, append(slices.Clip(args), civil{&today}),
			[]any{id{&row.user}, id{&row.plan}, civil{&row.end}, nullID{&row.hasPlan}, moment{&row.expires}, term(&row.state), word[aaa.Suspension]{&row.suspension, aaa.ParseSuspension}}, func() error {
				if _, known := wanted[row.user]; !known {
					wanted[row.user] = row
				}
				return nil
			})
	})
	if err != nil {
		return err
	}
	for _, userID := range userIDs {
		w, found := wanted[userID]
		delete(wanted, userID)
		if !found {
			continue
		}
		expires := w.expires
		switch {
		case !w.end.IsZero():
			expires = w.end.Start(loc).UTC()
		case renewed:
			expires = time.Time{}
		}
		served := w.suspension == aaa.SuspendedBalance && w.state != billing.SubscriptionSuspended
		if w.hasPlan == w.plan && w.expires.Equal(expires) && !served {
			continue
		}
		overdue := false
		if served {
			if overdue, err = tx.stillOverdue(ctx, userID); err != nil {
				return err
			}
		}
		if _, err := users.changeIn(ctx, tx, "id", userID.String(), func(u *aaa.User) error {
			u.PlanID, u.ExpiresAt = w.plan, expires
			switch {
			case served && overdue:
				u.Suspension = aaa.SuspendedOverdue
			case served:
				u.Status = aaa.UserActive
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// today is the present day in the configured time zone.
func (s *Store) today() billing.Date { return billing.DateOf(s.timestamp(), s.location) }
