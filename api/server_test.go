package api_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestEveryOperationIsImplemented finds operations that nobody wrote a handler for.
func TestEveryOperationIsImplemented(t *testing.T) {
	var missing []string
	for _, o := range operations(t) {
		if !o.implemented {
			missing = append(missing, o.OperationID)
		}
	}
	assert.Empty(t, missing, "operations without a handler")
}
