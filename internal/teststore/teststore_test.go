package teststore_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/internal/testserver"
	"radiusd/internal/teststore"
	"radiusd/store"
	"radiusd/store/seal"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

func TestACopyIsEmptyAndHasTheNewestSchema(t *testing.T) {
	for name, database := range map[string]func(testing.TB) store.Options{"SQLite": teststore.SQLite, "Postgres": teststore.Postgres} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // each its own, under a key of its own
				options := database(t)
				options.Sealer = seal.New(seal.NewKey())
				s, err := store.Open(t.Context(), options)
				require.NoError(t, err)
				plans, err := s.Plans(t.Context())
				require.NoError(t, err)
				assert.Empty(t, plans)
				require.NoError(t, s.CreatePlan(t.Context(), &aaa.Plan{Name: "gold"}))
				require.NoError(t, s.Close())
			}
		})
	}
}
