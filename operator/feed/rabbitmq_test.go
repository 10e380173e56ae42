package feed

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// rabbitMQ starts a server of its own in a temporary folder and returns its URL.
func rabbitMQ(t *testing.T) string {
	t.Helper()
	program := "/usr/lib/rabbitmq/bin/rabbitmq-server" // what Debian has in PATH wants to change the user
	require.FileExists(t, program, "this test needs RabbitMQ: scripts/install-test-servers")
	dir, port, epmd := t.TempDir(), testserver.Port(t), testserver.Port(t)
	settings := filepath.Join(dir, "rabbitmq.conf")
	require.NoError(t, os.WriteFile(settings, fmt.Appendf(nil, "listeners.tcp.1 = 127.0.0.1:%d\n", port), 0o600))
	server := exec.Command(program)
	server.Env = append(os.Environ(), "HOME="+dir, "RABBITMQ_NODENAME=radiusd@localhost", "RABBITMQ_CONFIG_FILE="+settings,
		"RABBITMQ_MNESIA_BASE="+dir, "RABBITMQ_LOG_BASE="+dir, "RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "plugins"),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", testserver.Port(t)), fmt.Sprintf("ERL_EPMD_PORT=%d", epmd), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_PID_FILE="+filepath.Join(dir, "pid"))
	var output bytes.Buffer
	server.Stdout, server.Stderr = &output, &output
	server.WaitDelay = 10 * time.Second
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		pid, _ := os.ReadFile(filepath.Join(dir, "pid"))
		_ = exec.Command("kill", strings.TrimSpace(string(pid))).Run()
		_ = server.Wait()
		_ = exec.Command("epmd", "-port", fmt.Sprint(epmd), "-kill").Run()
	})
	address := fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", port)
	require.Eventually(t, func() bool {
		connection, err := amqp091.Dial(address)
		if err == nil {
			connection.Close()
		}
		return err == nil
	}, 3*time.Minute, 200*time.Millisecond, "%s", &output)
	return address
}

func TestRabbitMQ(t *testing.T) {
	address := rabbitMQ(t)
	connection, err := amqp091.Dial(address)
	require.NoError(t, err)
	defer connection.Close()
	channel, err := connection.Channel()
	require.NoError(t, err)
	require.NoError(t, channel.ExchangeDeclare("radiusd.events", "fanout", true, false, false, false, nil))
	_, err = channel.QueueDeclare("taken", true, false, false, false, nil)
	require.NoError(t, err)
	require.NoError(t, channel.QueueBind("taken", "", "radiusd.events", false, nil))

	f, err := New(Options{URL: address, Topic: "radiusd.events"})
	require.NoError(t, err)
	events := someEvents(3)
	require.NoError(t, f.Publish(t.Context(), events))
	for i := range events {
		got, ok, err := channel.Get("taken", true)
		require.NoError(t, err)
		require.True(t, ok, "what is confirmed is in the queue")
		requireBody(t, events[i], string(got.Body))
		assert.EqualValues(t, amqp091.Persistent, got.DeliveryMode)
		assert.Equal(t, "user.updated", got.Headers["type"])
	}
	require.NoError(t, f.Close())
}
