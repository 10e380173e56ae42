package store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// filterID is the attribute that plans have a setting for, and walled gardens are made of.
const filterID = "Filter-Id"

// attributesOf returns the names of what items reply, each once.
func attributesOf(items []aaa.Item) []string {
	list := []string{}
	for _, item := range items {
		if item.Kind == aaa.ReplyItem && !strings.EqualFold(item.Attribute, "Fall-Through") && !slices.Contains(list, item.Attribute) {
			list = append(list, item.Attribute)
		}
	}
	return list
}

// changeBack returns what a CoA-Request is to say to sessions of a user who has left a
// group, that they may have what they had without it: for each attribute that was changed,
// what the user, a group or the plan replies. It returns nothing, so that sessions are
// ended, if that cannot be said: an attribute would have to be taken away, several reply it
// or under conditions, the plan makes it by a template, or the group replies more by now.
func (tx *writeTx) changeBack(ctx context.Context, user *aaa.User, left uuid.UUID, changed []string) (items []aaa.Item, err error) {
	group, err := groups.find(ctx, tx.store, tx.Tx, "id", left.String(), "", nil)
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	for _, attribute := range attributesOf(group.Items) {
		if !slices.Contains(changed, attribute) {
			return nil, nil
		}
	}
	sources := [][]aaa.Item{user.Items}
	for _, m := range user.Groups {
		if group, err = groups.find(ctx, tx.store, tx.Tx, "id", m.GroupID.String(), "", nil); err != nil {
			return nil, err
		}
		sources = append(sources, group.Items)
	}
	filter := ""
	if user.PlanID != uuid.Nil {
		plan, err := plans.find(ctx, tx.store, tx.Tx, "id", user.PlanID.String(), "", nil)
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		filter = plan.FilterID
		sources = append(sources, plan.Items)
	}
	for _, attribute := range changed {
		var found []aaa.Item
		for _, source := range sources {
			conditional := slices.ContainsFunc(source, func(item aaa.Item) bool { return item.Kind != aaa.ReplyItem })
			for _, item := range source {
				if item.Kind != aaa.ReplyItem || !strings.EqualFold(item.Attribute, attribute) {
					continue
				}
				if conditional {
					return nil, nil
				}
				found = append(found, item)
			}
		}
		if len(found) == 0 && filter != "" && strings.EqualFold(attribute, filterID) {
			found = []aaa.Item{{Kind: aaa.ReplyItem, Attribute: filterID, Op: ":=", Value: filter}}
		}
		if len(found) != 1 || found[0].Op != ":=" && found[0].Op != "=" {
			return nil, nil
		}
		items = append(items, found[0])
	}
	return items, nil
}
