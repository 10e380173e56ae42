package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// erasureWatch is for how long after an erasure the old name is looked for: records may
// come late out of the journal of a node that was away, and sessions that were open go on.
// Until then the name is kept, sealed; then it is forgotten.
const erasureWatch = 30 * 24 * time.Hour

// erasureLease is after what time without progress another process goes on with an erasure.
// Two that are at one do the same.
const erasureLease = 15 * time.Second

// storedErasure is an erasure with what only the store knows of it.
type storedErasure struct {
	aaa.Erasure
	name  []byte // nil: it is forgotten
	names []byte // heldNames, in JSON; nil: name is the only one
	actor string
	lease time.Time // somebody is at it until then; zero: nobody is
}

// held returns all names of the person.
func (e *storedErasure) held() (list []heldName, err error) {
	if e.names == nil {
		return []heldName{{Name: string(e.name), Until: e.CreatedAt}}, nil
	}
	err = json.Unmarshal(e.names, &list)
	return list, err
}

func erasureFields(s *Store, e *storedErasure) []field {
	return []field{
		{"id", id{&e.ID}},
		{"user_id", id{&e.UserID}},
		{"name", secret{p: &e.name, owner: &e.ID, column: "erasures.name", sealer: s.sealer}},
		{"names", secret{p: &e.names, owner: &e.ID, column: "erasures.names", sealer: s.sealer}},
		{"pseudonym", text{&e.Pseudonym}},
		{"keep_user", flag{&e.KeepUser}},
		{"state", text{(*string)(&e.State)}},
		{"row_count", whole[int64]{&e.Rows}},
		{"detail", text{&e.Detail}},
		{"actor", text{&e.actor}},
		{"created_at", moment{&e.CreatedAt}},
		{"updated_at", moment{&e.UpdatedAt}},
		{"finished_at", moment{&e.FinishedAt}},
		{"lease_until", moment{&e.lease}},
	}
}

// StartErasure notes that a person is to be erased, bills what is left, and deletes the
// user, as DeleteUser does, or pseudonymises and disables it, with its profile, and pseudonymises what billing has of it, all
// in one transaction: from then on the person is not let in, and RunErasure or RunErasures
// does the rest. Sessions should be disconnected before: one that goes on brings the name
// back until the next maintenance. If an erasure of the user is there already, it is
// returned. It fails with ErrNotFound, and with ErrInUse if what is left to bill cannot be.
func (s *Store) StartErasure(ctx context.Context, userID uuid.UUID, options aaa.EraseOptions) (aaa.Erasure, error) {
	actor := operator.ActorOf(ctx)
	e := storedErasure{actor: actor.Kind.String()}
	if actor.Name != "" {
		e.actor += " " + actor.Name
	}
	e.ID, e.UserID, e.Pseudonym, e.KeepUser, e.State = uuid.Must(uuid.NewV7()), userID, newPseudonym(), options.KeepUser, aaa.ErasureRunning
	e.CreatedAt = s.timestamp()
	e.UpdatedAt = e.CreatedAt
	var known []storedErasure
	err := s.write(ctx, func(tx *writeTx) error {
		var name string
		err := tx.QueryRowContext(ctx, "SELECT username FROM users WHERE id = $1"+tx.forUpdate(), userID.String()).Scan(&name)
		gone := errors.Is(err, sql.ErrNoRows)
		if err != nil && !gone {
			return err
		}
		if known, err = s.erasures(ctx, tx, "WHERE user_id = $1", userID.String()); err != nil || len(known) > 0 {
			return err
		}
		if gone {
			return notFound("user", userID.String())
		}
		held, err := namesHeld(ctx, tx, userID, name)
		if err != nil {
			return err
		}
		held[len(held)-1].Until = e.CreatedAt
		if e.names, err = json.Marshal(held); err != nil {
			return err
		}
		e.name = []byte(name)
		if err := tx.closeAccount(ctx, userID, name, options.CloseOptions); err != nil {
			return err
		}
		if err := insert(ctx, tx.Tx, "erasures", erasureFields(s, &e)); err != nil {
			return err
		}
		if err := eraseBilling(ctx, tx, userID, e.Pseudonym, held); err != nil {
			return err
		}
		return eraseUser(ctx, tx, &e)
	})
	e.Watched = true
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInUse) {
		return aaa.Erasure{}, err
	}
	if err != nil {
		return aaa.Erasure{}, fmt.Errorf("erase user %s: %w", userID, s.explain(err))
	}
	if len(known) > 0 {
		return known[0].Erasure, nil
	}
	return e.Erasure, nil
}

