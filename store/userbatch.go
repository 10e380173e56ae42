package store

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// madeBatch is a batch with the users that are made with it.
type madeBatch struct {
	aaa.UserBatch
	options aaa.BatchOptions
	closing aaa.CloseOptions // of one that is removed
	users   []aaa.MadeUser
}

var userBatches = entity[madeBatch]{
	table: "user_batches", kind: "batch",
	fields: func(_ *Store, b *madeBatch) []field { return userBatchFields(&b.UserBatch) },
	valid:  func(b *madeBatch) error { return b.Validate(b.options) },
	head:   func(b *madeBatch) head { return head{&b.ID, b.Name, &b.CreatedAt, &b.UpdatedAt} },
	save:   saveBatch,
	refers: func(ctx context.Context, q querier, b *madeBatch) error {
		u := aaa.User{PlanID: b.PlanID, Groups: b.memberships()}
		return users.refers(ctx, q, &u)
	},
	users:    "SELECT count(*) FROM users WHERE batch_id = $1 AND EXISTS (SELECT 1 FROM sessions WHERE sessions.username = users.username)",
	inUse:    "%d of its users have used the network",
	removing: func(ctx context.Context, tx *writeTx, b *madeBatch) error { return tx.closeBatch(ctx, b.ID, b.closing) },
}

func userBatchFields(b *aaa.UserBatch) []field {
	return []field{
		{"id", id{&b.ID}},
		{"name", text{&b.Name}},
		{"prefix", text{&b.Prefix}},
		{"count", whole[int]{&b.Count}},
		{"plan_id", nullID{&b.PlanID}},
		{"group_ids", idList{&b.GroupIDs}},
		{"expires_at", moment{&b.ExpiresAt}},
		{"created_by", text{&b.CreatedBy}},
		{"created_at", moment{&b.CreatedAt}},
		{"updated_at", moment{&b.UpdatedAt}},
	}
}

// idList is a list of ids, separated by commas.
type idList struct{ p *[]uuid.UUID }

func (c idList) Value() (driver.Value, error) { return strings.Join(texts(*c.p), ","), nil }
func (c idList) appendBinary(b []byte) []byte { return appendText(b, strings.Join(texts(*c.p), ",")) }
func (c idList) Scan(src any) error {
	*c.p = nil
	list, ok := src.(string)
	if !ok {
		return mismatch(src, "text")
	}
	for text := range strings.SplitSeq(list, ",") {
		if text == "" {
			continue
		}
		one, err := uuid.Parse(text)
		if err != nil {
			return err
		}
		*c.p = append(*c.p, one)
	}
	return nil
}

func (b *madeBatch) memberships() (list []aaa.Membership) {
	for i, groupID := range b.GroupIDs {
		list = append(list, aaa.Membership{GroupID: groupID, Priority: i})
	}
	return list
}

// saveBatch makes the users. If one of the names is taken, all are made up anew.
func saveBatch(ctx context.Context, tx *writeTx, b *madeBatch) (err error) {
	if b.users, err = b.MakeUsers(rand.Reader, b.options); err != nil {
		return err
	}
	groups := b.memberships()
	var u aaa.User
	fill := func(i int) {
		made := b.users[i]
		u = aaa.User{ID: made.ID, Name: made.Name, PlanID: b.PlanID, ExpiresAt: b.ExpiresAt, CreatedAt: b.CreatedAt, UpdatedAt: b.UpdatedAt,
			Credential: aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(made.Password)}}
	}
	fields := append(usersFields(tx.store, &u), field{"batch_id", id{&b.ID}})
	if err := insertRows(ctx, tx, "users", filled(fields, len(b.users), fill)); err != nil {
		return retryOnUnique(err)
	}
	if len(groups) == 0 {
		return nil
	}
	var userID uuid.UUID
	var m aaa.Membership
	return insertRows(ctx, tx, "user_groups", filled(membershipFields(&userID, &m), len(b.users)*len(groups), func(i int) {
		userID, m = b.users[i/len(groups)].ID, groups[i%len(groups)]
	}))
}

// CreateUserBatch makes the batch's users, with names and passwords that cannot be
// guessed, in one transaction. It sets the batch's times, and its ID if that is zero.
// The passwords are kept sealed, and returned here only. It fails with ErrExists if the
// batch's name is taken.
func (s *Store) CreateUserBatch(ctx context.Context, batch *aaa.UserBatch, options aaa.BatchOptions) ([]aaa.MadeUser, error) {
	b := madeBatch{UserBatch: *batch, options: options}
	if err := userBatches.create(ctx, s, &b); err != nil {
		return nil, err
	}
	*batch = b.UserBatch
	return b.users, nil
}

// UserBatchByID returns a batch.
func (s *Store) UserBatchByID(ctx context.Context, batchID uuid.UUID) (*aaa.UserBatch, error) {
	b, err := userBatches.get(ctx, s, "id", batchID.String())
	if err != nil {
		return nil, err
	}
	return &b.UserBatch, nil
}

// RemoveUserBatch removes a batch with all its users, each as RemoveUser does. It fails with
// ErrInUse if one of them was ever seen in a session, and as check does, which sees the batch
// in the same transaction; nil: nothing is checked.
func (s *Store) RemoveUserBatch(ctx context.Context, batchID uuid.UUID, options aaa.CloseOptions, check func(*aaa.UserBatch) error) error {
	return userBatches.remove(ctx, s, "id", batchID.String(), func(b *madeBatch) error {
		b.closing = options
		if check == nil {
			return nil
		}
		return check(&b.UserBatch)
	})
}

var userBatchLists = lister[aaa.UserBatch]{
	name: "batches", sorts: aaa.BatchSorts(),
	keys: map[string]sortKey[aaa.UserBatch]{
		"name":       uniqueKey(textKey("name", func(b *aaa.UserBatch) string { return b.Name })),
		"created_at": timeKey("created_at", func(b *aaa.UserBatch) time.Time { return b.CreatedAt }),
	},
	id: idKey("id", func(b *aaa.UserBatch) uuid.UUID { return b.ID }),
}

// ListUserBatchesPage returns a page of batches, and the cursor of the next page; empty:
// there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListUserBatchesPage(ctx context.Context, filter aaa.BatchFilter, page aaa.Page) (list []aaa.UserBatch, next string, err error) {
	p, err := userBatchLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("batches", err)
	}
	rest, args := p.rest(nameConditions(filter.Query))
	var b aaa.UserBatch
	fields := userBatchFields(&b)
	err = s.eachListed(ctx, "SELECT "+names(fields)+" FROM user_batches"+rest, args, targets(fields), func() error {
		list = append(list, b)
		return nil
	})
	if err != nil {
		return nil, "", s.listFailed("batches", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// CountUserBatches counts the batches that the filter selects.
func (s *Store) CountUserBatches(ctx context.Context, filter aaa.BatchFilter) (aaa.Count, error) {
	return s.count(ctx, "batches", "user_batches", nameConditions(filter.Query))
}
