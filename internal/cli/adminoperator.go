package cli

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/operator"
	"radiusd/store"
)

// operatorPage is how many operators are read at once.
const operatorPage = 500

func (a *app) operatorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "operator",
		Short: "Add, change and list those who run radiusd",
		Long: `Operators sign in to the admin API. What they may do is said by their roles. These
commands work on the store itself, so whoever may run them may do everything; they
are in force on a running server within half a minute.`,
		Example: `  adminapi operator add alice --role owner
  adminapi operator list
  adminapi operator disable bob
  adminapi operator passwd alice --password-stdin <secret.txt`,
	}
	c.AddCommand(a.operatorAddCommand(), a.operatorListCommand(), a.operatorSetCommand(), a.operatorPasswdCommand(),
		a.operatorStatusCommand("disable", "Keep an operator out", operator.Disabled,
			"Ends his sessions, refuses new ones, and makes his API tokens worthless until he is\nenabled again. The last active owner cannot be disabled."),
		a.operatorStatusCommand("enable", "Let an operator in again", operator.Active, "Takes back what disable did; his API tokens work again."),
		a.operatorResetMFACommand())
	return c
}

// localPrincipal is who runs the command.
func localPrincipal() operator.Principal {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return operator.Local(name)
}

// withOperators runs a command on the operators of the configured store.
func (a *app) withOperators(ctx context.Context, fn func(s *operator.Service, by operator.Principal) error) error {
	return a.withStore(ctx, func(_ *config.Config, s *store.Store) error {
		service, err := operator.New(operator.Options{Store: s, Now: a.now})
		if err != nil {
			return err
		}
		err = fn(service, localPrincipal())
		var invalid *operator.FieldError
		if errors.As(err, &invalid) || errors.Is(err, operator.ErrUnknownRole) {
			return usagef("%v", err)
		}
		return err
	})
}

// withOperator runs a command on the operator of that name.
func (a *app) withOperator(ctx context.Context, name string, fn func(s *operator.Service, by operator.Principal, o *operator.Operator) error) error {
	return a.withOperators(ctx, func(s *operator.Service, by operator.Principal) error {
		o, err := s.OperatorNamed(ctx, name)
		if errors.Is(err, operator.ErrNotFound) {
			return fmt.Errorf("%w%s", err, hint(operator.NormalizeName(name), operatorNames(ctx, s)))
		}
		if err != nil {
			return err
		}
		return fn(s, by, o)
	})
}

func operatorNames(ctx context.Context, s *operator.Service) []string {
	list, _ := s.Operators(ctx, operator.OperatorFilter{}) // only for a hint
	return namesOf(list, func(o *operator.Operator) string { return o.Name })
}

// completeOperators completes the name of an operator.
func (a *app) completeOperators(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, func(ctx context.Context, s *store.Store) []string {
		list, _ := s.ListOperators(ctx, operator.OperatorFilter{})
		return namesOf(list, func(o *operator.Operator) string { return o.Name })
	})
}

func (a *app) completeRoles(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, func(ctx context.Context, s *store.Store) []string {
		list, _ := s.Roles(ctx)
		return namesOf(list, func(r *operator.Role) string { return r.Name })
	})
}

// operatorPassword is the flags that give an operator a password.
type operatorPassword struct {
	password string
	stdin    bool
}

func (f *operatorPassword) register(c *cobra.Command) {
	c.Flags().StringVar(&f.password, "password", "", "`PASSWORD` (visible in the process list: rather --password-stdin)")
	c.Flags().BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input")
}

// read returns the password that the flags give; without them it asks on a terminal.
func (f *operatorPassword) read(a *app, c *cobra.Command) (string, error) {
	given := c.Flags().Changed("password")
	switch {
	case given && f.stdin:
		return "", usagef("only one of --password and --password-stdin can be given")
	case given:
		return f.password, nil
	case f.stdin || isTerminal(a.stdin):
		return a.readSecret("password")
	}
	return "", usagef("%s: give --password-stdin, or a terminal to ask on", c.CommandPath())
}