// eraseUser deletes the user's row, or what it says of a person.
func eraseUser(ctx context.Context, tx *writeTx, e *storedErasure) error {
	now := tx.store.timestampAfter(e.CreatedAt)
	statements := []string{"DELETE FROM user_profiles WHERE user_id = $1", "DELETE FROM users WHERE id = $1"}
	if e.KeepUser {
		statements = []string{statements[0], "DELETE FROM attributes WHERE user_id = $1", "DELETE FROM former_usernames WHERE user_id = $1"}
	}
	statements = append(statements, "UPDATE bank_entries SET name = '', iban = '', remittance = '', end_to_end_id = '', reason = '' WHERE user_id = $1")
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement, e.UserID.String()); err != nil {
			return err
		}
	}
	if e.KeepUser {
		_, err := tx.ExecContext(ctx, `UPDATE users SET username = $2, status = 'disabled', suspension = '', credential_scheme = 'none', credential = NULL, updated_at = $3
			WHERE id = $1`, e.UserID.String(), e.Pseudonym, moment{&now})
		if err != nil {
			return err
		}
	}
	return tx.record(ctx, operator.AuditEntry{Action: erasureAction, EntityKind: "user", EntityID: e.UserID, EntityName: e.Pseudonym}, "user.erased")
}

// RunErasure does what is left of an erasure, in small transactions, and may be called
// again and again. progress, which may be nil, is called with how many rows have changed.
// erasers are the other databases. While another process is at the erasure, it waits for
// that to end. A person that is erased already is looked for again. If ctx ends, the erasure
// stays running.
func (s *Store) RunErasure(ctx context.Context, erasureID uuid.UUID, erasers []aaa.PersonEraser, progress func(rows int64)) (aaa.Erasure, error) {
	wait := time.NewTicker(100 * time.Millisecond)
	defer wait.Stop()
	for waited := false; ; waited = true {
		r, taken, err := s.takeErasure(ctx, erasureID)
		if err != nil {
			return aaa.Erasure{}, err
		}
		r.progress = progress
		switch {
		case taken:
			return r.finish(ctx, erasers)
		case r.name == nil, waited && r.State == aaa.ErasureDone: // it is forgotten, or the other one has done it
			return r.Erasure, nil
		case progress != nil:
			progress(r.Rows)
		}
		select {
		case <-ctx.Done():
			return r.Erasure, ctx.Err()
		case <-wait.C:
		}
	}
}

// RunErasures does what is left of the erasures that are running and that no process is
// at. It returns at once if there are none.
func (s *Store) RunErasures(ctx context.Context, erasers []aaa.PersonEraser) error {
	return s.eachErasure(ctx, "state = 'running'", erasers)
}

// resumeErasures goes on with erasures that nobody works on, tries those again that have
// failed, and looks again for the names of those that are done.
func (s *Store) resumeErasures(ctx context.Context, erasers []aaa.PersonEraser) error {
	return s.eachErasure(ctx, "name IS NOT NULL", erasers)
}

