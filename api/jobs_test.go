package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/jobs"
)

// letter is what the jobs of these tests are about.
type letter struct {
	To   string `json:"to"`
	Text string `json:"text"`
}

func (letter) Kind() string { return "test.letter" }

// newJobs returns the jobs of a store that nobody runs.
func newJobs(t *testing.T, w *world, workers int) *jobs.Queue {
	t.Helper()
	h := w.store.Handles()
	q, err := jobs.New(jobs.Options{Postgres: h.Pool, Writer: h.Writer, Reader: h.Reader, Workers: workers, Poll: 50 * time.Millisecond, Grace: time.Minute})
	require.NoError(t, err)
	return q
}

func TestJobs(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		q := newJobs(t, w, 1)
		fail := func(context.Context, letter) error { return jobs.Permanent(errors.New("no such street")) }
		kind, err := jobs.Register(q, fail, jobs.Policy{Show: []string{"to"}})
		require.NoError(t, err)
		owner := w.as(t, "owner")
		later := time.Now().Add(time.Hour)
		var ids []int64
		for i := range 5 {
			id, _, err := kind.InsertAt(ctx, letter{To: fmt.Sprint("user-", i), Text: "a secret"}, later)
			require.NoError(t, err)
			ids = append([]int64{id}, ids...)
		}

		t.Run("pages", func(t *testing.T) {
			var got []int64
			for cursor := ""; ; {
				list := into[api.JobList](owner.in(t).get("/jobs?limit=2&kind=test.letter&cursor=" + cursor).is(http.StatusOK))
				for _, j := range list.Items {
					got = append(got, j.ID)
				}
				next, err := list.NextCursor.Get()
				if err != nil {
					break
				}
				cursor = next
			}
			assert.Equal(t, ids, got)
			owner.in(t).get("/jobs?cursor=x").code(http.StatusBadRequest, "bad_cursor")
			assert.Empty(t, into[api.JobList](owner.in(t).get("/jobs?state=failed").is(http.StatusOK)).Items)
			assert.Len(t, into[api.JobList](owner.in(t).get("/jobs?state=scheduled").is(http.StatusOK)).Items, 5)
		})
		t.Run("arguments are masked", func(t *testing.T) {
			answer := owner.in(t).get(fmt.Sprintf("/jobs/%d", ids[0])).is(http.StatusOK)
			assert.Equal(t, map[string]any{"to": "user-4"}, into[api.Job](answer).Args)
			owner.in(t).get("/jobs/999999").code(http.StatusNotFound, "not_found")
		})
		t.Run("cancel", func(t *testing.T) {
			job := into[api.Job](owner.in(t).post(fmt.Sprintf("/jobs/%d/cancel", ids[1]), nil).is(http.StatusOK))
			assert.Equal(t, api.JobStateCancelled, job.State)
			owner.in(t).post(fmt.Sprintf("/jobs/%d/cancel", ids[1]), nil).code(http.StatusConflict, "job_state")
		})
		t.Run("a failure is shown, and retried", func(t *testing.T) {
			running, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- q.Run(running) }()
			defer func() {
				stop()
				assert.NoError(t, <-ended)
			}()
			path := fmt.Sprintf("/jobs/%d", ids[2])
			for attempt := 1; attempt <= 2; attempt++ {
				owner.in(t).post(path+"/retry", nil).is(http.StatusOK)
				require.Eventually(t, func() bool {
					job, err := q.Get(ctx, ids[2])
					return err == nil && job.State == jobs.Failed && len(job.Failures) == attempt
				}, time.Minute, 50*time.Millisecond)
				job := into[api.Job](owner.in(t).get(path).is(http.StatusOK))
				assert.Equal(t, api.JobStateFailed, job.State)
				assert.Equal(t, "no such street", job.Failures[0].Error)
			}
		})
		t.Run("who did it", func(t *testing.T) {
			list := into[api.AuditList](owner.in(t).get("/audit?action=jobs.").is(http.StatusOK))
			require.Len(t, list.Items, 3)
			assert.Equal(t, "jobs.cancel", list.Items[2].Action)
			assert.Equal(t, fmt.Sprint(ids[1]), list.Items[2].EntityName)
		})
	})
}
