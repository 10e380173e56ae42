package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"radiusd/aaa"
)

var groups = entity[aaa.Group]{
	table: "groups", kind: "group",
	users: "SELECT count(*) FROM user_groups WHERE group_id = $1", inUse: "it has %d members",
	fields: func(_ *Store, g *aaa.Group) []field {
		return []field{
			{"id", id{&g.ID}},
			{"name", text{&g.Name}},
			{"created_at", moment{&g.CreatedAt}},
			{"updated_at", moment{&g.UpdatedAt}},
		}
	},
	valid: func(g *aaa.Group) error { return g.Validate(nil) },
	head:  func(g *aaa.Group) head { return head{&g.ID, g.Name, &g.CreatedAt, &g.UpdatedAt} },
	load: func(ctx context.Context, q querier, g *aaa.Group) (err error) {
		g.Items, err = readItems(ctx, q, "group_id", g.ID)
		return err
	},
	save: func(ctx context.Context, tx *writeTx, g *aaa.Group) error {
		return writeItems(ctx, tx, "group_id", g.ID, g.Items)
	},
	lists: func(g *aaa.Group) ([]fact, error) {
		items, err := itemFact(g.Items)
		return []fact{items}, err
	},
	removing: func(ctx context.Context, tx *writeTx, g *aaa.Group) error {
		settings, _, err := dunningSetting.read(ctx, tx)
		if err == nil && settings.RestrictGroup == g.ID {
			err = fmt.Errorf("group %q: %w: restrict_group of the settings of dunning names it", g.Name, ErrInUse)
		}
		return err
	},
}

// CreateGroup adds a group and sets its times, and its ID if that is zero. It
// fails with ErrExists if the name is taken.
func (s *Store) CreateGroup(ctx context.Context, group *aaa.Group) error {
	return groups.create(ctx, s, group)
}

// UpdateGroup lets fn change the group and writes it whole. fn may be called
// more than once. It may change the name, but not the ID.
func (s *Store) UpdateGroup(ctx context.Context, name string, fn func(*aaa.Group) error) error {
	return groups.change(ctx, s, "name", name, fn)
}

// ChangeGroup is UpdateGroup of the group of that id. An error of fn leaves it as it
// was.
func (s *Store) ChangeGroup(ctx context.Context, groupID uuid.UUID, fn func(*aaa.Group) error) error {
	return groups.change(ctx, s, "id", groupID.String(), fn)
}

// RemoveGroup is DeleteGroup of the group of that id. An error of check, which sees it
// in the same transaction, leaves it; nil checks nothing.
func (s *Store) RemoveGroup(ctx context.Context, groupID uuid.UUID, check func(*aaa.Group) error) error {
	return groups.remove(ctx, s, "id", groupID.String(), check)
}

// DeleteGroup fails with ErrInUse while the group has members, or the settings of dunning
// name it.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return groups.remove(ctx, s, "name", name, nil)
}

// GroupByName returns a group with its items.
func (s *Store) GroupByName(ctx context.Context, name string) (*aaa.Group, error) {
	return groups.get(ctx, s, "name", name)
}

// GroupByID returns a group with its items.
func (s *Store) GroupByID(ctx context.Context, groupID uuid.UUID) (*aaa.Group, error) {
	return groups.get(ctx, s, "id", groupID.String())
}

// Groups returns all groups by name.
func (s *Store) Groups(ctx context.Context) (list []aaa.Group, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		if list, err = groups.list(ctx, s, tx, "ORDER BY name", nil, nil); err != nil {
			return err
		}
		byID := make(map[uuid.UUID]*aaa.Group, len(list))
		for i := range list {
			byID[list[i].ID] = &list[i]
		}
		return eachItem(ctx, tx, "group_id", "group_id IS NOT NULL", nil, func(owner uuid.UUID, item aaa.Item) {
			if group := byID[owner]; group != nil {
				group.Items = append(group.Items, item)
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", s.explain(err))
	}
	return list, nil
}
