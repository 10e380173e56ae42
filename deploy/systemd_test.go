package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unit reads the settings of a systemd unit; the last of a name counts.
func unit(t testing.TB, path string) map[string]string {
	t.Helper()
	settings := make(map[string]string)
	for line := range strings.Lines(file(t, path)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(name, "#") {
			settings[name] = value
		}
	}
	return settings
}

func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	settings := unit(t, "systemd/radiusd.service")
	patience, err := time.ParseDuration(settings["TimeoutStopSec"] + "s")
	require.NoError(t, err)
	require.Greater(t, patience, drain)
	require.Equal(t, "SIGTERM", settings["KillSignal"])
	require.Contains(t, settings["ExecReload"], "kill -HUP")
	values := requireConfig(t, "systemd/radiusd.yaml", environment(t, "systemd/environment.example")...)
	require.Equal(t, settings["WorkingDirectory"], filepath.Dir(values["data_dir"]))
	require.Equal(t, "/var/lib/"+settings["StateDirectory"], settings["WorkingDirectory"])
	require.Regexp(t, `(?m)^u `+settings["User"]+` `, file(t, "systemd/radiusd.sysusers.conf"))

	// The program need not be installed for the unit to be looked at.
	self, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "radiusd.service")
	text := strings.ReplaceAll(file(t, "systemd/radiusd.service"), "/usr/bin/radiusd", self)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	_, warnings := tool(t, "systemd-analyze", "verify", "--man=no", path)
	require.NotContains(t, warnings, path, "units of others may have theirs")
	tool(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", path) // 2.0 of 10
}

func TestSystemdUnitOfTheAdminAPI(t *testing.T) {
	t.Parallel()
	settings := unit(t, "systemd/adminapi.service")
	node := unit(t, "systemd/radiusd.service")
	for _, name := range []string{"User", "Group", "EnvironmentFile", "StateDirectory", "WorkingDirectory", "TimeoutStopSec", "KillSignal"} {
		require.Equal(t, node[name], settings[name], name)
	}
	self, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "adminapi.service")
	text := strings.ReplaceAll(file(t, "systemd/adminapi.service"), "/usr/bin/adminapi", self)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	_, warnings := tool(t, "systemd-analyze", "verify", "--man=no", path)
	require.NotContains(t, warnings, path)
	tool(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", path)
}
