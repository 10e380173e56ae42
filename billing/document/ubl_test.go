package document

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUBLSmoke(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteUBL(&b, sample(t, 2)))
	if folder := os.Getenv("DOCUMENT_TEST_OUT"); folder != "" {
		require.NoError(t, os.WriteFile(folder+"/invoice.xml", b.Bytes(), 0o600))
	}
}
