package radius_test

import (
	"testing"
	"testing/synctest"
	"time"

	"radiusd/dictionary"
	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The names of Error-Cause are those of the dictionary, and none of it is missing.
func TestErrorCauseNames(t *testing.T) {
	attribute, ok := dictionary.Embedded().ByType(uint8(radius.TypeErrorCause))
	require.True(t, ok)
	values := attribute.Values()
	require.NotEmpty(t, values)
	for _, value := range values {
		assert.Equal(t, value.Name, radius.ErrorCause(value.Number).String())
	}
	assert.Equal(t, "Location-Info-Required", radius.ErrorCauseLocationInfoRequired.String(), "RFC 5580")
	assert.Equal(t, "Response-Too-Big", radius.ErrorCauseResponseTooBig.String(), "RFC 7930")
	assert.Equal(t, "999", radius.ErrorCause(999).String())
	assert.Empty(t, radius.ErrorCause(0).String())

	assert.Equal(t, radius.ErrorCauseSessionContextNotFound, radius.Attributes(radius.AppendUint32(nil, radius.TypeErrorCause, 503)).ErrorCause())
	assert.Zero(t, radius.Attributes(radius.AppendString(nil, radius.TypeErrorCause, "503")).ErrorCause(), "three octets")
	assert.Zero(t, radius.Attributes(nil).ErrorCause())
}

// A trace counts what was sent and what was not taken, also of an exchange that
// succeeds: a forged answer to a Disconnect-Request does not end it, nor does the
// answer to another kind of request.
func TestExchangeTraced(t *testing.T) {
	for code, ack := range map[radius.Code]radius.Code{radius.DisconnectRequest: radius.DisconnectACK, radius.CoARequest: radius.CoAACK} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				count := 0
				network := &fakeNetwork{serve: func(send func([]byte), request radius.Packet) {
					switch count++; count {
					case 1:
						forged := response(request, ack, false)
						forged[4] ^= 1
						send(forged)
					case 2:
						send(response(request, radius.DisconnectACK+radius.CoAACK-ack, false))
					default:
						right := response(request, ack, false)
						send(right)
						send(right)
					}
				}}
				c := &radius.Client{Dial: network.dial, Random: func() float64 { return 0.5 }}
				defer c.Close()
				m := &radius.Message{Code: code}
				m.AddString(radius.TypeAcctSessionID, "0001")
				p, trace, err := c.ExchangeTraced(t.Context(), "192.0.2.1:3799", secret, m)
				require.NoError(t, err)
				assert.Equal(t, ack, p.Code())
				assert.Equal(t, radius.Trace{Attempts: 3, Elapsed: 6 * time.Second, Ignored: 2, Reason: radius.DiscardWrongCode}, trace)

				count = 2 // the second answer to the first request was of no harm
				_, trace, err = c.ExchangeTraced(t.Context(), "192.0.2.1:3799", secret, m)
				require.NoError(t, err)
				assert.Equal(t, radius.Trace{Attempts: 1}, trace)
			})
		})
	}
}
