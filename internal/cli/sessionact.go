package cli

import (
	"context"
	"fmt"
	"os/user"
	"time"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/dictionary"
	"radiusd/operator"
	"radiusd/radius"
	"radiusd/store"
)

// actionTools are what turns actions into requests.
type actionTools struct {
	dict      *dictionary.Dictionary
	templates *aaa.Templates
	nases     aaa.NASList
}

func openActionTools(ctx context.Context, cfg *config.Config, s *store.Store) (t actionTools, err error) {
	if t.dict, err = openDictionary(cfg); err != nil {
		return t, err
	}
	if t.templates, err = aaa.LoadTemplates(t.dict, cfg.Templates.Files...); err != nil {
		return t, err
	}
	t.nases, err = s.NASes(ctx)
	return t, err
}

// actOnSessions queues actions on the sessions that were chosen, sends them, shows
// how far that has come and what became of them.
func (a *app) actOnSessions(ctx context.Context, cfg *config.Config, s *store.Store, choice *sessionChoice, want aaa.SessionChange) error {
	tools, err := openActionTools(ctx, cfg, s)
	if err != nil {
		return err
	}
	planner := aaa.NewActionPlanner(tools.dict, tools.templates, s)
	sessions, words, err := choice.sessions(ctx, s, planner)
	if err != nil {
		return err
	}
	if len(sessions) == 0 {
		fmt.Fprintln(a.stderr, "no session is open")
		return writeList(a, actionColumns, sliceRows[aaa.SessionAction](nil))
	}
	verb := map[aaa.ActionKind]string{aaa.ActionDisconnect: "Disconnect", aaa.ActionCoA: "Change"}[want.Kind]
	if err := a.confirm(choice.yes || len(choice.ids) > 0, "%s %d sessions?", verb, len(sessions)); err != nil {
		return err
	}
	actions, err := planner.Actions(ctx, sessions, want)
	if err != nil {
		return err
	}
	batch := aaa.ActionBatch{Kind: want.Kind, Filter: words, Rate: choice.rate, Actor: localActor()}
	if err := s.QueueActions(operator.WithActor(ctx, operator.Actor{Kind: operator.ActorLocal, Name: batch.Actor}), &batch, actions); err != nil {
		return err
	}
	if err := a.send(ctx, cfg, s, &tools, &batch, choice); err != nil {
		return err
	}
	if err := writeList(a, actionColumns, eachAction(ctx, s, aaa.ActionFilter{BatchID: batch.ID}, 0)); err != nil {
		return err
	}
	if batch.Totals.Troubled() > 0 {
		return errReported
	}
	return nil
}

// localActor is who gave a command on this machine.
func localActor() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "local"
}

// send sends the batch's actions, together with the servers that run, until each has
// an outcome. Interrupted, it calls off those that are not sent yet.
func (a *app) send(ctx context.Context, cfg *config.Config, s *store.Store, tools *actionTools, batch *aaa.ActionBatch, choice *sessionChoice) error {
	client := radius.Client{MaxDuration: choice.timeout}
	defer client.Close()
	worker, err := aaa.NewActions(aaa.ActionsOptions{
		Queue: s, NASes: tools.nases, Dictionary: tools.dict, Templates: tools.templates, Client: &client,
		Batch: batch.ID, Timeout: choice.timeout, Lease: max(2*choice.timeout, time.Minute), Logger: a.logger(cfg, nil),
	})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		worker.Run(working)
	}()
	bar := a.newProgress("requests", int64(batch.Totals.All()))
	err = a.awaitOutcomes(ctx, s, batch, choice.stopWait, bar)
	stop()
	<-ended
	bar.done(int64(batch.Totals.All() - batch.Totals.Pending()))
	if ctx.Err() != nil {
		later, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		skipped, cancelErr := s.CancelActions(later, batch.ID)
		if cancelErr != nil {
			return fmt.Errorf("interrupted, and what waits could not be called off: a server that runs goes on with it: %w", cancelErr)
		}
		fmt.Fprintf(a.stderr, "%d of %d requests were called off; see radiusd session actions --batch %s\n", skipped, batch.Totals.All(), batch.ID)
	}
	return err
}

// awaitOutcomes waits until the batch is finished, and then up to stopWait for the
// Stops of the sessions whose disconnect was acknowledged.
func (a *app) awaitOutcomes(ctx context.Context, s *store.Store, batch *aaa.ActionBatch, stopWait time.Duration, bar *progress) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var finished time.Time
	for {
		now, err := s.ActionBatchByID(ctx, batch.ID)
		if err != nil {
			return err
		}
		*batch = *now
		bar.set(int64(batch.Totals.All() - batch.Totals.Pending()))
		if !batch.FinishedAt.IsZero() {
			if finished.IsZero() {
				finished = a.now()
			}
			if batch.Kind != aaa.ActionDisconnect || a.now().Sub(finished) >= stopWait {
				return nil
			}
			if stopped, err := allStopped(ctx, s, batch); err != nil || stopped {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// allStopped reports whether the Stops of all disconnects that were acknowledged have
// come.
func allStopped(ctx context.Context, s *store.Store, batch *aaa.ActionBatch) (bool, error) {
	for action, err := range eachAction(ctx, s, aaa.ActionFilter{BatchID: batch.ID, States: []aaa.ActionState{aaa.ActionAcknowledged}}, 0) {
		if err != nil || action.StoppedAt.IsZero() {
			return false, err
		}
	}
	return true, nil
}
