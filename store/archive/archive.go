// Package archive is the form of a backup: what a database holds, independent of its
// engine, in one stream that is compressed and encrypted.
//
// From the outside in, an archive is
//
//	age (age-encryption.org/v1) > zstd > tar
//
// so that age, zstd and tar alone can open it. The entries of the tar file are
//
//	header.json                 Header: what follows
//	master.key                  the master key in hex, if it is included
//	tables/NAME/000001.jsonl …  rows in chunks of about a MiB, tables in Header's order
//	manifest.json               Manifest: counts and hashes
//
// A row is a JSON array of its columns in Header's order. Integers are numbers, reals
// are numbers, texts strings, octets base64 in a string, and NULL is null; a text that
// is not UTF-8, which SQLite lets pass, is {"base64":"…"}. Values are exact: what is
// sealed under the master key stays sealed, times are UTC with microseconds
// ("2006-01-02T15:04:05.000000Z"), booleans are 0 and 1.
//
// age authenticates every octet and the end of the stream, so a file that was changed
// or cut fails to open, and never gives other rows. The manifest's hashes guard what
// is done to it after.
package archive

import (
	"errors"
	"fmt"
	"time"
)

// FormatVersion is the version of the format that this package writes.
const FormatVersion = 1

// Format is what Header.Format says in every version.
const Format = "radiusd-backup"

// Kind is the storage class of a column's values.
type Kind string

// The kinds.
const (
	Integer Kind = "integer"
	Real    Kind = "real"
	Text    Kind = "text"
	Octets  Kind = "octets"
)

// Column is a column of a table.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
}

// Table is a table and its columns in the order of rows' values.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
}

// Header says what an archive holds.
type Header struct {
	Format        string `json:"format"`
	FormatVersion int    `json:"format_version"`
	// Program is the version of radiusd that made it.
	Program string `json:"program"`
	// Engine is the database's: postgres or sqlite.
	Engine        string    `json:"engine"`
	SchemaVersion int64     `json:"schema_version"`
	MadeAt        time.Time `json:"made_at"`
	// TimeZone is that of the days in usage_daily.
	TimeZone string `json:"time_zone"`
	// MasterKeyID tells which master key the secrets are sealed under.
	MasterKeyID string `json:"master_key_id"`
	// HasMasterKey says that the key itself is in the archive.
	HasMasterKey bool `json:"has_master_key"`
	// Tables are in an order in which rows can be added: what others refer to first.
	Tables []Table `json:"tables"`
}

// Manifest is the end of an archive.
type Manifest struct {
	Header
	// Parts has one entry for each table, in the order of Tables.
	Parts []Part `json:"parts"`
	// Sequences are the last numbers that tables with numbered rows have given out.
	Sequences map[string]int64 `json:"sequences"`
}

// Part is what was written of one table.
type Part struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	// SHA256 is of the table's rows, all chunks in order, in hex.
	SHA256 string `json:"sha256"`
}

// Rows counts the rows of all tables.
func (m *Manifest) Rows() (n int64) {
	for _, p := range m.Parts {
		n += p.Rows
	}
	return n
}

// Errors that a caller tells apart. What wraps them says more.
var (
	// ErrDamaged means that the archive was changed or is not complete.
	ErrDamaged = errors.New("the backup is damaged or not complete")
	// ErrNotArchive means that the stream is something else.
	ErrNotArchive = errors.New("this is not a backup of radiusd")
	// ErrWrongIdentity means that no identity or passphrase given opens the archive.
	ErrWrongIdentity = errors.New("the backup was encrypted for another key or passphrase")
	// ErrFormatNew means that a newer radiusd has made the archive.
	ErrFormatNew = errors.New("the backup is of a newer format than this radiusd knows: install the newer version")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// Names of the entries.
const (
	headerEntry    = "header.json"
	masterKeyEntry = "master.key"
	manifestEntry  = "manifest.json"
	tablesFolder   = "tables/"
)

func chunkEntry(table string, n int) string {
	return fmt.Sprintf("%s%s/%06d.jsonl", tablesFolder, table, n)
}

// Sizes. A chunk ends with the row that goes beyond chunkSize; maxChunk bounds what a
// reader takes, and so how long a row may be.
const (
	chunkSize = 1 << 20
	maxChunk  = 256 << 20
	maxHeader = 64 << 20
	// maxWindow bounds the memory that a compressed stream may ask for.
	maxWindow = 64 << 20
)
