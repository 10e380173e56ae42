package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
)

// userNames is what the flags of a user name, looked up.
type userNames struct {
	plan       uuid.UUID
	groups     []aaa.Membership
	credential *aaa.Credential // nil: as it is
	zone       *time.Location
}

// userRow is a user with what is told of it elsewhere.
type userRow struct {
	*aaa.User
	names   directoryNames
	profile aaa.Profile
}

// userListColumns are the columns of a list of users.
var userListColumns = []column[userRow]{
	{name: "username", value: func(u *userRow) any { return u.Name }},
	{name: "status", value: func(u *userRow) any { return u.Status }},
	{name: "plan", value: func(u *userRow) any { return u.names.plans[u.PlanID] }},
	{name: "expires_at", value: func(u *userRow) any { return u.ExpiresAt }},
	{name: "credential", value: func(u *userRow) any { return u.Credential.Scheme }},
	{name: "groups", value: func(u *userRow) any { return memberships(u.names, u.Groups) }},
	{name: "simultaneous_use", value: func(u *userRow) any { return u.SimultaneousUse }, detail: true},
	{name: "created_at", value: func(u *userRow) any { return u.CreatedAt }, detail: true},
	{name: "updated_at", value: func(u *userRow) any { return u.UpdatedAt }, detail: true},
	{name: "id", value: func(u *userRow) any { return u.ID }, detail: true},
}

func (a *app) userListCommand() *cobra.Command {
	var prefix, status, plan string
	var limit int
	c := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List users by name",
		Example: `  radiusd user list
  radiusd user list --status suspended --plan home -o csv
  radiusd user list ali --limit 20`,
		Args:              arguments("[PREFIX]"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				prefix = args[0]
			}
			if limit < 0 {
				return usagef("--limit must not be negative")
			}
			filter := store.UserFilter{Prefix: prefix, Limit: limit}
			if status != "" {
				parsed, err := aaa.ParseUserStatus(status)
				if err != nil {
					return usagef("--status: %v", err)
				}
				filter.Status = &parsed
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				if plan != "" {
					p, err := s.PlanByName(c.Context(), plan)
					if err != nil {
						return missing(err, plan, func() []string { return planNames(c.Context(), s) })
					}
					filter.PlanID = p.ID
				}
				names, err := readNames(c.Context(), s)
				if err != nil {
					return err
				}
				return writeList(a, userListColumns, userRows(eachUser(c.Context(), s, filter), names))
			})
		},
	}
	c.Flags().StringVar(&status, "status", "", "only users with this `STATUS`")
	c.Flags().StringVar(&plan, "plan", "", "only users with this `PLAN`")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N` users; 0 for all")
	completeFlag(c, "status", userStatuses...)
	completeFlagFunc(c, "plan", a.completePlans)
	a.outputFlag(c)
	return c
}

func userRows(users iter.Seq2[*aaa.User, error], names directoryNames) iter.Seq2[*userRow, error] {
	return func(yield func(*userRow, error) bool) {
		row := userRow{names: names}
		for user, err := range users {
			row.User = user
			if !yield(&row, err) {
				return
			}
		}
	}
}

// recent is how many decisions and sessions `user show` prints.
const recent = 10

func (a *app) userShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a user, the open sessions and the last decisions",
		Long: `Shows a user with check and reply items, the open sessions, and the last login
