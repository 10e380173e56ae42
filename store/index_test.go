package store

import (
	"database/sql"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"radiusd/aaa"
	"radiusd/store/seal"
)

// TestCounterFields: no index is over what nearly every record changes, and nothing
// else may differ between two states of a session of which only that is written.
func TestCounterFields(t *testing.T) {
	path := t.TempDir() + "/radiusd.db"
	s, err := Open(t.Context(), Options{Path: path, Sealer: seal.New(seal.Key([]byte("0123456789abcdef0123456789abcdef"))), AutoMigrate: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT DISTINCT info.name FROM pragma_index_list('sessions') AS list, pragma_index_info(list.name) AS info
		WHERE info.name <> 'id'`)
	require.NoError(t, err)
	defer rows.Close()
	var columns []string
	for rows.Next() {
		var column string
		require.NoError(t, rows.Scan(&column))
		columns = append(columns, column)
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, columns)
	for _, f := range counterFields(new(aaa.Session)) {
		require.NotContains(t, columns, f.name)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[aaa.Session]()) {
		var x, y aaa.Session
		require.True(t, x.SameButCounters(&y))
		change(t, reflect.ValueOf(&y).Elem().FieldByIndex(field.Index))
		written := slices.Contains([]string{"ID", "UpdatedAt", "SessionSeconds", "InputOctets", "OutputOctets", "InputPackets",
			"OutputPackets", "Provenance"}, field.Name)
		require.Equal(t, written, x.SameButCounters(&y), field.Name)
	}
}

// change gives a variable another value.
func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = "other"
	case *bool:
		*p = true
	case *uint32:
		*p = 1
	case *uint64:
		*p = 1
	case *[]byte:
		*p = []byte{1}
	case *uuid.UUID:
		*p = uuid.New()
	case *netip.Addr:
		*p = netip.MustParseAddr("192.0.2.9")
	case *netip.Prefix:
		*p = netip.MustParsePrefix("2001:db8::/64")
	case *time.Time:
		*p = time.Now()
	case *aaa.Provenance:
	default:
		require.FailNow(t, "a kind that the test does not know", "%T", p)
	}
}
