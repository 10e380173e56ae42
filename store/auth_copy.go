package store

import (
	"context"
	"encoding/hex"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"

	"radiusd/aaa"
)

// copyAuthRecords sends a batch to Postgres by COPY, which is a transaction of its
// own. It fails as a whole if one of the records is there already.
func (s *Store) copyAuthRecords(ctx context.Context, batch *aaa.AuthBatch) error {
	return s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		return copyFrom(ctx, conn.Conn().PgConn(), &authCopy{reader: batch.Reader(), pace: aaa.PaceOf(ctx)}, copyAuthStatement)
	})
}

const copyAuthStatement = "COPY auth_records (id, at, username, accepted, reason, detail, method, nas_id, nas_ip," +
	" nas_port_id, calling_station_id, called_station_id, session_nonce) FROM STDIN BINARY"

// authCopy writes a batch in COPY's binary format as it is read.
type authCopy struct {
	reader  aaa.AuthReader
	pace    *aaa.Pace
	more    bool // the reader is at a record that is not written yet
	started bool
	ended   bool
}

// Read implements io.Reader. It writes whole rows, so p must have room for the
// largest. pgx gives it 64 KiB.
func (c *authCopy) Read(p []byte) (int, error) {
	c.pace.Step() // listeners may wait for this processor
	if c.ended {
		return 0, io.EOF
	}
	b := p[:0]
	if !c.started {
		if len(p) < copyHeaderSize {
			return 0, io.ErrShortBuffer
		}
		b = appendCopyHeader(b)
		c.started, c.more = true, c.reader.Next()
	}
	for ; c.more; c.more = c.reader.Next() {
		if len(p)-len(b) < authRowSize(&c.reader.AuthEntry) {
			if len(b) == 0 {
				return 0, io.ErrShortBuffer
			}
			return len(b), nil
		}
		b = appendAuthRow(b, &c.reader.AuthEntry)
	}
	if len(p)-len(b) >= copyTrailerSize {
		b, c.ended = appendCopyTrailer(b), true
	}
	return len(b), nil
}

// authRowSize is at least as much as appendAuthRow appends.
func authRowSize(e *aaa.AuthEntry) int {
	return 256 + len(e.Username) + len(e.Detail) + len(e.NASPortID) + len(e.CallingStationID) + len(e.CalledStationID)
}

// appendAuthRow appends a row as copyRows does for authFields.
func appendAuthRow(b []byte, e *aaa.AuthEntry) []byte {
	b = append(b, 0, 13)
	b = appendText(b, e.ID[:])
	b = appendTimestamp(b, e.At)
	b = appendText(b, e.Username)
	b = appendBoolean(b, e.Accepted)
	b = appendText(b, e.Reason.String())
	b = appendText(b, e.Detail)
	b = appendText(b, e.Method.String())
	b = nullID{&e.NASID}.appendBinary(b)
	b = address{&e.NASAddr}.appendBinary(b)
	b = appendText(b, e.NASPortID)
	b = appendText(b, e.CallingStationID)
	b = appendText(b, e.CalledStationID)
	if e.SessionNonce == (aaa.Nonce{}) {
		return append(b, 0, 0, 0, 0)
	}
	b = append(b, 0, 0, 0, byte(hex.EncodedLen(len(e.SessionNonce))))
	return hex.AppendEncode(b, e.SessionNonce[:])
}