decisions with their reasons: why was it refused? The suspension is what billing has
suspended the user for, overdue or balance; none: nothing, or an operator did it.`,
		Example: `  radiusd user show alice
  radiusd user show alice -o json`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				return a.showUser(c.Context(), s, args[0])
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) showUser(ctx context.Context, s *store.Store, name string) error {
	decisions, err := s.ListAuthRecords(ctx, store.AuthFilter{Username: name, Limit: recent})
	if err != nil {
		return err
	}
	user, err := s.UserByName(ctx, name)
	if err != nil {
		err = missing(err, name, func() []string { return nearUsers(ctx, s, name) })
		if len(decisions) > 0 && a.format == formatTable {
			// Somebody tries a name that does not exist: show from where.
			if err := section(a, "last decisions", decisionColumns, decisions); err != nil {
				return err
			}
		}
		return err
	}
	row := userRow{User: user}
	if row.names, err = readNames(ctx, s); err != nil {
		return err
	}
	if row.profile, err = s.UserProfile(ctx, name); err != nil {
		return err
	}
	sessions, err := s.ListSessions(ctx, store.SessionFilter{Username: name, Online: true, Limit: recent})
	if err != nil {
		return err
	}
	columns := userShowColumns()
	if a.format == formatJSON {
		columns = append(columns,
			column[userRow]{name: "open_sessions", value: func(*userRow) any { return rawList(sessionColumns, sessions) }},
			column[userRow]{name: "last_decisions", value: func(*userRow) any { return rawList(decisionColumns, decisions) }})
	}
	if err := writeOne(a, columns, &row); err != nil || a.format != formatTable {
		return err
	}
	if err := section(a, "open sessions", sessionColumns, sessions); err != nil {
		return err
	}
	return section(a, "last decisions", decisionColumns, decisions)
}

// userShowColumns are those of a list and what only one user is shown with.
func userShowColumns() []column[userRow] {
	return append(userListColumns[:len(userListColumns):len(userListColumns)],
		column[userRow]{name: "suspension", value: func(u *userRow) any { return cmp.Or(u.Suspension.String(), "none") }},
		column[userRow]{name: "check_items", value: func(u *userRow) any { return itemTexts(u.Items, aaa.CheckItem) }},
		column[userRow]{name: "reply_items", value: func(u *userRow) any { return itemTexts(u.Items, aaa.ReplyItem) }},
		column[userRow]{name: "full_name", value: func(u *userRow) any { return u.profile.FullName }},
		column[userRow]{name: "email", value: func(u *userRow) any { return u.profile.Email }},
		column[userRow]{name: "phone", value: func(u *userRow) any { return u.profile.Phone }},
		column[userRow]{name: "address", value: func(u *userRow) any { return u.profile.Address }},
		column[userRow]{name: "note", value: func(u *userRow) any { return u.profile.Note }},
	)
}

// section writes a list with a title below what was written before.
func section[T any](a *app, title string, columns []column[T], rows []T) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintf(a.stdout, "\nno %s\n", title)
		return err
	}
	if _, err := fmt.Fprintf(a.stdout, "\n%s:\n", title); err != nil {
		return err
	}
	return writeList(a, columns, sliceRows(rows))
}

// rawList is a list as JSON within another object.
func rawList[T any](columns []column[T], rows []T) json.RawMessage {
	list := []byte{'['}
	for i := range rows {
		if i > 0 {
			list = append(list, ',')
		}
		list = appendObject(append(list, "\n    "...), columns, &rows[i], " ", " ")
	}
	return append(list, ']')
}

// decisionColumns describe a decision.
var decisionColumns = []column[aaa.AuthRecord]{
	{name: "at", value: func(r *aaa.AuthRecord) any { return r.At }},
	{name: "result", value: func(r *aaa.AuthRecord) any {
		if r.Accepted {
			return "accept"
		}
		return "reject"
	}},
	{name: "reason", value: func(r *aaa.AuthRecord) any { return r.Reason }},
	{name: "detail", value: func(r *aaa.AuthRecord) any { return r.Detail }},
	{name: "method", value: func(r *aaa.AuthRecord) any { return r.Method }},
	{name: "nas_ip", value: func(r *aaa.AuthRecord) any { return r.NASAddr }},
	{name: "nas_port_id", value: func(r *aaa.AuthRecord) any { return r.NASPortID }, detail: true},
	{name: "calling_station_id", value: func(r *aaa.AuthRecord) any { return r.CallingStationID }},
	{name: "called_station_id", value: func(r *aaa.AuthRecord) any { return r.CalledStationID }, detail: true},
}
