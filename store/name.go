package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// PlanNames returns the names of those of the plans that exist.
func (s *Store) PlanNames(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	return s.namesOf(ctx, "plans", ids)
}

// GroupNames returns the names of those of the groups that exist.
func (s *Store) GroupNames(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	return s.namesOf(ctx, "groups", ids)
}

// namesOf reads the column name of the rows with the ids.
func (s *Store) namesOf(ctx context.Context, table string, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	found := make(map[uuid.UUID]string, len(ids))
	var rowID uuid.UUID
	var name string
	for chunk := range slices.Chunk(ids, inListSize) {
		which, args := s.isOneOf(chunk)
		err := eachRow(ctx, s.reader, "SELECT id, name FROM "+table+" WHERE id "+which, args, []any{id{&rowID}, text{&name}}, func() error {
			found[rowID] = name
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read names of %s: %w", table, s.explain(err))
		}
	}
	return found, nil
}
