package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/config"
	"radiusd/store"
)

var userStatuses = []string{aaa.UserActive.String(), aaa.UserDisabled.String(), aaa.UserSuspended.String()}

func (a *app) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Add, change, list, import and delete users",
		Example: `  radiusd user add alice --password-stdin --plan home
  radiusd user show alice
  radiusd user set alice --status suspended
  radiusd user import subscribers.csv --dry-run`,
	}
	c.AddCommand(a.userAddCommand(), a.userListCommand(), a.userShowCommand(), a.userSetCommand(), a.userDeleteCommand(),
		a.userImportCommand(), a.userExportCommand(), a.userExportDataCommand(), a.userEraseCommand())
	return c
}

// userFlags are what add and set have in common.
type userFlags struct {
	passwordFlags
	itemFlags
	plan, status, expires, simultaneousUse         string
	groups                                         []string
	fullName, email, phone, address, note, newName string
	clearGroups                                    bool
}

func (f *userFlags) registerUser(a *app, c *cobra.Command, changing bool) {
	f.passwordFlags.register(c)
	flags := c.Flags()
	flags.StringVar(&f.plan, "plan", "", "`PLAN` of the user; none for no plan")
	flags.StringVar(&f.status, "status", "active", "`STATUS`: "+strings.Join(userStatuses, ", "))
	flags.StringVar(&f.expires, "expires", "never", "last `DAY` of access, as 2026-12-31, or a time in RFC 3339, or never")
	flags.StringVar(&f.simultaneousUse, "simultaneous-use", "none", "how many sessions may be open at once; none leaves it to the plan")
	flags.StringArrayVar(&f.groups, "group", nil, "member of `GROUP[:PRIORITY]`, lower priorities apply first (repeated)")
	flags.StringVar(&f.fullName, "full-name", "", "the person's `NAME`")
	flags.StringVar(&f.email, "email", "", "`ADDRESS` for electronic mail")
	flags.StringVar(&f.phone, "phone", "", "telephone `NUMBER`")
	flags.StringVar(&f.address, "address", "", "postal `ADDRESS`")
	flags.StringVar(&f.note, "note", "", "`TEXT` for operators")
	if changing {
		flags.Lookup("group").Usage += ", replacing all memberships"
		flags.BoolVar(&f.clearGroups, "clear-groups", false, "leave all groups")
		flags.StringVar(&f.newName, "rename", "", "new `NAME`; sessions and accounting keep the old one")
	}
	f.itemFlags.register(a, c, changing)
	completeFlagFunc(c, "plan", a.completePlans)
	completeFlagFunc(c, "group", a.completeGroups)
	completeFlag(c, "status", userStatuses...)
	completeFlag(c, "expires", "never")
}

// apply changes the user as the given flags say. Names are looked up outside of
// the transaction that writes the user.
func (f *userFlags) applyTo(c *cobra.Command, names *userNames, user *aaa.User) (err error) {
	given := c.Flags().Changed
	if given("plan") {
		user.PlanID = names.plan
	}
	if given("status") {
		if user.Status, err = aaa.ParseUserStatus(f.status); err != nil {
			return usagef("--status: %v", err)
		}
	}
	if given("expires") {
		if user.ExpiresAt, err = userfile.ParseExpiry(f.expires, names.zone); err != nil {
			return usagef("--expires: %v", err)
		}
	}
	if given("simultaneous-use") {
		if user.SimultaneousUse, err = userfile.ParseLimit(f.simultaneousUse); err != nil {
			return usagef("--simultaneous-use: %v", err)
		}
	}
	if given("group") || f.clearGroups {
		user.Groups = names.groups
	}
	if names.credential != nil {
		user.Credential = *names.credential
	}
	if f.newName != "" {
		user.Name = f.newName
	}
	if user.Credential.Scheme == aaa.SchemeMAC {
		mac, ok := aaa.NormalizeMAC(user.Name)
		if !ok {
			return usagef("--mac: %q is not a MAC address", user.Name)
		}
		user.Name = mac
	}
	user.Items, err = f.itemFlags.apply(user.Items)
	return err
}

