package jobs

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// isUnique reports whether a statement would have made a second of what is unique.
func isUnique(err error) bool {
	var refused *pgconn.PgError
	var lite *sqlite.Error
	return errors.As(err, &refused) && refused.Code == "23505" || errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}
