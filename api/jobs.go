package api

import (
	"context"
	"encoding/json"
	"fmt"

	"radiusd/jobs"
	"radiusd/operator"
)

// Jobs are the jobs in the background.
type Jobs interface {
	List(ctx context.Context, filter jobs.Filter) (list []jobs.Job, more bool, err error)
	Get(ctx context.Context, id int64) (jobs.Job, error)
	Retry(ctx context.Context, id int64) (jobs.Job, error)
	Cancel(ctx context.Context, id int64) (jobs.Job, error)
}

// jobList is the resource /jobs.
type jobList struct {
	jobs  Jobs
	audit AuditStore
}

func (h *jobList) ListJobs(ctx context.Context, r ListJobsRequestObject) (ListJobsResponseObject, error) {
	filter := jobs.Filter{Kind: r.Params.Kind}
	if r.Params.State != "" {
		state, err := jobs.ParseState(string(r.Params.State))
		if err != nil {
			return nil, invalidField("state", "%v", err)
		}
		filter.States = []jobs.State{state}
	}
	const list = "jobs"
	before, err := numberCursor(r.Params.Cursor, list, filter)
	if err != nil {
		return nil, err
	}
	asked := filter
	asked.Before, asked.Limit = int64(before), page(r.Params.Cursor, r.Params.Limit, "").Limit
	found, more, err := h.jobs.List(ctx, asked)
	if err != nil {
		return nil, err
	}
	body := JobList{Items: make([]Job, len(found)), NextCursor: nextCursor("")}
	for i := range found {
		body.Items[i] = jobOf(&found[i])
	}
	if more {
		body.NextCursor = nextCursor(formatNumberCursor(uint64(found[len(found)-1].ID), list, filter))
	}
	return ListJobs200JSONResponse(body), nil
}

func (h *jobList) GetJob(ctx context.Context, r GetJobRequestObject) (GetJobResponseObject, error) {
	job, err := h.jobs.Get(ctx, r.JobID)
	if err != nil {
		return nil, err
	}
	return GetJob200JSONResponse(jobOf(&job)), nil
}

func (h *jobList) RetryJob(ctx context.Context, r RetryJobRequestObject) (RetryJobResponseObject, error) {
	job, err := h.change(ctx, r.JobID, "jobs.retry", h.jobs.Retry)
	if err != nil {
		return nil, err
	}
	return RetryJob200JSONResponse(job), nil
}

func (h *jobList) CancelJob(ctx context.Context, r CancelJobRequestObject) (CancelJobResponseObject, error) {
	job, err := h.change(ctx, r.JobID, "jobs.cancel", h.jobs.Cancel)
	if err != nil {
		return nil, err
	}
	return CancelJob200JSONResponse(job), nil
}

// change does something to a job and notes who did.
func (h *jobList) change(ctx context.Context, id int64, action string, do func(context.Context, int64) (jobs.Job, error)) (Job, error) {
	job, err := do(ctx, id)
	if err != nil {
		return Job{}, err
	}
	changes, err := json.Marshal(map[string]any{"kind": job.Kind})
	if err != nil {
		return Job{}, err
	}
	// A client that is gone meanwhile has done it all the same.
	err = h.audit.AppendAudit(context.WithoutCancel(ctx), operator.AuditEntry{Action: action, EntityKind: "job", EntityName: fmt.Sprint(id), Changes: changes}, "")
	return jobOf(&job), err
}

// jobOf is a job as the API shows it.
func jobOf(j *jobs.Job) Job {
	args := j.Args
	if args == nil {
		args = map[string]any{}
	}
	failures := make([]JobFailure, len(j.Failures))
	for i, f := range j.Failures {
		failures[i] = JobFailure{At: f.At.UTC(), Attempt: f.Attempt, Error: f.Error}
	}
	return Job{
		ID: j.ID, Kind: j.Kind, State: JobState(j.State), Args: args, Attempt: j.Attempt, MaxAttempts: j.Attempts, Failures: failures,
		Done: j.Done, Total: j.Total, Canceling: j.Cancelling, CreatedAt: j.CreatedAt.UTC(), ScheduledAt: j.ScheduledAt.UTC(),
		StartedAt: timeOrNull(j.StartedAt), FinishedAt: timeOrNull(j.FinishedAt),
	}
}