// eachErasure runs those erasures that nobody is at.
func (s *Store) eachErasure(ctx context.Context, which string, erasers []aaa.PersonEraser) error {
	now := s.timestamp()
	found, err := s.erasures(ctx, s.reader, "WHERE "+which+" AND (lease_until IS NULL OR lease_until < $1) ORDER BY created_at", moment{&now})
	if err != nil {
		return fmt.Errorf("read erasures: %w", s.explain(err))
	}
	var errs []error
	for i := range found {
		r, taken, err := s.takeErasure(ctx, found[i].ID)
		if err == nil && taken {
			_, err = r.finish(ctx, erasers)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// takeErasure takes the lease of an erasure, if it is free and there is something to do.
func (s *Store) takeErasure(ctx context.Context, erasureID uuid.UUID) (r *erasing, taken bool, err error) {
	r = &erasing{store: s}
	err = s.write(ctx, func(tx *writeTx) error {
		found, err := s.erasures(ctx, tx, "WHERE id = $1"+tx.forUpdate(), erasureID.String())
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return notFound("erasure", erasureID.String())
		}
		r.storedErasure = found[0]
		if taken = r.name != nil && r.lease.Before(s.now()); !taken {
			return nil
		}
		if r.State == aaa.ErasureFailed {
			r.State = aaa.ErasureRunning
		}
		return r.save(ctx, tx)
	})
	if errors.Is(err, ErrNotFound) {
		return nil, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("erasure %s: %w", erasureID, s.explain(err))
	}
	return r, taken, nil
}

// finish runs the erasure, whose lease this process has, and notes what became of it.
func (r *erasing) finish(ctx context.Context, erasers []aaa.PersonEraser) (aaa.Erasure, error) {
	s := r.store
	err := r.run(ctx, erasers)
	switch {
	case err == nil:
		r.State, r.Detail = aaa.ErasureDone, ""
		if r.FinishedAt.IsZero() {
			r.FinishedAt = s.timestamp()
		}
		if s.now().Sub(r.CreatedAt) > erasureWatch {
			r.name, r.names, r.Watched = nil, nil, false
		}
	case ctx.Err() == nil:
		r.State, r.Detail = aaa.ErasureFailed, oneLine(s.explain(err).Error())
	}
	r.ended = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	saved := s.write(ctx, func(tx *writeTx) error { return r.save(ctx, tx) })
	if err = errors.Join(err, saved); err != nil {
		return r.Erasure, fmt.Errorf("erase %s: %w", r.Pseudonym, s.explain(err))
	}
	return r.Erasure, nil
}

// saveTime bounds how long what became of an erasure may take to be noted while the
// process ends.
const saveTime = 2 * time.Second

// ErasePerson is StartErasure and RunErasure.
func (s *Store) ErasePerson(ctx context.Context, userID uuid.UUID, options aaa.EraseOptions, erasers []aaa.PersonEraser, progress func(rows int64)) (aaa.Erasure, error) {
	e, err := s.StartErasure(ctx, userID, options)
	if err != nil {
		return e, err
	}
	return s.RunErasure(ctx, e.ID, erasers, progress)
}

// ErasureByID returns an erasure. It fails with ErrNotFound.
func (s *Store) ErasureByID(ctx context.Context, erasureID uuid.UUID) (aaa.Erasure, error) {
	found, err := s.erasures(ctx, s.reader, "WHERE id = $1", erasureID.String())
	if err != nil {
		return aaa.Erasure{}, fmt.Errorf("read erasure %s: %w", erasureID, s.explain(err))
	}
	if len(found) == 0 {
		return aaa.Erasure{}, notFound("erasure", erasureID.String())
	}
	return found[0].Erasure, nil
}

// ErasureByPseudonym returns the erasure of whom a pseudonym stands for. It fails with
// ErrNotFound.
func (s *Store) ErasureByPseudonym(ctx context.Context, pseudonym string) (aaa.Erasure, error) {
	found, err := s.erasures(ctx, s.reader, "WHERE pseudonym = $1", pseudonym)
	if err != nil {
		return aaa.Erasure{}, fmt.Errorf("read erasure: %w", s.explain(err))
	}
	if len(found) == 0 {
		return aaa.Erasure{}, notFound("erasure", pseudonym)
	}
	return found[0].Erasure, nil
}

func (s *Store) erasures(ctx context.Context, q querier, rest string, args ...any) (list []storedErasure, err error) {
	var e storedErasure
	fields := erasureFields(s, &e)
	err = eachRow(ctx, q, "SELECT "+names(fields)+" FROM erasures "+rest, args, targets(fields), func() error {
		e.Watched = e.name != nil
		list = append(list, e)
		return nil
	})
	return list, err
}

var erasureLists = lister[aaa.Erasure]{
	name: "erasures", sorts: []string{"-created_at"},
	keys: map[string]sortKey[aaa.Erasure]{
		"created_at": idKey("id", func(e *aaa.Erasure) uuid.UUID { return e.ID }),
	},
}

// ListErasuresPage returns a page of erasures, the latest first, and the cursor of the next
// page; empty: there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListErasuresPage(ctx context.Context, filter aaa.ErasureFilter, page aaa.Page) (list []aaa.Erasure, next string, err error) {
	p, err := erasureLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("erasures", err)
	}
	var c conditions
	if filter.UserID != uuid.Nil {
		c.add("user_id = $%d", filter.UserID.String())
	}
	if filter.State != "" {
		c.add("state = $%d", string(filter.State))
	}
	rest, args := p.rest(c)
	found, err := s.erasures(ctx, s.reader, rest, args...)
	if err != nil {
		return nil, "", s.listFailed("erasures", err)
	}
	for i := range found {
		list = append(list, found[i].Erasure)
	}
	list, next = p.page(list)
	return list, next, nil
}

