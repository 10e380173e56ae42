package cli

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
)

// sessionChoice is which sessions a command is about.
type sessionChoice struct {
	ids       []string
	user, nas string
	allOnline bool
	yes       bool
	rate      int
	timeout   time.Duration
	stopWait  time.Duration
}

func (f *sessionChoice) register(a *app, c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.user, "user", "", "the open sessions of the user with this `NAME`")
	flags.StringVar(&f.nas, "nas", "", "the open sessions of the NAS with this `ADDRESS`, prefix or name")
	flags.BoolVar(&f.allOnline, "all-online", false, "all open sessions")
	flags.IntVar(&f.rate, "rate", 50, "at most `N` requests a second; 0 for no limit")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to wait for an answer")
	completeFlagFunc(c, "user", a.completeUsers)
	completeFlagFunc(c, "nas", a.completeNASes)
	a.outputFlag(c)
}

// check reads the arguments.
func (f *sessionChoice) check(args []string) error {
	f.ids = args
	filtered := f.user != "" || f.nas != "" || f.allOnline
	switch {
	case filtered == (len(args) > 0):
		return usagef("want the ids of sessions, or one of --user, --nas and --all-online")
	case f.allOnline && (f.user != "" || f.nas != ""):
		return usagef("--all-online goes without --user and --nas")
	case f.rate < 0:
		return usagef("--rate must not be negative")
	case f.timeout <= 0:
		return usagef("--timeout must be greater than zero")
	case f.stopWait < 0:
		return usagef("--stop-wait must not be negative")
	}
	return nil
}

// sessions returns what was chosen, and says it in words, as they stand with the batch.
func (f *sessionChoice) sessions(ctx context.Context, s *store.Store, planner *aaa.ActionPlanner) (list []aaa.Session, words string, err error) {
	for _, id := range f.ids {
		session, err := findSession(ctx, s, id)
		if err != nil {
			return nil, "", err
		}
		if !session.Open() {
			return nil, "", fmt.Errorf("session %s has ended already, at %s", session.ID, tableTime(session.StoppedAt))
		}
		list = append(list, *session)
	}
	if len(f.ids) > 0 {
		return list, aaa.SessionWords(list), nil
	}
	var of store.SessionFilter
	if f.nas != "" {
		if err := filterNAS(ctx, s, f.nas, &of); err != nil {
			return nil, "", err
		}
	}
	filter := aaa.SessionFilter{Username: f.user, NASAddr: of.NASAddr, NASID: of.NASID}
	list, err = planner.Select(ctx, filter)
	return list, filter.Words(f.nas), err
}

func (a *app) sessionDisconnectCommand() *cobra.Command {
	var choice sessionChoice
	c := &cobra.Command{
		Use:   "disconnect [ID…]",
		Short: "Ask NASes to end sessions (Disconnect-Request, RFC 5176)",
		Long: `Sends a Disconnect-Request to the NAS of each session, on its CoA port, and shows
what became of it: acknowledged, refused with a cause, unanswered, or gone, when the
NAS does not know the session. A session is listed as ended once the accounting Stop
of the NAS has arrived. The requests are queued in the store: a server that runs
sends some of them too, and goes on with them if this command is killed.`,
		Example: `  radiusd session disconnect 01890a5d-ac96-774b-bcce-b302099a8057
  radiusd session disconnect 4711 --timeout 10s
  radiusd session disconnect --user alice
  radiusd session disconnect --nas 192.0.2.1 --rate 20 --yes
  radiusd session disconnect --all-online --yes -o csv`,
		Args:              arguments("[ID…]"),
		ValidArgsFunction: first(a.completeSessions),
		RunE: func(c *cobra.Command, args []string) error {
			if err := choice.check(args); err != nil {
				return err
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				return a.actOnSessions(c.Context(), cfg, s, &choice, aaa.SessionChange{Kind: aaa.ActionDisconnect})
			})
		},
	}
	choice.register(a, c)
	c.Flags().DurationVar(&choice.stopWait, "stop-wait", 2*time.Second, "how long to wait for the accounting Stops; 0 for not at all")
	return c
}

func (a *app) sessionCoACommand() *cobra.Command {
	var choice sessionChoice
	var attributes []string
	plan := ""
	c := &cobra.Command{
		Use:   "coa [ID…]",
		Short: "Ask NASes to change sessions (CoA-Request, RFC 5176)",
		Long: `Sends a CoA-Request to the NAS of each session, with attributes as given, or with
those of a plan as the reply template of the NAS's vendor has them, and shows what
became of it. A plan is only applied to the sessions: the user keeps the one that it
has, see radiusd user set --plan.`,
		Example: `  radiusd session coa 4711 --attribute 'Session-Timeout := 600'
  radiusd session coa --user alice --plan fast
  radiusd session coa --nas 192.0.2.1 --attribute 'Filter-Id := walled-garden' --yes`,
		Args:              arguments("[ID…]"),
		ValidArgsFunction: first(a.completeSessions),
		RunE: func(c *cobra.Command, args []string) error {
			if err := choice.check(args); err != nil {
				return err
			}
			if (plan == "") == (len(attributes) == 0) {
				return usagef("want either --attribute or --plan")
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				want := aaa.SessionChange{Kind: aaa.ActionCoA}
				for _, text := range attributes {
					item, err := parseItem(aaa.ReplyItem, text)
					if err != nil {
						return err
					}
					want.Attributes = append(want.Attributes, item)
				}
				if plan != "" {
					found, err := s.PlanByName(c.Context(), plan)
					if err = missing(err, plan, func() []string { return planNames(c.Context(), s) }); err != nil {
						return err
					}
					want.Plan = found
				} else {
					dict, err := openDictionary(cfg)
					if err != nil {
						return err
					}
					if err := aaa.ValidateChange(dict, want.Attributes); err != nil {
						return invalid(err)
					}
				}
				return a.actOnSessions(c.Context(), cfg, s, &choice, want)
			})
		},
	}
	choice.register(a, c)
	c.Flags().StringArrayVar(&attributes, "attribute", nil, "attribute to change, as `'ATTRIBUTE OP VALUE'` (repeated)")
	c.Flags().StringVar(&plan, "plan", "", "change what the plan with this `NAME` gives")
	completeFlagFunc(c, "attribute", a.completeAttributes)
	completeFlagFunc(c, "plan", a.completePlans)
	return c
}

