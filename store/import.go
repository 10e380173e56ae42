package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// The types of an import are aaa's.
type (
	ImportRow     = aaa.ImportRow
	ImportOptions = aaa.ImportOptions
	ImportResult  = aaa.ImportResult
	LineError     = aaa.LineError
)

// errDryRun rolls a dry run back.
var errDryRun = errors.New("dry run")

// importBatch is how many rows are written at once.
const importBatch = 5000

// ImportUsers adds and changes users, all of them or none. rows may yield errors
// (a LineError, if the row could not be read) in place of rows. What is wrong
// with the rows comes back as joined LineErrors, up to a number; any other error
// ends the import at once. It holds one name of each row in memory.
func (s *Store) ImportUsers(ctx context.Context, rows iter.Seq2[ImportRow, error], options ImportOptions) (ImportResult, error) {
	if options.MaxErrors <= 0 {
		options.MaxErrors = 100
	}
	var result ImportResult
	// Not write: rows can be read once only, so there is no second attempt.
	err := s.writeOnce(ctx, 1, func(tx *writeTx) error {
		job := importJob{s: s, tx: tx, options: options, seen: map[string]int{}}
		if err := job.run(ctx, rows); err != nil {
			return err
		}
		if err := job.record(ctx); err != nil {
			return err
		}
		result = job.result
		if options.DryRun {
			return errDryRun
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return ImportResult{}, fmt.Errorf("import users: %w", s.explain(err))
	}
	return result, nil
}

// importJob is one import that runs.
type importJob struct {
	s       *Store
	tx      *writeTx
	options ImportOptions
	plans   map[string]uuid.UUID
	groups  map[string]uuid.UUID
	seen    map[string]int // name to line
	batch   []ImportRow
	done    int
	result  ImportResult
	wrong   []error  // LineErrors
	first   []string // names, for the audit log
}

// errTooManyErrors ends an import early.
var errTooManyErrors = errors.New("there are more errors than are shown")

func (j *importJob) run(ctx context.Context, rows iter.Seq2[ImportRow, error]) (err error) {
	if j.plans, err = j.byName(ctx, "plans"); err != nil {
		return err
	}
	if j.groups, err = j.byName(ctx, "groups"); err != nil {
		return err
	}
	j.batch = make([]ImportRow, 0, importBatch)
	for row, err := range rows {
		if line := (*LineError)(nil); errors.As(err, &line) {
			if err := j.reject(line.Line, line.Err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := j.admit(row); err != nil {
			return err
		}
		if len(j.batch) == importBatch {
			if err := j.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := j.flush(ctx); err != nil {
		return err
	}
	return errors.Join(j.wrong...)
}

// reject notes what is wrong with a line. It returns an error when it is enough.
func (j *importJob) reject(line int, err error) error {
	j.wrong = append(j.wrong, &LineError{Line: line, Err: err})
	if len(j.wrong) >= j.options.MaxErrors {
		return errors.Join(append(j.wrong, errTooManyErrors)...)
	}
	return nil
}

// admit checks what can be told from the row alone and queues it.
func (j *importJob) admit(row ImportRow) error {
	if err := checkImported(&row); err != nil {
		return j.reject(row.Line, err)
	}
	if earlier, twice := j.seen[row.Username]; twice {
		return j.reject(row.Line, &aaa.FieldError{Field: "username", Message: fmt.Sprintf("user %q is on line %d already", row.Username, earlier)})
	}
	j.seen[row.Username] = row.Line
	j.batch = append(j.batch, row)
	return nil
}

// checkImported reports what is wrong with the row's own values. Whoever made its
// credential has checked that.
func checkImported(row *ImportRow) error {
	user, profile := aaa.User{Name: row.Username}, aaa.Profile{}
	if row.ExpiresAt != nil {
		user.ExpiresAt = *row.ExpiresAt
	}
	given := [...]*string{row.FullName, row.Email, row.Phone, row.Address, row.Note}
	for i, field := range profile.Fields() {
		if given[i] != nil {
			*field.Value = *given[i]
		}
	}
	return errors.Join(user.Validate(nil), profile.Validate(&aaa.Profile{}))
}

// flush writes the queued rows.
func (j *importJob) flush(ctx context.Context) error {
	existing, err := j.existing(ctx)
	if err != nil {
		return err
	}
	var users, profiles [][]field
	var regrouped []string
	var memberships []aaa.Membership
	var owners []uuid.UUID // of the memberships
	for i := range j.batch {
		row := &j.batch[i]
		user, exists := existing[row.Username]
		if exists && j.options.Skip {
			j.result.Skipped++
			continue
		}
		if exists && !j.options.Update {
			if err := j.reject(row.Line, &aaa.FieldError{Field: "username", Message: fmt.Sprintf("user %q: %v", row.Username, ErrExists)}); err != nil {
				return err
			}
			continue
		}
		if !exists {
			user = &aaa.User{Name: row.Username, CreatedAt: j.s.timestamp()}
			if user.ID, err = uuid.NewV7(); err != nil {
				return err
			}
		}
		before := *user
		groups, err := j.apply(row, user)
		if err != nil {
			if err := j.reject(row.Line, err); err != nil {
				return err
			}
			continue
		}
		if len(j.first) < importNames {
			j.first = append(j.first, user.Name)
		}
		if exists {
			if err := j.tx.awaitCredit(ctx, &before, user); err != nil {
				return err
			}
			j.result.Updated++
		} else {
			j.result.Created++
		}
		users = append(users, usersFields(j.s, user))
		if fields := importedProfile(row, user); len(fields) > 0 {
			profiles = append(profiles, fields)
		}
		if row.Groups != nil {
			if exists {
				regrouped = append(regrouped, user.ID.String())
			}
			memberships = append(memberships, groups...)
			owners = append(owners, slices.Repeat([]uuid.UUID{user.ID}, len(groups))...)
		}
	}
	j.done += len(j.batch)
	j.batch = j.batch[:0]
	if len(j.wrong) == 0 { // else nothing will be kept, and the rest is only checked
		if err := upsert(ctx, j.tx, "users", "id", listed(users...)); err != nil {
			return err
		}
		if err := j.writeProfiles(ctx, profiles); err != nil {
			return err
		}
		if err := j.writeGroups(ctx, regrouped, memberships, owners); err != nil {
			return err
		}
	}
	if j.options.Progress != nil {
		j.options.Progress(j.done)
	}
	return nil
}

// writeGroups makes the groups of users the given ones. Who is in a group because of
// dunning stays in it as they are: files do not know of that.
func (j *importJob) writeGroups(ctx context.Context, regrouped []string, memberships []aaa.Membership, owners []uuid.UUID) error {
	kept := map[restriction]bool{}
	err := eachChunk(j.tx, "user_id", "uuid", regrouped, func(which string, args []any) error {
		found, err := restrictions(ctx, j.tx, which+" AND EXISTS (SELECT 1 FROM user_groups g WHERE g.user_id = dunning_restrictions.user_id AND g.group_id = dunning_restrictions.group_id)", args)
		maps.Copy(kept, found)
		if err == nil {
			_, err = j.tx.ExecContext(ctx, "DELETE FROM user_groups WHERE "+which+
				" AND NOT EXISTS (SELECT 1 FROM dunning_restrictions r WHERE r.user_id = user_groups.user_id AND r.group_id = user_groups.group_id)", args...)
		}
		return err
	})
	if err != nil {
		return err
	}
	var rows [][]field
	for n := range memberships {
		if !kept[restriction{owners[n], memberships[n].GroupID}] {
			rows = append(rows, membershipFields(&owners[n], &memberships[n]))
		}
	}
	return insertRows(ctx, j.tx, "user_groups", listed(rows...))
}

// importNames is how many users the audit log names of an import.
const importNames = 10

// record writes one entry for all users of the import.
func (j *importJob) record(ctx context.Context) error {
	if j.result.Created+j.result.Updated == 0 {
		return nil
	}
	changes, err := json.Marshal(map[string]any{"created": j.result.Created, "updated": j.result.Updated, "first": j.first})
	if err != nil {
		return err
	}
	return j.tx.record(ctx, operator.AuditEntry{Action: "users.import", EntityKind: "user", Changes: changes}, "user.imported")
}

// apply changes the user as the row says and returns the row's groups.
func (j *importJob) apply(row *ImportRow, user *aaa.User) (groups []aaa.Membership, err error) {
	if row.Credential != nil {
		user.Credential = *row.Credential
	}
	if row.Plan != nil {
		planID, ok := j.plans[*row.Plan]
		if !ok && *row.Plan != "" {
			return nil, &aaa.FieldError{Field: "plan", Message: notFound("plan", *row.Plan).Error()}
		}
		user.PlanID = planID
	}
	// Files do not know what billing has done since: their "active" lifts nothing of it.
	if row.Status != nil && (*row.Status != aaa.UserActive || !user.SuspendedByBilling()) {
		user.Status = *row.Status
	}
	if user.Status != aaa.UserSuspended {
		user.Suspension = aaa.SuspendedByHand
	}
	if row.ExpiresAt != nil {
		user.ExpiresAt = *row.ExpiresAt
	}
	if row.SimultaneousUse != nil {
		user.SimultaneousUse = *row.SimultaneousUse
	}
	user.UpdatedAt = j.s.timestampAfter(user.UpdatedAt)
	var profile aaa.Profile
	for i, f := range profile.Fields() {
		if value := [...]*string{row.FullName, row.Email, row.Phone, row.Address, row.Note}[i]; value != nil {
			*f.Value = *value
		}
	}
	if err := errors.Join(user.Validate(nil), profile.Validate(&aaa.Profile{})); err != nil {
		return nil, err
	}
	if row.Groups == nil {
		return nil, nil
	}
	for i, name := range *row.Groups {
		groupID, ok := j.groups[name]
		if !ok {
			return nil, &aaa.FieldError{Field: "groups", Message: notFound("group", name).Error()}
		}
		if slices.ContainsFunc(groups, func(m aaa.Membership) bool { return m.GroupID == groupID }) {
			return nil, &aaa.FieldError{Field: "groups", Message: fmt.Sprintf("group %q is named twice", name)}
		}
		groups = append(groups, aaa.Membership{GroupID: groupID, Priority: i})
	}
	return groups, nil
}

// importedProfile returns the key and those columns of user_profiles that the row
// gives; nothing if it gives none.
func importedProfile(row *ImportRow, user *aaa.User) []field {
	fields := []field{{"user_id", id{&user.ID}}, {"updated_at", moment{&user.UpdatedAt}}}
	for _, f := range []struct {
		name  string
		value *string
	}{
		{"full_name", row.FullName}, {"email", row.Email}, {"phone", row.Phone}, {"address", row.Address}, {"note", row.Note},
	} {
		if f.value != nil {
			fields = append(fields, field{f.name, text{f.value}})
		}
	}
	if len(fields) == 2 {
		return nil
	}
	return fields
}

// writeProfiles writes profiles, those with the same columns together.
func (j *importJob) writeProfiles(ctx context.Context, profiles [][]field) error {
	byColumns := map[string][][]field{}
	for _, fields := range profiles {
		columns := names(fields)
		byColumns[columns] = append(byColumns[columns], fields)
	}
	for _, rows := range byColumns {
		if err := upsert(ctx, j.tx, "user_profiles", "user_id", listed(rows...)); err != nil {
			return err
		}
	}
	return nil
}

// existing reads and locks those of the queued users that exist.
func (j *importJob) existing(ctx context.Context) (map[string]*aaa.User, error) {
	found := map[string]*aaa.User{}
	for chunk := range slices.Chunk(j.batch, inListSize) {
		args := make([]any, len(chunk))
		for i := range chunk {
			args[i] = chunk[i].Username
		}
		list, err := users.list(ctx, j.s, j.tx, "WHERE username IN ("+placeholders(1, len(args))+") ORDER BY id"+j.tx.forUpdate(), args, nil)
		if err != nil {
			return nil, err
		}
		for i := range list {
			found[list[i].Name] = &list[i]
		}
	}
	return found, nil
}

func (j *importJob) byName(ctx context.Context, table string) (map[string]uuid.UUID, error) {
	byName := map[string]uuid.UUID{}
	var name string
	var rowID uuid.UUID
	err := eachRow(ctx, j.tx, "SELECT name, id FROM "+table, nil, []any{&name, id{&rowID}}, func() error {
		byName[name] = rowID
		return nil
	})
	return byName, err
}