// erasing is an erasure under way.
type erasing struct {
	storedErasure
	store    *Store
	progress func(rows int64)
	of       recordName // what is being looked for
	ended    bool       // this process is at it no more
}

func (r *erasing) run(ctx context.Context, erasers []aaa.PersonEraser) error {
	names, err := r.held()
	if err != nil {
		return fmt.Errorf("names: %w", err)
	}
	var errs []error
	for i, held := range names {
		if r.of, err = recordsOf(ctx, r.store.reader, r.UserID, held); err != nil {
			return err
		}
		if i == len(names)-1 && r.of.othersFrom.IsZero() {
			r.of.Before = r.store.now().Add(nameSlack) // it is nobody's yet
		}
		err := r.steps(ctx, []erasureStep{
			{"sessions", r.sessions}, {"login decisions", r.decisions}, {"usage", r.usage}, {"actions", r.actions},
			{"audit log", r.auditLog}, {"events", r.events},
		})
		if err != nil {
			return err
		}
		for _, eraser := range erasers {
			errs = append(errs, eraser.ErasePerson(ctx, r.of.UserName, r.Pseudonym))
		}
	}
	errs = append(errs, r.steps(ctx, []erasureStep{{"late records", r.lateRecords}}))
	return errors.Join(errs...)
}

// erasureStep is a part of an erasure.
type erasureStep struct {
	what string
	do   func(context.Context) error
}

func (r *erasing) steps(ctx context.Context, steps []erasureStep) error {
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// step runs fn in transactions until it has nothing left to do, and notes how many rows
// it has changed with each.
func (r *erasing) step(ctx context.Context, fn func(tx *writeTx) (rows int64, more bool, err error)) error {
	for {
		before, more := r.Rows, false
		err := r.store.write(ctx, func(tx *writeTx) error {
			rows, again, err := fn(tx)
			if err != nil {
				return err
			}
			r.Rows, more = before+rows, again
			return r.save(ctx, tx)
		})
		if err != nil {
			r.Rows = before
			return err
		}
		if r.progress != nil {
			r.progress(r.Rows)
		}
		if !more {
			return nil
		}
	}
}

func (r *erasing) save(ctx context.Context, tx *writeTx) error {
	r.UpdatedAt = r.store.timestampAfter(r.UpdatedAt)
	r.lease = time.Time{}
	if !r.ended {
		r.lease = r.UpdatedAt.Add(erasureLease)
	}
	return update(ctx, tx.Tx, "erasures", erasureFields(r.store, &r.storedErasure))
}
