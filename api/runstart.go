package api

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"radiusd/billing"
	"radiusd/operator"
)

// RunLog writes down who has started a run in the background.
type RunLog interface {
	// CheckKey fails if the idempotency key of the context was used before.
	CheckKey(ctx context.Context) error
	// AuditOnce claims that key for what was made.
	AuditOnce(ctx context.Context, made uuid.UUID, e operator.AuditEntry) error
}

// runStarter starts runs of one kind in the background.
type runStarter struct {
	log     RunLog
	action  string // as the audit log calls it
	preview string // the operation that says what a run of a later day would do
	// add adds the job of a run, or finds the one that waits or works.
	add func(ctx context.Context, asOf billing.Date) (jobID int64, err error)
}

// start starts a run of the day in the input, or else of today, if ready returns nil. A job is
// no part of the transaction that keeps the Idempotency-Key: if the process is killed between
// the two, the request sent again may add another run, which finds nothing left to do.
func (s *runStarter) start(ctx context.Context, in *BillingRunInput, today billing.Date, ready func() error) (BillingRunStarted, error) {
	day, err := dateIn("as_of", in.AsOf, today)
	if err != nil {
		return BillingRunStarted{}, err
	}
	if today.Before(day) {
		return BillingRunStarted{}, invalidField("as_of", "it has not come yet; see %s", s.preview)
	}
	err = s.log.CheckKey(ctx)
	if made, again := repeated(err); again {
		return runStarted(made), nil
	}
	if err != nil {
		return BillingRunStarted{}, err
	}
	if err := ready(); err != nil {
		return BillingRunStarted{}, err
	}
	jobID, err := s.add(ctx, day)
	if err != nil {
		return BillingRunStarted{}, err
	}
	changes, err := json.Marshal(map[string]any{"as_of": day})
	if err != nil {
		return BillingRunStarted{}, err
	}
	made := startedRun(jobID, day)
	// A client that is gone meanwhile has done it all the same.
	err = s.log.AuditOnce(context.WithoutCancel(ctx), made, operator.AuditEntry{Action: s.action, EntityKind: "job", EntityName: fmt.Sprint(jobID), Changes: changes})
	if before, again := repeated(err); again { // at the same time
		made, err = before, nil
	}
	return runStarted(made), err
}

// startedRun is what an Idempotency-Key remembers of a run that was started: its job and day.
func startedRun(jobID int64, day billing.Date) (id uuid.UUID) {
	binary.BigEndian.PutUint32(id[:4], uint32(firstDay.DaysUntil(day)))
	binary.BigEndian.PutUint64(id[8:], uint64(jobID))
	return id
}

// runStarted is the answer that startedRun stands for.
func runStarted(id uuid.UUID) BillingRunStarted {
	day := firstDay.AddDays(int(binary.BigEndian.Uint32(id[:4])))
	return BillingRunStarted{JobID: int64(binary.BigEndian.Uint64(id[8:])), AsOf: dateOf(day)}
}
