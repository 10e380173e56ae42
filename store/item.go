package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
)

func itemFields(item *aaa.Item) []field {
	return []field{
		{"kind", word[aaa.ItemKind]{&item.Kind, aaa.ParseItemKind}},
		{"attribute", text{&item.Attribute}},
		{"op", text{&item.Op}},
		{"value", text{&item.Value}},
	}
}

// eachItem calls fn for the items of owners, in order. owner is the column of
// attributes that holds the owner's id.
func eachItem(ctx context.Context, q querier, owner, where string, args []any, fn func(uuid.UUID, aaa.Item)) error {
	var ownerID uuid.UUID
	var item aaa.Item
	fields := append([]field{{owner, id{&ownerID}}}, itemFields(&item)...)
	return eachRow(ctx, q, "SELECT "+names(fields)+" FROM attributes WHERE "+where+" ORDER BY "+owner+", id",
		args, targets(fields), func() error {
			fn(ownerID, item)
			return nil
		})
}

func readItems(ctx context.Context, q querier, owner string, ownerID uuid.UUID) ([]aaa.Item, error) {
	var items []aaa.Item
	err := eachItem(ctx, q, owner, owner+" = $1", []any{ownerID.String()}, func(_ uuid.UUID, item aaa.Item) {
		items = append(items, item)
	})
	return items, err
}

// writeItems makes the owner's items the given ones.
func writeItems(ctx context.Context, tx *writeTx, owner string, ownerID uuid.UUID, items []aaa.Item) error {
	present, err := readItems(ctx, tx, owner, ownerID)
	if err != nil || slices.Equal(present, items) {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM attributes WHERE "+owner+" = $1", ownerID.String()); err != nil {
		return err
	}
	for i := range items {
		if err := insert(ctx, tx.Tx, "attributes", append([]field{{owner, id{&ownerID}}}, itemFields(&items[i])...)); err != nil {
			return err
		}
	}
	return nil
}
