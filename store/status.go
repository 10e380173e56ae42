package store

import (
	"context"
	"database/sql"
	"fmt"

	"radiusd/aaa"
)

// Status tells how much the store holds and which nodes write to it. It counts rows, so
// it is for people rather than for probes.
func (s *Store) Status(ctx context.Context) (aaa.StoreStatus, error) {
	status := aaa.StoreStatus{Engine: s.Engine()}
	var err error
	if status.SchemaVersion, err = s.schemaVersion(ctx); err != nil {
		return status, fmt.Errorf("read status: %w", s.explain(err))
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		for _, count := range []struct {
			of string
			n  *int
		}{
			{"sessions WHERE stopped_at IS NULL", &status.Online}, {"users", &status.Users},
			{"plans", &status.Plans}, {"nas", &status.NASes},
		} {
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+count.of).Scan(count.n); err != nil {
				return err
			}
		}
		var node aaa.NodeStatus
		return eachRow(ctx, tx, "SELECT node_id, max(updated_at) FROM ingest_cursors WHERE sink = $1 GROUP BY node_id ORDER BY node_id", []any{SinkName},
			[]any{text{&node.ID}, moment{&node.LastSeenAt}}, func() error {
				status.Nodes = append(status.Nodes, node)
				return nil
			})
	})
	if err != nil {
		return status, fmt.Errorf("read status: %w", s.explain(err))
	}
	return status, nil
}
