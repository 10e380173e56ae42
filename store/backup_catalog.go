package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"radiusd/store/archive"
)

// What a backup holds is taken from the catalog of the database, so that a new table
// is in it without anybody's doing.

// notBackedUp are the tables that a backup leaves out.
var notBackedUp = []string{
	"goose_db_version", // the header has the schema's version
	"changes",          // of the feed, which begins anew in a restored database
	unfinishedTable,
	// Jobs that wait or run are of the database that was backed up: schedules make new ones.
	"river_job", "river_leader", "river_queue", "river_client", "river_client_queue", "river_migration", "job_runs",
}

// notBackedUpSettings are the settings that a backup leaves out: those of the feed.
var notBackedUpSettings = []string{feedSetting, changesFloorSetting}

// catalog is the tables that a backup holds, those before that others refer to.
func (s *Store) catalog(ctx context.Context, q querier) ([]archive.Table, error) {
	columns, references := s.catalogSQLite, referencesSQLite
	if s.pool != nil {
		columns, references = s.catalogPostgres, referencesPostgres
	}
	tables, err := columns(ctx, q)
	if err != nil {
		return nil, err
	}
	parents := map[string][]string{}
	var child, parent string
	err = eachRow(ctx, q, references, nil, []any{&child, &parent}, func() error {
		if child != parent {
			parents[child] = append(parents[child], parent)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return parentsFirst(tables, parents)
}

// parentsFirst sorts tables, which are sorted by name, so that each stands behind
// those it refers to.
func parentsFirst(tables []archive.Table, parents map[string][]string) ([]archive.Table, error) {
	placed := map[string]bool{}
	var order []archive.Table
	for len(order) < len(tables) {
		before := len(order)
		for _, t := range tables {
			waits := slices.ContainsFunc(parents[t.Name], func(parent string) bool {
				return !placed[parent] && slices.ContainsFunc(tables, func(t archive.Table) bool { return t.Name == parent })
			})
			if !placed[t.Name] && !waits {
				order = append(order, t)
				placed[t.Name] = true
			}
		}
		if len(order) == before {
			return nil, fmt.Errorf("tables refer to each other in a circle")
		}
	}
	return order, nil
}

const referencesPostgres = `SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
	WHERE contype = 'f' AND conparentid = 0 AND connamespace = current_schema()::regnamespace`

const referencesSQLite = `SELECT m.name, f."table" FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`

// kindsPostgres are the types that columns may have.
var kindsPostgres = map[string]archive.Kind{
	"smallint": archive.Integer, "integer": archive.Integer, "bigint": archive.Integer, "boolean": archive.Integer,
	"real": archive.Real, "double precision": archive.Real,
	"text": archive.Text, "character varying": archive.Text, "uuid": archive.Text, "inet": archive.Text, "cidr": archive.Text,
	"timestamp with time zone": archive.Text, "date": archive.Text, "json": archive.Text, "jsonb": archive.Text,
	"bytea": archive.Octets,
}

func (s *Store) catalogPostgres(ctx context.Context, q querier) ([]archive.Table, error) {
	return readCatalog(ctx, q, kindsPostgres, `SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
			AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		ORDER BY c.relname COLLATE "C", a.attname COLLATE "C"`)
}

// kindsSQLite are the types that columns of STRICT tables may have.
var kindsSQLite = map[string]archive.Kind{
	"INTEGER": archive.Integer, "INT": archive.Integer, "REAL": archive.Real, "TEXT": archive.Text, "BLOB": archive.Octets,
}

func (s *Store) catalogSQLite(ctx context.Context, q querier) ([]archive.Table, error) {
	// What a virtual table, as an index for searches, consists of is "shadow".
	return readCatalog(ctx, q, kindsSQLite, `SELECT t.name, c.name, c.type FROM pragma_table_list t, pragma_table_xinfo(t.name) c
		WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND c.hidden = 0
		ORDER BY t.name, c.name`)
}

// readCatalog reads tables and columns, both sorted by name, so that they are in the
// same order in both engines.
func readCatalog(ctx context.Context, q querier, kinds map[string]archive.Kind, query string) (tables []archive.Table, err error) {
	var table, column, typ string
	err = eachRow(ctx, q, query, nil, []any{&table, &column, &typ}, func() error {
		if slices.Contains(notBackedUp, table) {
			return nil
		}
		kind, known := kinds[typ]
		if !known {
			return fmt.Errorf("column %s.%s has the type %s, which a backup cannot hold", table, column, typ)
		}
		if n := len(tables); n == 0 || tables[n-1].Name != table {
			tables = append(tables, archive.Table{Name: table})
		}
		last := &tables[len(tables)-1]
		last.Columns = append(last.Columns, archive.Column{Name: column, Kind: kind})
		return nil
	})
	return tables, err
}

// columnNames lists a table's columns as a query does.
func columnNames(t archive.Table) string {
	list := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		list[i] = quoteName(c.Name)
	}
	return strings.Join(list, ", ")
}

// quoteName quotes a name of a table or column: a backup's come from a file.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// rowsWanted is what is backed up of a table's rows.
func rowsWanted(t archive.Table) (where string, args []any) {
	if t.Name != "settings" {
		return "", nil
	}
	return " WHERE name NOT IN (" + placeholders(1, len(notBackedUpSettings)) + ")", arguments(notBackedUpSettings)
}
