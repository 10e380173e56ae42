package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"radiusd/store/archive"
)

// backupTableSQLite writes a table's rows; each is called after each.
func (s *Store) backupTableSQLite(ctx context.Context, tx *writeTx, t archive.Table, out *archive.Writer, each func()) error {
	where, args := rowsWanted(t)
	values, dest := make([]any, len(t.Columns)), make([]any, len(t.Columns))
	for i := range values {
		dest[i] = &values[i]
	}
	return eachRow(ctx, tx, "SELECT "+columnNames(t)+" FROM "+quoteName(t.Name)+where, args, dest, func() error {
		err := out.Row(func(b []byte) (_ []byte, err error) {
			for i, v := range values {
				if i > 0 {
					b = append(b, ',')
				}
				if b, err = appendValueSQLite(b, v, t.Columns[i].Kind); err != nil {
					return b, fmt.Errorf("column %s: %w", t.Columns[i].Name, err)
				}
			}
			return b, nil
		})
		each()
		return err
	})
}

func appendValueSQLite(b []byte, value any, kind archive.Kind) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return archive.AppendNull(b), nil
	case int64:
		if kind == archive.Integer {
			return archive.AppendInteger(b, v), nil
		}
	case float64:
		if kind == archive.Real {
			return archive.AppendReal(b, v)
		}
	case string:
		if kind == archive.Text {
			return archive.AppendText(b, v), nil
		}
	case []byte:
		if kind == archive.Octets {
			return archive.AppendOctets(b, v), nil
		}
	}
	return b, mismatch(value, string(kind))
}

// yieldAfter is after how many rows others get their turn on the processor.
const yieldAfter = 256

// backupTablePostgres writes a table's rows, which the server sends as text and one at a
// time.
func (s *Store) backupTablePostgres(ctx context.Context, tx *writeTx, t archive.Table, out *archive.Writer, each func()) error {
	where, args := rowsWanted(t)
	parameters := make([][]byte, len(args))
	for i, arg := range args {
		parameters[i] = []byte(arg.(string))
	}
	return tx.conn.Raw(func(driverConn any) error {
		rows := driverConn.(*stdlib.Conn).Conn().PgConn().ExecParams(ctx, "SELECT "+columnNames(t)+" FROM "+quoteName(t.Name)+where,
			parameters, nil, nil, nil)
		var err error
		for n := 1; err == nil && rows.NextRow(); n++ {
			if n%yieldAfter == 0 {
				runtime.Gosched()
			}
			fields := rows.FieldDescriptions()
			err = out.Row(func(b []byte) (_ []byte, err error) {
				for i, v := range rows.Values() {
					if i > 0 {
						b = append(b, ',')
					}
					if b, err = appendValuePostgres(b, v, fields[i].DataTypeOID); err != nil {
						return b, fmt.Errorf("column %s: %w", t.Columns[i].Name, err)
					}
				}
				return b, nil
			})
			each()
		}
		if _, closed := rows.Close(); err == nil {
			err = closed
		}
		return err
	})
}

// appendValuePostgres appends a value that came as text, in the form that SQLite holds
// it in.
func appendValuePostgres(b, v []byte, oid uint32) ([]byte, error) {
	if v == nil {
		return archive.AppendNull(b), nil
	}
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return append(b, v...), nil
	case pgtype.BoolOID:
		if string(v) == "t" {
			return archive.AppendInteger(b, 1), nil
		}
		return archive.AppendInteger(b, 0), nil
	case pgtype.Float4OID, pgtype.Float8OID:
		x, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return b, err
		}
		return archive.AppendReal(b, x)
	case pgtype.ByteaOID:
		digits, ok := strings.CutPrefix(string(v), `\x`)
		octets, err := hex.DecodeString(digits)
		if !ok || err != nil {
			return b, mismatch(v, "bytea")
		}
		return archive.AppendOctets(b, octets), nil
	case pgtype.TimestamptzOID:
		at, err := time.Parse("2006-01-02 15:04:05.999999-07", string(v))
		if err != nil {
			return b, err
		}
		return archive.AppendText(b, at.UTC().Format(timeLayout)), nil
	case pgtype.InetOID, pgtype.CIDROID:
		var p netip.Prefix
		if err := (network{&p}).Scan(string(v)); err != nil {
			return b, err
		}
		text, err := network{&p}.Value()
		if err != nil {
			return b, err
		}
		return archive.AppendText(b, text.(string)), nil
	}
	return archive.AppendText(b, v), nil
}
