package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"radiusd/aaa"
)

// The sink reads as many sessions as it writes records. database/sql makes a value of
// each column and converts it; here columns take Postgres' binary format as it comes.

// binaryScanner is a column that takes a value as Postgres sends it in binary; nil is
// NULL. It keeps nothing of b.
type binaryScanner interface {
	scanBinary(b []byte) error
}

// stepAfter is after how many rows it is looked whether others are to get their turn on the
// processor.
const stepAfter = 16

// parameter is an argument of a query in Postgres' binary or, for a string of unknown
// type, text format.
type parameter struct {
	oid    uint32
	format int16
	value  []byte
}

func unknownParameter(s string) parameter { return parameter{value: []byte(s)} }

func idsParameter(ids []uuid.UUID) parameter {
	b := appendArrayHeader(make([]byte, 0, 20+20*len(ids)), pgtype.UUIDOID, len(ids))
	for i := range ids {
		b = appendText(b, ids[i][:])
	}
	return parameter{pgtype.UUIDArrayOID, pgtype.BinaryFormatCode, b}
}

func textsParameter(texts []string) parameter {
	b := appendArrayHeader(nil, pgtype.TextOID, len(texts))
	for _, s := range texts {
		b = appendText(b, cleanText(s))
	}
	return parameter{pgtype.TextArrayOID, pgtype.BinaryFormatCode, b}
}

// appendArrayHeader begins an array of one dimension without NULLs.
func appendArrayHeader(b []byte, elementOID uint32, n int) []byte {
	for _, v := range [...]uint32{1, 0, elementOID, uint32(n), 1} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// eachBinaryRow calls fn for each row of a query, with the columns set. It is for
// Postgres.
func eachBinaryRow(ctx context.Context, tx *writeTx, query string, parameters []parameter, columns []column, fn func() error) error {
	values, oids, formats := make([][]byte, len(parameters)), make([]uint32, len(parameters)), make([]int16, len(parameters))
	for i, p := range parameters {
		values[i], oids[i], formats[i] = p.value, p.oid, p.format
	}
	scanners := make([]binaryScanner, len(columns))
	for i, c := range columns {
		scanners[i] = c.(binaryScanner)
	}
	pace := aaa.PaceOf(ctx)
	return tx.conn.Raw(func(driverConn any) error {
		rows := driverConn.(*stdlib.Conn).Conn().PgConn().ExecParams(ctx, query, values, oids, formats, []int16{pgtype.BinaryFormatCode})
		err := error(nil)
		for n := 1; err == nil && rows.NextRow(); n++ {
			if n%stepAfter == 0 {
				pace.Step()
			}
			for i, value := range rows.Values() {
				if err = scanners[i].scanBinary(value); err != nil {
					err = fmt.Errorf("column %s: %w", rows.FieldDescriptions()[i].Name, err)
					break
				}
			}
			if err == nil {
				err = fn()
			}
		}
		if _, closed := rows.Close(); err == nil {
			err = closed
		}
		return err
	})
}

// columns returns the fields' columns.
func columns(fields []field) []column {
	list := make([]column, len(fields))
	for i, f := range fields {
		list[i] = f.column
	}
	return list
}
