package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/config"
	"radiusd/store"
)

// exportColumns give the columns of an import, by the names of userfile.Columns.
var exportColumns = map[string]func(*userRow) any{
	"username": func(u *userRow) any { return u.Name },
	"password": func(u *userRow) any {
		if u.Credential.Scheme == aaa.SchemeCleartext {
			return string(u.Credential.Secret)
		}
		return nil
	},
	"password_hash": func(u *userRow) any {
		switch u.Credential.Scheme {
		case aaa.SchemeNTHash:
			return "{NT}" + hex.EncodeToString(u.Credential.Secret)
		case aaa.SchemeHash:
			return string(u.Credential.Secret)
		}
		return nil
	},
	"plan":       func(u *userRow) any { return u.names.plans[u.PlanID] },
	"status":     func(u *userRow) any { return u.Status },
	"expires_at": func(u *userRow) any { return u.ExpiresAt },
	"simultaneous_use": func(u *userRow) any {
		if u.SimultaneousUse == 0 {
			return nil
		}
		return u.SimultaneousUse
	},
	"groups":    func(u *userRow) any { return groupList(u) },
	"mac":       func(u *userRow) any { return u.Credential.Scheme == aaa.SchemeMAC },
	"full_name": func(u *userRow) any { return u.profile.FullName },
	"email":     func(u *userRow) any { return u.profile.Email },
	"phone":     func(u *userRow) any { return u.profile.Phone },
	"address":   func(u *userRow) any { return u.profile.Address },
	"note":      func(u *userRow) any { return u.profile.Note },
}

// groupList names the groups as an import reads them.
func groupList(u *userRow) string {
	sorted := slices.Clone(u.Groups)
	slices.SortStableFunc(sorted, func(a, b aaa.Membership) int { return a.Priority - b.Priority })
	names := make([]string, len(sorted))
	for i, m := range sorted {
		names[i] = u.names.groups[m.GroupID]
	}
	return strings.Join(names, ";")
}

func (a *app) userExportCommand() *cobra.Command {
	passwords := false
	c := &cobra.Command{
		Use:   "export",
		Short: "Write all users as CSV, as import reads it",
		Long: `Writes all users to standard output with the columns of an import. Passwords and
hashes are left out, and an import with --update then keeps the present ones;
--with-passwords writes them, in cleartext where they are kept so: treat such a file
like the passwords themselves. Check and reply items of single users are not part
of it.`,
		Example: `  radiusd user export > users.csv
  radiusd user export --with-passwords > /root/users-with-passwords.csv`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("output") {
				a.format = formatCSV
			}
			var columns []column[userRow]
			for _, name := range userfile.Columns() {
				if passwords || name != "password" && name != "password_hash" {
					columns = append(columns, column[userRow]{name: name, value: exportColumns[name]})
				}
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				names, err := readNames(c.Context(), s)
				if err != nil {
					return err
				}
				return writeList(a, columns, usersWithProfiles(c.Context(), s, names))
			})
		},
	}
	c.Flags().BoolVar(&passwords, "with-passwords", false, "write passwords and hashes as well, readable by anyone who gets the file")
	a.outputFlag(c)
	c.Flags().Lookup("output").DefValue = formatCSV
	return c
}

// usersWithProfiles gives all users in the order of their ids with their
// profiles, which come in the same order.
func usersWithProfiles(ctx context.Context, s *store.Store, names directoryNames) iter.Seq2[*userRow, error] {
	type profile struct {
		id uuid.UUID
		p  aaa.Profile
	}
	errStop := errors.New("stop")
	profiles := func(yield func(profile, error) bool) {
		err := s.EachUserProfile(ctx, func(id uuid.UUID, p aaa.Profile) error {
			if !yield(profile{id, p}, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(profile{}, err)
		}
	}
	return func(yield func(*userRow, error) bool) {
		next, stop := iter.Pull2(profiles)
		defer stop()
		row := userRow{names: names}
		current, profileErr, more := next()
		err := s.EachUser(ctx, func(user *aaa.User) error {
			for more && profileErr == nil && slices.Compare(current.id[:], user.ID[:]) < 0 {
				current, profileErr, more = next()
			}
			if profileErr != nil {
				return profileErr
			}
			row.User, row.profile = user, aaa.Profile{}
			if more && current.id == user.ID {
				row.profile = current.p
			}
			if !yield(&row, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}