// operatorFlags are what add and set have in common.
type operatorFlags struct {
	displayName, email, issuer, subject string
	roles                               []string
}

func (f *operatorFlags) register(a *app, c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVar(&f.roles, "role", nil, "`ROLE` of the operator (repeated): owner, admin, billing, support, auditor, read-only or one of your own")
	flags.StringVar(&f.displayName, "display-name", "", "the person's `NAME`")
	flags.StringVar(&f.email, "email", "", "`ADDRESS` for electronic mail")
	flags.StringVar(&f.issuer, "oidc-issuer", "", "`URL` of the OpenID provider that knows the person")
	flags.StringVar(&f.subject, "oidc-subject", "", "who the person `IS` to the provider (the claim sub)")
	completeFlagFunc(c, "role", a.completeRoles)
}

func (a *app) operatorAddCommand() *cobra.Command {
	f, password := &operatorFlags{}, &operatorPassword{}
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add an operator",
		Long: `Adds an operator. The password has at least 12 characters; with --oidc-subject there
may be none. The first operator is an owner if no role is given.`,
		Example: `  adminapi operator add alice --role owner
  adminapi operator add bob --role support --role billing --password-stdin <secret.txt
  adminapi operator add carol --role auditor --oidc-issuer https://id.example.org --oidc-subject 248289761001`,
		Args:              arguments("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			n := operator.NewOperator{Name: args[0], DisplayName: f.displayName, Email: f.email, Roles: f.roles,
				Subject: operator.Subject{Issuer: f.issuer, ID: f.subject}}
			if f.subject == "" || c.Flags().Changed("password") || password.stdin {
				var err error
				if n.Password, err = password.read(a, c); err != nil {
					return err
				}
				if n.Password == "" {
					return usagef("the password is empty")
				}
			}
			return a.withOperators(c.Context(), func(s *operator.Service, by operator.Principal) error {
				if len(n.Roles) == 0 {
					some, err := s.Operators(c.Context(), operator.OperatorFilter{Limit: 1})
					if err != nil {
						return err
					}
					if len(some) > 0 {
						return usagef("an operator needs --role: without one he may do nothing")
					}
					n.Roles = []string{operator.OwnerName}
				}
				o, err := s.CreateOperator(c.Context(), by, n)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "operator %s added with the role %s\n", printable(o.Name), strings.Join(o.Roles, ", "))
				return nil
			})
		},
	}
	f.register(a, c)
	password.register(c)
	return c
}

func operatorColumns() []column[operator.Operator] {
	return []column[operator.Operator]{
		{name: "name", value: func(o *operator.Operator) any { return o.Name }},
		{name: "display_name", value: func(o *operator.Operator) any { return o.DisplayName }},
		{name: "email", value: func(o *operator.Operator) any { return o.Email }},
		{name: "status", value: func(o *operator.Operator) any { return o.Status.String() }},
		{name: "roles", value: func(o *operator.Operator) any { return o.Roles }},
		{name: "mfa", label: "MFA", value: func(o *operator.Operator) any { return o.TOTP.Enabled() }},
		{name: "last_sign_in_at", label: "last sign-in", value: func(o *operator.Operator) any { return o.LastSignInAt }},
		{name: "recovery_codes", value: func(o *operator.Operator) any { return o.RecoveryCodes }, detail: true},
		{name: "oidc_issuer", value: func(o *operator.Operator) any { return o.Subject.Issuer }, detail: true},
		{name: "oidc_subject", value: func(o *operator.Operator) any { return o.Subject.ID }, detail: true},
		{name: "created_at", value: func(o *operator.Operator) any { return o.CreatedAt }, detail: true},
		{name: "updated_at", value: func(o *operator.Operator) any { return o.UpdatedAt }, detail: true},
		{name: "id", value: func(o *operator.Operator) any { return o.ID }, detail: true},
	}
}

