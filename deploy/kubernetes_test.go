package deploy_test

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// object is one of Kubernetes's, as far as the tests look at it.
type object struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Data map[string]string `yaml:"data"`
	Spec struct {
		ExternalTrafficPolicy string                 `yaml:"externalTrafficPolicy"`
		Selector              map[string]any         `yaml:"selector"`
		Ports                 []servicePort          `yaml:"ports"`
		Template              struct{ Spec podSpec } `yaml:"template"`
		VolumeClaimTemplates  []struct {
			Metadata struct{ Name string } `yaml:"metadata"`
		} `yaml:"volumeClaimTemplates"`
		ServiceName string `yaml:"serviceName"`
		PodSelector any    `yaml:"podSelector"`
	} `yaml:"spec"`
}

type servicePort struct {
	Name, Protocol string
	Port           int
	TargetPort     string `yaml:"targetPort"`
}

type podSpec struct {
	TerminationGracePeriodSeconds int         `yaml:"terminationGracePeriodSeconds"`
	EnableServiceLinks            *bool       `yaml:"enableServiceLinks"`
	Containers                    []container `yaml:"containers"`
	Volumes                       []struct {
		Name      string
		ConfigMap struct{ Name string } `yaml:"configMap"`
		Secret    struct {
			SecretName string `yaml:"secretName"`
		} `yaml:"secret"`
	} `yaml:"volumes"`
}

type container struct {
	Image   string
	EnvFrom []struct {
		SecretRef struct{ Name string } `yaml:"secretRef"`
	} `yaml:"envFrom"`
	Env   []struct{ Name, Value string } `yaml:"env"`
	Ports []struct {
		Name, Protocol string
		ContainerPort  int `yaml:"containerPort"`
	}
	StartupProbe   probe `yaml:"startupProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	VolumeMounts   []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// kustomized is the example overlay with what an operator puts beside it.
func kustomized(t testing.TB) map[string]object {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("kubernetes")))
	example := filepath.Join(dir, "overlays", "example")
	require.NoError(t, os.WriteFile(filepath.Join(example, "master.key"), []byte(strings.Repeat("0f", 32)+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(example, "urls.env"), []byte(file(t, "kubernetes/overlays/example/urls.env.example")), 0o600))
	// As its comment says, for clusters with the Prometheus Operator.
	path := filepath.Join(example, "kustomization.yaml")
	text := file(t, "kubernetes/overlays/example/kustomization.yaml")
	with := strings.Replace(text, "components: []", "components: [../../components/servicemonitor]", 1)
	require.NotEqual(t, text, with)
	require.NoError(t, os.WriteFile(path, []byte(with), 0o600))

	objects := make(map[string]object)
	manifests, _ := tool(t, "kubectl", "kustomize", example)
	decoder := yaml.NewDecoder(strings.NewReader(manifests))
	for {
		var o object
		err := decoder.Decode(&o)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		objects[o.Kind+" "+o.Metadata.Name] = o
	}
	return objects
}

func TestKubernetes(t *testing.T) {
	objects := kustomized(t)
	set := objects["StatefulSet radiusd"].Spec
	pod := set.Template.Spec
	require.Len(t, pod.Containers, 1)
	c := pod.Containers[0]
	for _, name := range []string{
		"Namespace radiusd", "ServiceAccount radiusd", "Service radiusd", "PodDisruptionBudget radiusd",
		"NetworkPolicy radiusd", "ServiceMonitor radiusd", "Service " + set.ServiceName,
	} {
		require.Contains(t, objects, name)
	}
	require.Equal(t, "data", set.VolumeClaimTemplates[0].Metadata.Name, "each node has a journal of its own")
	require.Greater(t, time.Duration(pod.TerminationGracePeriodSeconds)*time.Second, drain)
	require.False(t, *pod.EnableServiceLinks)
	require.Regexp(t, pinned, c.Image)

	// What is mounted and read exists, and is a configuration.
	var config, keys string
	for _, v := range pod.Volumes {
		if v.ConfigMap.Name != "" {
			config = objects["ConfigMap "+v.ConfigMap.Name].Data["radiusd.yaml"]
		}
		if v.Secret.SecretName != "" {
			require.Contains(t, objects, "Secret "+v.Secret.SecretName)
			keys = v.Name
		}
	}
	require.Contains(t, objects, "Secret "+c.EnvFrom[0].SecretRef.Name)
	path := filepath.Join(t.TempDir(), "radiusd.yaml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	values := requireConfig(t, path, environment(t, "kubernetes/overlays/example/urls.env.example")...)
	mounts := make(map[string]string)
	for _, m := range c.VolumeMounts {
		mounts[m.MountPath] = m.Name
	}
	require.Equal(t, "data", mounts[filepath.Dir(values["data_dir"])])
	require.Equal(t, keys, mounts[filepath.Dir(values["master_key_file"])])
	require.Contains(t, mounts, "/etc/radiusd")

	// Ports and services are those of the configuration.
	names := make(map[string]string)
	for _, p := range c.Ports {
		names[p.Name] = p.Protocol
		want, ok := values[p.Name+".listen"]
		require.True(t, ok, p.Name)
		require.Equal(t, want, ":"+strconv.Itoa(p.ContainerPort), p.Name)
	}
	require.Equal(t, map[string]string{"auth": "UDP", "acct": "UDP", "metrics": "TCP"}, names)
	for _, name := range []string{"Service radiusd", "Service " + set.ServiceName} {
		for _, p := range objects[name].Spec.Ports {
			require.Equal(t, names[p.TargetPort], p.Protocol, name)
			require.Equal(t, values[p.TargetPort+".listen"], ":"+strconv.Itoa(p.Port), name)
		}
		require.Equal(t, map[string]any{"app.kubernetes.io/name": "radiusd"}, objects[name].Spec.Selector, name)
	}
	require.Equal(t, "Local", objects["Service radiusd"].Spec.ExternalTrafficPolicy, "else a NAS loses its address")

	// The probes are answered.
	s := serve(t)
	for _, p := range []probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		require.Equal(t, "metrics", p.HTTPGet.Port)
		s.get(t, p.HTTPGet.Path)
	}
}
