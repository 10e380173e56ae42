package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"radiusd/aaa"
)

// UsageStore knows what users have used.
type UsageStore interface {
	UserRowByID(ctx context.Context, id uuid.UUID) (*aaa.UserRow, error)
	PlanByID(ctx context.Context, id uuid.UUID) (*aaa.Plan, error)
	// UserUsage returns the usage on the days from first to last.
	UserUsage(ctx context.Context, username string, first, last time.Time) ([]aaa.DailyUsage, error)
	// PeriodUsage returns the usage in the periods that at lies in.
	PeriodUsage(ctx context.Context, username string, at time.Time) ([aaa.PeriodCount]aaa.Usage, error)
	CountSessions(ctx context.Context, filter aaa.SessionFilter) (aaa.Count, error)
}

// usage is what users have used.
type usage struct {
	store UsageStore
	zone  *time.Location
	now   func() time.Time
}

// How many days of usage are shown unless asked otherwise, and at most.
const (
	usageDays    = 30
	maxUsageDays = 400
)

func (h *usage) GetUserUsage(ctx context.Context, r GetUserUsageRequestObject) (GetUserUsageResponseObject, error) {
	user, err := h.store.UserRowByID(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	now := h.now()
	first, last, err := h.days(r.Params, now)
	if err != nil {
		return nil, err
	}
	plan := &aaa.Plan{}
	if user.PlanID != uuid.Nil {
		if plan, err = h.store.PlanByID(ctx, user.PlanID); errors.Is(err, aaa.ErrNotFound) {
			plan = &aaa.Plan{} // it was deleted just now
		} else if err != nil {
			return nil, err
		}
	}
	used, err := h.store.PeriodUsage(ctx, user.Name, now)
	if err != nil {
		return nil, err
	}
	days, err := h.store.UserUsage(ctx, user.Name, first, last)
	if err != nil {
		return nil, err
	}
	online := true
	open, err := h.store.CountSessions(ctx, aaa.SessionFilter{Username: user.Name, Online: &online})
	if err != nil {
		return nil, err
	}
	return GetUserUsage200JSONResponse(h.represent(plan, open.N, used, days, now)), nil
}

// days are the first and the last day that are asked for.
func (h *usage) days(p GetUserUsageParams, now time.Time) (first, last time.Time, err error) {
	last = aaa.StartOfDay(now, h.zone)
	if !p.To.IsZero() {
		last = aaa.StartOfDate(p.To.Year(), p.To.Month(), p.To.Day(), h.zone)
	}
	first = last.AddDate(0, 0, -usageDays)
	if !p.From.IsZero() {
		first = aaa.StartOfDate(p.From.Year(), p.From.Month(), p.From.Day(), h.zone)
	}
	if last.Before(first) || first.AddDate(0, 0, maxUsageDays).Before(last) {
		return first, last, invalidField("from", "must be before to, and no more than %d days", maxUsageDays)
	}
	return first, last, nil
}

func (h *usage) represent(plan *aaa.Plan, online int, used [aaa.PeriodCount]aaa.Usage, days []aaa.DailyUsage, now time.Time) UserUsage {
	u := UserUsage{Online: online, Quotas: []QuotaUse{}, Periods: []PeriodUse{}, Days: []DayUse{}}
	for _, q := range aaa.QuotasLeft(plan.Quotas(), used, now, h.zone) {
		u.Quotas = append(u.Quotas, QuotaUse{
			Period: Period(q.Period.String()), From: timeOrNull(q.From),
			LimitSeconds: countOrNull(q.Quota.Seconds, q.Quota.LimitsSeconds), LeftSeconds: countOrNull(q.SecondsLeft, q.Quota.LimitsSeconds),
			LimitOctets: countOrNull(q.Quota.Octets, q.Quota.LimitsOctets), LeftOctets: countOrNull(q.OctetsLeft, q.Quota.LimitsOctets),
		})
	}
	for p := range used {
		period := aaa.Period(p)
		u.Periods = append(u.Periods, PeriodUse{
			Period: Period(period.String()), From: timeOrNull(period.Start(now, h.zone)), Used: usageOf(used[p]),
		})
	}
	for _, day := range days {
		y, m, d := day.Day.In(h.zone).Date()
		u.Days = append(u.Days, DayUse{Day: openapi_types.Date{Time: time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}, Used: usageOf(day.Usage)})
	}
	return u
}

func usageOf(u aaa.Usage) Usage {
	return Usage{SessionSeconds: inCount(u.Seconds), InputOctets: inCount(u.InputOctets), OutputOctets: inCount(u.OutputOctets)}
}

// inCount is a counter as JSON has it, at most what an int64 holds.
func inCount(n uint64) int64 { return int64(min(n, 1<<63-1)) }

func countOrNull(n uint64, limited bool) nullable.Nullable[int64] { return orNull(inCount(n), limited) }