// applyProfile changes the profile as the given flags say.
func (f *userFlags) applyProfile(c *cobra.Command, p *aaa.Profile) (changed bool) {
	for _, field := range []struct {
		flag, value string
		target      *string
	}{
		{"full-name", f.fullName, &p.FullName}, {"email", f.email, &p.Email}, {"phone", f.phone, &p.Phone},
		{"address", f.address, &p.Address}, {"note", f.note, &p.Note},
	} {
		if c.Flags().Changed(field.flag) {
			*field.target = field.value
			changed = true
		}
	}
	return changed
}

func (a *app) userAddCommand() *cobra.Command {
	f := &userFlags{}
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long: `Adds a user. The password is kept sealed, in cleartext unless --hash says
otherwise: CHAP and MS-CHAP cannot work with a hash, PAP can.`,
		Example: `  radiusd user add alice --password-stdin --plan home
  radiusd user add bob --password s3cret --hash argon2id --expires 2026-12-31
  radiusd user add 02:00:00:00:00:01 --mac --group printers:10
  radiusd user add carol --password-stdin --reply 'Framed-IP-Address := 192.0.2.7'`,
		Args:              arguments("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			credential, err := f.credential(a, c)
			if err != nil {
				return err
			}
			if credential == nil {
				return usagef("a user needs --password, --password-stdin, --password-hash or --mac")
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				names, err := f.names(c.Context(), cfg, s)
				if err != nil {
					return err
				}
				names.credential = credential
				user := &aaa.User{Name: args[0]}
				if err := f.applyTo(c, names, user); err != nil {
					return err
				}
				if err := validateItems(cfg, user.Items); err != nil {
					return err
				}
				if err := s.CreateUser(c.Context(), user); err != nil {
					return err
				}
				if err := f.saveProfile(c, s, user.Name); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "user %s added\n", printable(user.Name))
				return nil
			})
		},
	}
	f.registerUser(a, c, false)
	return c
}

func (f *userFlags) saveProfile(c *cobra.Command, s *store.Store, name string) error {
	if !f.applyProfile(c, &aaa.Profile{}) {
		return nil
	}
	return s.UpdateUserProfile(c.Context(), name, func(p *aaa.Profile) error {
		f.applyProfile(c, p)
		return nil
	})
}

func (a *app) userSetCommand() *cobra.Command {
	f := &userFlags{}
	apply := false
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a user",
		Long: `Changes what the flags say and leaves all else as it is. The next login gets
what was changed; with --apply the sessions that are open get it too, by
CoA-Requests, or are ended where that cannot be, or if the user may not log in
any more.`,
		Example: `  radiusd user set alice --status suspended
  radiusd user set alice --plan gold --apply
  radiusd user set alice --plan none --expires 2026-12-31
  radiusd user set alice --add-reply 'Mikrotik-Address-List := vip'
  radiusd user set alice --password-stdin`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			if !anyChanged(c) {
				return usagef("%s: nothing to change; see %s --help", c.CommandPath(), c.CommandPath())
			}
			credential, err := f.credential(a, c)
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				names, err := f.names(c.Context(), cfg, s)
				if err != nil {
					return err
				}
				names.credential = credential
				name := args[0]
				var before aaa.User
				err = s.UpdateUser(c.Context(), args[0], func(user *aaa.User) error {
					before = *user
					if err := f.applyTo(c, names, user); err != nil {
						return err
					}
					name = user.Name
					return validateItems(cfg, user.Items)
				})
				if err != nil {
					return missing(err, args[0], func() []string { return nearUsers(c.Context(), s, args[0]) })
				}
				if err := f.saveProfile(c, s, name); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "user %s changed\n", printable(name))
				return a.applyUser(c.Context(), cfg, s, &before, apply)
			})
		},
	}
	f.registerUser(a, c, true)
	c.Flags().BoolVar(&apply, "apply", false, "let the open sessions have it too")
	return c
}

