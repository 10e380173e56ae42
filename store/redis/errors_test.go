package redis

import (
	"net"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// What a server answers to a wrong setting comes with what to change, and without
// the password.
func TestErrorsSayWhatToDo(t *testing.T) {
	server, err := url.Parse(testserver.Redis(t))
	require.NoError(t, err)
	nobody := net.JoinHostPort("127.0.0.1", strconv.Itoa(testserver.Port(t)))
	for name, test := range map[string]struct {
		url     string
		cluster bool
		says    string
	}{
		"wrong password": {"redis://someone:s3cret@" + server.Host, false, "the user or password in redis.url is wrong"},
		"database":       {"redis://" + server.Host + "/99999", false, "no database of the number"},
		"no cluster":     {"redis://" + server.Host, true, "leave redis.cluster false"},
		"nobody":         {"redis://:s3cret@" + nobody, false, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			view, err := NewView(Options{URL: test.url, Cluster: test.cluster})
			require.NoError(t, err)
			defer view.Close()
			_, err = view.serverTime(t.Context())
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}
