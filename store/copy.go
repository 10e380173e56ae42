package store

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"radiusd/aaa"
)

// copyRows sends rows by COPY, in its binary format, on the transaction's
// connection.
func copyRows(ctx context.Context, tx *writeTx, table string, rows source) error {
	if rows.n == 0 {
		return nil
	}
	statement := "COPY " + table + " (" + names(rows.row(0)) + ") FROM STDIN BINARY"
	return tx.conn.Raw(func(driverConn any) error {
		return copyFrom(ctx, driverConn.(*stdlib.Conn).Conn().PgConn(), &copyReader{rows: rows, pace: aaa.PaceOf(ctx)}, statement)
	})
}

// copyFrom runs a COPY of what it reads. When the connection fails, pgx returns without
// waiting for who reads; here nothing is read any more after it.
func copyFrom(ctx context.Context, conn *pgconn.PgConn, rows io.Reader, statement string) error {
	guarded := closableReader{rows: rows}
	defer guarded.close()
	_, err := conn.CopyFrom(ctx, &guarded, statement)
	return err
}

// closableReader is a reader that another goroutine may close.
type closableReader struct {
	mu     sync.Mutex
	closed bool
	rows   io.Reader
}

// close waits for a Read that is under way.
func (c *closableReader) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// Read implements io.Reader.
func (c *closableReader) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	return c.rows.Read(p)
}

// copyReader writes rows in COPY's binary format as they are read.
type copyReader struct {
	rows source
	pace *aaa.Pace
	next int // row
	buf  []byte
	left []byte // of buf, not read yet
}

const (
	copySignature   = "PGCOPY\n\xff\r\n\x00"
	copyHeaderSize  = len(copySignature) + 8
	copyTrailerSize = 2
	copyChunk       = 64 << 10
)

func appendCopyHeader(b []byte) []byte {
	b = append(b, copySignature...)
	b = append(b, 0, 0, 0, 0)    // flags
	return append(b, 0, 0, 0, 0) // length of the header's extension
}

func appendCopyTrailer(b []byte) []byte { return append(b, 0xff, 0xff) }

// Read implements io.Reader.
func (c *copyReader) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		if c.next > c.rows.n {
			return 0, io.EOF
		}
		c.fill()
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *copyReader) fill() {
	b := c.buf[:0]
	if c.next == 0 {
		b = appendCopyHeader(b)
	}
	for ; c.next < c.rows.n && len(b) < copyChunk; c.next++ {
		fields := c.rows.row(c.next)
		b = binary.BigEndian.AppendUint16(b, uint16(len(fields)))
		for _, f := range fields {
			b = f.appendBinary(b)
		}
	}
	if c.next == c.rows.n {
		b = appendCopyTrailer(b)
		c.next++
	}
	c.buf, c.left = b, b
	c.pace.Step() // a chunk is some hundred rows
}

// What follows appends values as Postgres receives them in binary: the length, and
// the value in network order.

func appendNull(b []byte) []byte { return append(b, 0xff, 0xff, 0xff, 0xff) }

func appendText[T string | []byte](b []byte, value T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
}

func appendBigint(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(n))
}

func appendBoolean(b []byte, value bool) []byte {
	if value {
		return append(b, 0, 0, 0, 1, 1)
	}
	return append(b, 0, 0, 0, 1, 0)
}

// postgresEpoch is what Postgres counts times from.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func appendTimestamp(b []byte, t time.Time) []byte {
	return appendBigint(b, t.UnixMicro()-postgresEpoch.UnixMicro())
}

func appendDate(b []byte, year int, month time.Month, day int) []byte {
	days := (time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() - postgresEpoch.Unix()) / (24 * 60 * 60)
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), uint32(int32(days)))
}

// appendInet appends an address with the length of its network.
func appendInet(b []byte, a netip.Addr, bits int) []byte {
	if a.Is4() {
		octets := a.As4()
		return append(append(b, 0, 0, 0, 8, 2, byte(bits), 0, 4), octets[:]...)
	}
	octets := a.As16()
	return append(append(b, 0, 0, 0, 20, 3, byte(bits), 0, 16), octets[:]...)
}
