package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/config"
)

func TestPoolSizeOfPostgres(t *testing.T) {
	for url, want := range map[string]string{
		"":                       "",
		"postgres://u:p%2F@h/db": "postgres://u:p%2F@h/db?pool_max_conns=7",
		"postgres://u:p@h1:1,h2:2/db?sslmode=disable":    "postgres://u:p@h1:1,h2:2/db?pool_max_conns=7&sslmode=disable",
		"postgres://u:p@h/db?pool_max_conns=3":           "postgres://u:p@h/db?pool_max_conns=3",
		"postgres://u@h1,h2/db?target_session_attrs=any": "postgres://u@h1,h2/db?pool_max_conns=7&target_session_attrs=any",
	} {
		c := config.Default()
		c.Store.URL, c.Store.MaxConnections = url, 7
		require.Equal(t, want, storeURL(c))
	}
}