// actionColumns describe an action, named as in the table session_actions.
var actionColumns = []column[aaa.SessionAction]{
	{name: "id", value: func(x *aaa.SessionAction) any { return x.ID }, detail: true},
	{name: "batch_id", value: func(x *aaa.SessionAction) any { return x.BatchID }, detail: true},
	{name: "created_at", value: func(x *aaa.SessionAction) any { return x.CreatedAt }, detail: true},
	{name: "session_id", value: func(x *aaa.SessionAction) any { return x.SessionID }},
	{name: "acct_session_id", value: func(x *aaa.SessionAction) any { return x.AcctSessionID }},
	{name: "username", value: func(x *aaa.SessionAction) any { return x.Username }},
	{name: "nas_ip", value: func(x *aaa.SessionAction) any { return x.NASAddr }},
	{name: "kind", value: func(x *aaa.SessionAction) any { return x.Kind }},
	{name: "state", value: func(x *aaa.SessionAction) any { return x.State }},
	{name: "error_cause", value: func(x *aaa.SessionAction) any { return x.ErrorCause.String() }},
	{name: "stopped_at", value: func(x *aaa.SessionAction) any { return x.StoppedAt }},
	{name: "detail", value: func(x *aaa.SessionAction) any { return x.Detail }},
	{name: "attributes", value: func(x *aaa.SessionAction) any { return itemTexts(x.Attributes, aaa.ReplyItem) }, detail: true},
	{name: "attempts", value: func(x *aaa.SessionAction) any { return x.Attempts }, detail: true},
	{name: "sent_at", value: func(x *aaa.SessionAction) any { return x.SentAt }, detail: true},
	{name: "answered_at", value: func(x *aaa.SessionAction) any { return x.AnsweredAt }, detail: true},
	{name: "stop_missing", value: func(x *aaa.SessionAction) any { return x.StopMissing }, detail: true},
	{name: "actor", value: func(x *aaa.SessionAction) any { return x.Actor }, detail: true},
}

// eachAction gives the actions that the filter selects, the latest first; limit zero: all.
func eachAction(ctx context.Context, s *store.Store, filter aaa.ActionFilter, limit int) iter.Seq2[*aaa.SessionAction, error] {
	cursor := ""
	return eachPage(limit, func(size int, last *aaa.SessionAction) ([]aaa.SessionAction, error) {
		if last == nil {
			cursor = ""
		} else if cursor == "" {
			return nil, nil // the page before was the last one
		}
		list, next, err := s.ListActionsPage(ctx, filter, aaa.Page{Cursor: cursor, Limit: size})
		cursor = next
		return list, err
	})
}

func (a *app) sessionActionsCommand() *cobra.Command {
	var user, session, batch string
	var states []string
	limit := 0
	c := &cobra.Command{
		Use:   "actions",
		Short: "List what NASes were asked to do with sessions, and what became of it",
		Example: `  radiusd session actions
  radiusd session actions --state refused,unanswered,failed
  radiusd session actions --user alice -o json`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef("--limit must not be negative")
			}
			filter := aaa.ActionFilter{Username: user}
			for _, text := range states {
				state, err := aaa.ParseActionState(text)
				if err != nil {
					return usagef("--state: %v", err)
				}
				filter.States = append(filter.States, state)
			}
			for _, flag := range []struct {
				name, text string
				id         *uuid.UUID
			}{{"session", session, &filter.SessionID}, {"batch", batch, &filter.BatchID}} {
				if flag.text == "" {
					continue
				}
				var err error
				if *flag.id, err = uuid.Parse(flag.text); err != nil {
					return usagef("--%s: %q is not an id", flag.name, flag.text)
				}
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				return writeList(a, actionColumns, eachAction(c.Context(), s, filter, limit))
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only of sessions of the user with this `NAME`")
	c.Flags().StringVar(&session, "session", "", "only of the session with this `ID`")
	c.Flags().StringVar(&batch, "batch", "", "only those that were asked for together, with this `ID`")
	c.Flags().StringSliceVar(&states, "state", nil, "only with this `STATE`: queued, sent, acknowledged, refused, unanswered, failed, skipped, gone (repeated)")
	c.Flags().IntVar(&limit, "limit", 1000, "at most `N` actions; 0 for all")
	completeFlagFunc(c, "user", a.completeUsers)
	completeFlag(c, "state", "queued", "sent", "acknowledged", "refused", "unanswered", "failed", "skipped", "gone")
	a.outputFlag(c)
	return c
}
