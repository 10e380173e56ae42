package store

import (
	"context"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// On Postgres several nodes write. Which sessions a batch changes shows only while
// it is worked out: a boot ends all those of a NAS, a Start ends another session
// of its device, and under which id a session stands depends on what is there. So
// rows cannot be locked in one order, and two that insert at once would not see
// each other. But all these sessions are of the NASes that the batch has records
// of. So a transaction that changes sessions takes its turn for each NAS, in one
// order; those of other NASes go on beside it.
//
// Rows that transactions of different NASes share are usage_daily's: they are
// written last and in the order of their key.

// The classes of advisory locks: one for each NAS, and one for groups of NASes,
// which those who want many take instead. Who takes a NAS has its group in common
// with others.
const (
	turnsOfNAS   = 0x72646e61 // "rdna"
	turnsOfGroup = 0x72646e67 // "rdng"
	turnGroups   = 32
	// turnsAtOnce bounds the locks of a transaction: the server has room for some
	// thousands in all.
	turnsAtOnce = 500
)

// turnSettings are for the transaction: a node that falls silent in its turn loses
// it; and batches are joined to big tables by their indexes, whatever the planner
// has heard of their sizes, and without being compiled for what it then thinks it
// costs.
const turnSettings = `SELECT set_config('idle_in_transaction_session_timeout', '30s', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true),
	set_config('jit', 'off', true),`

// takeTurns waits until no other transaction that changes sessions of these NASes
// runs.
func (tx *writeTx) takeTurns(ctx context.Context, nases []netip.Addr) error {
	if !tx.postgres || len(nases) == 0 {
		return nil // SQLite has one writer
	}
	keys := make([]int32, 0, len(nases))
	groups := make([]int32, 0, turnGroups)
	for _, nas := range nases {
		h := fnv.New32a()
		octets := nas.Unmap().WithZone("").As16()
		h.Write(octets[:])
		sum := h.Sum32()
		keys = append(keys, int32(sum))
		groups = append(groups, int32(sum%turnGroups))
	}
	keys, groups = sorted(keys), sorted(groups)
	query := turnSettings + `
		(SELECT count(pg_advisory_xact_lock_shared($1, g)) FROM unnest($2::int[]) AS g),
		(SELECT count(pg_advisory_xact_lock($3, k)) FROM unnest($4::int[]) AS k)`
	args := []any{int32(turnsOfGroup), groups, int32(turnsOfNAS), keys}
	if len(keys) > turnsAtOnce {
		query = turnSettings + `
			(SELECT count(pg_advisory_xact_lock($1, g)) FROM unnest($2::int[]) AS g)`
		args = args[:2]
	}
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}

func sorted(list []int32) []int32 {
	slices.Sort(list)
	return slices.Compact(list)
}

// nasesOf returns the addresses of the records' NASes.
func nasesOf(records []aaa.Record) []netip.Addr {
	seen := make(map[netip.Addr]struct{})
	var list []netip.Addr
	for i := range records {
		a := records[i].NASAddr
		if _, ok := seen[a]; !ok {
			seen[a] = struct{}{}
			list = append(list, a)
		}
	}
	return list
}

// lockSessions takes turns for the NASes of sessions that are to be closed, and
// locks those that exist.
func (tx *writeTx) lockSessions(ctx context.Context, closings []aaa.Closing) error {
	if !tx.postgres {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(closings))
	for _, closing := range closings {
		ids = append(append(ids, closing.SessionID), closing.Others...)
	}
	slices.SortFunc(ids, compareIDs)
	var nases []netip.Addr
	var nas netip.Addr
	err := eachRow(ctx, tx, "SELECT DISTINCT nas_ip FROM sessions WHERE id = ANY ($1::text[]::uuid[])", []any{texts(ids)},
		[]any{address{&nas}}, func() error {
			nases = append(nases, nas)
			return nil
		})
	if err != nil {
		return err
	}
	if err := tx.takeTurns(ctx, nases); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "SELECT 1 FROM sessions WHERE id = ANY ($1::text[]::uuid[]) ORDER BY id FOR UPDATE", texts(ids))
	return err
}