func (a *app) userDeleteCommand() *cobra.Command {
	yes := false
	var options aaa.CloseOptions
	c := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a user",
		Long: `Deletes a user with its profile. Sessions and accounting records stay: they are
history. Subscriptions end today, and what is left of them, of usage and of other
charges is billed at once; what is owed can be paid still. If that cannot be
billed, nothing is done: then the error says why, and what can be done about it.
To keep a user out for a while, rather set the status.`,
		Example: `  radiusd user delete alice
  radiusd user delete alice --yes
  radiusd user delete alice --yes --without-usage-at-hours`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				near := func() []string { return nearUsers(c.Context(), s, args[0]) }
				user, err := s.UserByName(c.Context(), args[0])
				if err != nil {
					return missing(err, args[0], near)
				}
				if err := a.confirm(yes, "Delete user %s?", printable(args[0])); err != nil {
					return err
				}
				if err := s.RemoveUser(c.Context(), user.ID, options, nil); err != nil {
					return missing(err, args[0], near)
				}
				fmt.Fprintf(a.stdout, "user %s deleted\n", printable(args[0]))
				balances, err := s.Balances(c.Context(), user.ID)
				for _, currency := range slices.Sorted(maps.Keys(balances)) {
					switch owed := balances[currency]; {
					case owed > 0:
						fmt.Fprintf(a.stdout, "%s %s are owed still: payments are booked to %s\n", currency.Format(owed), currency, user.ID)
					case owed < 0:
						fmt.Fprintf(a.stdout, "%s %s of credit are left, of %s\n", currency.Format(-owed), currency, user.ID)
					}
				}
				return err
			})
		},
	}
	yesFlag(c, &yes)
	withoutUsageFlag(c, &options)
	return c
}

// withoutUsageFlag gives a command that closes an account the flag that leaves out what
// cannot be told.
func withoutUsageFlag(c *cobra.Command, options *aaa.CloseOptions) {
	c.Flags().BoolVar(&options.WithoutUsageAtHours, "without-usage-at-hours", false, "do not bill usage at certain hours that cannot be told any more, as accounting records are gone")
}

// yesFlag gives a command that asks the flag that answers.
func yesFlag(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}

// parseGroup reads GROUP[:PRIORITY].
func parseGroup(text string) (name string, priority int, err error) {
	name, number, ok := cutLast(text, ":")
	if !ok {
		return text, 0, nil
	}
	priority, err = strconv.Atoi(number)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not GROUP[:PRIORITY]: the priority is not a number", text)
	}
	return name, priority, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// memberships writes groups as parseGroup reads them, in the order they apply.
func memberships(names directoryNames, groups []aaa.Membership) []string {
	sorted := slices.Clone(groups)
	slices.SortStableFunc(sorted, func(a, b aaa.Membership) int { return a.Priority - b.Priority })
	texts := []string{}
	for _, m := range sorted {
		text := names.groups[m.GroupID]
		if m.Priority != 0 {
			text += ":" + strconv.Itoa(m.Priority)
		}
		texts = append(texts, text)
	}
	return texts
}

// names looks up the plan and the groups that the flags name.
func (f *userFlags) names(ctx context.Context, cfg *config.Config, s *store.Store) (*userNames, error) {
	n := &userNames{zone: cfg.Location()}
	if f.plan != "" && f.plan != "none" {
		plan, err := s.PlanByName(ctx, f.plan)
		if err != nil {
			return nil, missing(err, f.plan, func() []string { return planNames(ctx, s) })
		}
		n.plan = plan.ID
	}
	for _, text := range f.groups {
		name, priority, err := parseGroup(text)
		if err != nil {
			return nil, usagef("--group: %v", err)
		}
		group, err := s.GroupByName(ctx, name)
		if err != nil {
			return nil, missing(err, name, func() []string { return groupNames(ctx, s) })
		}
		if slices.ContainsFunc(n.groups, func(m aaa.Membership) bool { return m.GroupID == group.ID }) {
			return nil, usagef("--group: %q is given twice", name)
		}
		n.groups = append(n.groups, aaa.Membership{GroupID: group.ID, Priority: priority})
	}
	return n, nil
}