func (a *app) operatorListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "list",
		Short:             "List operators",
		Example:           "  adminapi operator list -o json",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withOperators(c.Context(), func(s *operator.Service, _ operator.Principal) error {
				return writeList(a, operatorColumns(), func(yield func(*operator.Operator, error) bool) {
					filter := operator.OperatorFilter{Limit: operatorPage}
					for {
						page, err := s.Operators(c.Context(), filter)
						if err != nil {
							yield(nil, err)
							return
						}
						for i := range page {
							if !yield(&page[i], nil) {
								return
							}
						}
						if len(page) < operatorPage {
							return
						}
						filter.After = page[len(page)-1].Name
					}
				})
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) operatorSetCommand() *cobra.Command {
	f := &operatorFlags{}
	newName := ""
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change an operator",
		Long:  `Changes what the flags say and leaves all else as it is.`,
		Example: `  adminapi operator set bob --role support --role billing
  adminapi operator set bob --rename robert --email robert@example.org`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeOperators),
		RunE: func(c *cobra.Command, args []string) error {
			if !anyChanged(c) {
				return usagef("%s: nothing to change; see %s --help", c.CommandPath(), c.CommandPath())
			}
			given := c.Flags().Changed
			if given("oidc-issuer") != given("oidc-subject") {
				return usagef("--oidc-issuer and --oidc-subject belong together")
			}
			return a.withOperator(c.Context(), args[0], func(s *operator.Service, by operator.Principal, o *operator.Operator) error {
				var change operator.OperatorChange
				for _, text := range []struct {
					flag, value string
					target      **string
				}{{"rename", newName, &change.Name}, {"display-name", f.displayName, &change.DisplayName}, {"email", f.email, &change.Email}} {
					if given(text.flag) {
						*text.target = &text.value
					}
				}
				if given("role") {
					change.Roles = &f.roles
				}
				if given("oidc-subject") {
					change.Subject = &operator.Subject{Issuer: f.issuer, ID: f.subject}
				}
				changed, err := s.ChangeOperator(c.Context(), by, o.ID, change)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "operator %s changed\n", printable(changed.Name))
				return nil
			})
		},
	}
	f.register(a, c)
	c.Flags().Lookup("role").Usage += "; replaces all roles"
	c.Flags().StringVar(&newName, "rename", "", "new `NAME`")
	return c
}

func (a *app) operatorPasswdCommand() *cobra.Command {
	f := &operatorPassword{}
	c := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Set an operator's password",
		Long: `Sets a new password, ends the operator's sessions, and lets him try again at once if
failed sign-ins have locked him out.`,
		Example: `  adminapi operator passwd alice
  adminapi operator passwd alice --password-stdin <secret.txt`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeOperators),
		RunE: func(c *cobra.Command, args []string) error {
			password, err := f.read(a, c)
			if err != nil {
				return err
			}
			return a.withOperator(c.Context(), args[0], func(s *operator.Service, by operator.Principal, o *operator.Operator) error {
				if err := s.SetPassword(c.Context(), by, o.ID, password); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "operator %s has a new password and is signed out\n", printable(o.Name))
				return nil
			})
		},
	}
	f.register(c)
	return c
}

func (a *app) operatorStatusCommand(verb, short string, status operator.Status, long string) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " NAME",
		Short:             short,
		Long:              long,
		Example:           "  adminapi operator " + verb + " bob",
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeOperators),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withOperator(c.Context(), args[0], func(s *operator.Service, by operator.Principal, o *operator.Operator) error {
				if _, err := s.ChangeOperator(c.Context(), by, o.ID, operator.OperatorChange{Status: &status}); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "operator %s is %s\n", printable(o.Name), status)
				return nil
			})
		},
	}
}

func (a *app) operatorResetMFACommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset-mfa NAME",
		Short: "Remove an operator's second factor",
		Long: `Removes the second factor and the recovery codes of an operator who has lost them, and
ends his sessions. He signs in with the password alone and can enrol a new one.`,
		Example:           "  adminapi operator reset-mfa alice",
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeOperators),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withOperator(c.Context(), args[0], func(s *operator.Service, by operator.Principal, o *operator.Operator) error {
				if err := s.ResetMFA(c.Context(), by, o.ID); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "operator %s has no second factor now and is signed out\n", printable(o.Name))
				return nil
			})
		},
	}
}
