package radius_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

func TestServerAnswers(t *testing.T) {
	s := serve(t, accept)
	auth, acct := dial(t, s.auth), dial(t, s.acct)
	require.Equal(t, radius.AccessAccept, auth.exchange(request(radius.AccessRequest, 1, testSecret, signed)).Code())
	require.Equal(t, radius.AccountingResponse, acct.exchange(request(radius.AccountingRequest, 1, testSecret)).Code())
	require.Equal(t, radius.AccountingResponse, acct.exchange(request(radius.AccountingRequest, 2, testSecret, signed)).Code())
	auth.silent()
	acct.silent()
}
