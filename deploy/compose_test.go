package deploy_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// compose is what the tests look at of a Compose file.
type compose struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
}

type composeService struct {
	Image           string            `yaml:"image"`
	Command         any               `yaml:"command"`
	Environment     map[string]string `yaml:"environment"`
	Ports           []string          `yaml:"ports"`
	Volumes         []string          `yaml:"volumes"`
	StopGracePeriod string            `yaml:"stop_grace_period"`
	User            string            `yaml:"user"`
	ReadOnly        bool              `yaml:"read_only"`
	DependsOn       any               `yaml:"depends_on"`
	Healthcheck     map[string]any    `yaml:"healthcheck"`
	Build           struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
}

// drain is how long a server may take to end, with what internal/cli allows: 6 s for
// replies, 3 s for what was answered to reach the stores, and 2 s for each of two
// stores that hang.
const drain = 13 * time.Second

// variable is one that Compose fills in, from .env.
var variable = regexp.MustCompile(`\$\{([A-Z_]+)(?::[-?][^}]*)?\}`)

func TestComposeFile(t *testing.T) {
	t.Parallel()
	c := load[compose](t, "compose/compose.yaml")
	require.Subset(t, slices.Collect(maps.Keys(c.Services)),
		[]string{"radiusd-1", "radiusd-2", "adminapi", "postgres", "redis", "clickhouse", "prometheus", "grafana"})
	used := make(map[string]bool)
	for name, s := range c.Services {
		if !strings.HasPrefix(s.Image, "radiusd:") {
			require.Regexp(t, pinned, s.Image, name)
		}
		if s.Build.Dockerfile != "" {
			require.FileExists(t, filepath.Join("compose", s.Build.Context, s.Build.Dockerfile))
		}
		for _, volume := range s.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if strings.HasPrefix(from, ".") {
				require.FileExists(t, filepath.Join("compose", from), name)
				continue
			}
			require.Contains(t, c.Volumes, from, name)
			used[from] = true
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(c.Volumes)), slices.Collect(maps.Keys(used)))

	// Every variable is in .env.example, and nothing there has a value that would do.
	example := file(t, "compose/.env.example")
	for _, v := range variable.FindAllStringSubmatch(file(t, "compose/compose.yaml"), -1) {
		require.Regexp(t, `(?m)^`+v[1]+`=`, example)
		if strings.HasSuffix(v[1], "_PASSWORD") {
			require.Regexp(t, `(?m)^`+v[1]+`=$`, example, "a password of one's own")
			require.Contains(t, v[0], ":?", "without %s it must not start", v[1])
		}
	}
}

func TestComposeNodes(t *testing.T) {
	t.Parallel()
	c := load[compose](t, "compose/compose.yaml")
	targets := file(t, "compose/prometheus.yaml")
	hosts := make(map[string]bool)
	for name, s := range c.Services {
		if !strings.HasPrefix(s.Image, "radiusd:") {
			continue
		}
		require.True(t, s.ReadOnly, name)
		require.Equal(t, "65532:65532", s.User, name)
		grace, err := time.ParseDuration(s.StopGracePeriod)
		require.NoError(t, err)
		require.Greater(t, grace, drain, name)
		environ := make([]string, 0, len(s.Environment))
		for key, value := range s.Environment {
			environ = append(environ, key+"="+variable.ReplaceAllString(value, "0123abcd"))
		}
		values := requireConfig(t, "compose/radiusd.yaml", environ...)
		for _, key := range []string{"store.url", "redis.url", "clickhouse.url"} {
			require.NotEmpty(t, values[key], name)
		}
		requireMounted(t, s.Volumes, "/etc/radiusd/radiusd.yaml")
		requireMounted(t, s.Volumes, filepath.Dir(values["master_key_file"]))
		if len(s.Ports) == 0 {
			continue // makes the schema
		}
		if name == "adminapi" {
			require.Equal(t, []string{"127.0.0.1:8080" + values["admin.listen"]}, s.Ports, "without TLS on loopback only")
			require.Contains(t, targets, `"`+name+values["admin.metrics_listen"]+`"`)
			continue
		}
		data := requireMounted(t, s.Volumes, filepath.Dir(values["data_dir"]))
		require.False(t, hosts[data], "a data_dir belongs to one node")
		hosts[data] = true
		for i, key := range []string{"auth.listen", "acct.listen"} {
			require.True(t, strings.HasSuffix(s.Ports[i], values[key]+"/udp"), "%s: %s", name, s.Ports[i])
			require.False(t, hosts[s.Ports[i]], "two nodes on one port of the host")
			hosts[s.Ports[i]] = true
		}
		require.Contains(t, targets, `"`+name+values["metrics.listen"]+`"`)
	}
	require.Len(t, hosts, 2*3, "two nodes, each with two ports and a volume")
}

// requireMounted holds that something is mounted at the path, and returns what.
func requireMounted(t testing.TB, volumes []string, path string) string {
	t.Helper()
	for _, volume := range volumes {
		parts := strings.Split(volume, ":")
		if parts[1] == path {
			return parts[0]
		}
	}
	t.Fatalf("nothing is mounted at %s", path)
	return ""
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	lines := strings.Split(file(t, "Dockerfile"), "\n")
	var from []string
	instructions := make(map[string]string)
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		instructions[name] = rest
		if name == "FROM" {
			from = append(from, strings.Fields(rest)[0])
		}
	}
	require.Len(t, from, 2)
	require.Regexp(t, pinned, from[0])
	require.Equal(t, "scratch", from[1])
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(file(t, "../go.mod"))
	require.NotNil(t, version)
	require.True(t, strings.HasPrefix(from[0], "golang:"+version[1]+"."), "go.mod wants Go %s", version[1])
	require.Equal(t, "65532:65532", instructions["USER"])
	require.Equal(t, `["/usr/bin/radiusd"]`, instructions["ENTRYPOINT"])
	values := requireConfig(t, "radiusd.example.yaml")
	_, metrics, _ := strings.Cut(values["metrics.listen"], ":")
	require.Equal(t, strings.TrimPrefix(values["auth.listen"], ":")+"/udp "+
		strings.TrimPrefix(values["acct.listen"], ":")+"/udp "+metrics+"/tcp", instructions["EXPOSE"])
}
