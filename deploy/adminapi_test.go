package deploy_test

import (
	"io"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// The component runs adminapi with the settings of the nodes and TLS, and its probes and
// its Service lead to where it listens.
func TestKubernetesAdminAPI(t *testing.T) {
	t.Parallel()
	decoder := yaml.NewDecoder(strings.NewReader(file(t, "kubernetes/components/adminapi/adminapi.yaml")))
	objects := map[string]object{}
	for {
		var o object
		err := decoder.Decode(&o)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		objects[o.Kind] = o
	}
	pod := objects["Deployment"].Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	c := pod.Containers[0]
	environ := []string{"RADIUSD_STORE_URL=postgres://u@h/db"}
	for _, v := range c.Env {
		environ = append(environ, v.Name+"="+v.Value)
	}
	values := requireConfig(t, "kubernetes/base/radiusd.yaml", environ...)
	ports := map[string]int{}
	for _, port := range c.Ports {
		ports[port.Name] = port.ContainerPort
	}
	require.Equal(t, ":8443", values["admin.listen"])
	require.Equal(t, 8443, ports["api"])
	require.Equal(t, ":9813", values["admin.metrics_listen"])
	require.Equal(t, 9813, ports["metrics"])
	require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
	require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
	require.Equal(t, "api", objects["Service"].Spec.Ports[0].TargetPort)
	mounts := map[string]bool{}
	for _, mount := range c.VolumeMounts {
		mounts[mount.MountPath] = true
	}
	for _, key := range []string{"master_key_file", "admin.tls_cert_file", "admin.tls_key_file"} {
		folder := values[key][:strings.LastIndexByte(values[key], '/')]
		require.True(t, mounts[folder], "%s: %s is not mounted", key, folder)
	}
}
