package api

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHashesTakeTurns: requests at once do not take the memory of as many hashes.
func TestHashesTakeTurns(t *testing.T) {
	h := users{hashing: make(turns, 1)}
	done, err := h.hashing.take(t.Context())
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	in := CredentialInput{Scheme: "argon2id", Password: "x"}
	_, err = h.credential(ended, "", in)
	require.ErrorIs(t, err, context.Canceled, "it waits")
	done()
	in.Scheme = "cleartext"
	_, err = h.credential(t.Context(), "", in)
	require.NoError(t, err)
}
