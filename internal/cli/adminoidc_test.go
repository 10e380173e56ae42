package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/config"
)

func TestOpenIDOptions(t *testing.T) {
	none, err := openIDOptions(config.OIDC{Name: "Single sign-on"})
	require.NoError(t, err)
	require.Nil(t, none)

	path := filepath.Join(t.TempDir(), "secret")
	cfg := config.OIDC{
		Issuer: "https://id.example.org", ClientID: "radiusd", ClientSecretFile: path, RedirectURL: "https://radius.example.org/api/v1/auth/oidc/callback",
		RoleClaim: "groups", RoleMap: []string{"noc=support", "noc=auditor"},
	}
	_, err = openIDOptions(cfg)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "admin.oidc.client_secret_file")
	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, err = openIDOptions(cfg)
	require.ErrorContains(t, err, "is empty")
	require.NoError(t, os.WriteFile(path, []byte("the secret\n"), 0o600))
	o, err := openIDOptions(cfg)
	require.NoError(t, err)
	require.Equal(t, "the secret", o.ClientSecret)
	require.Equal(t, map[string][]string{"noc": {"support", "auditor"}}, o.RoleMap)
	require.False(t, o.LinkByEmail)
}
