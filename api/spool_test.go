package api

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	kept, err := spool(strings.NewReader("alice,wonderland"))
	require.NoError(t, err)
	content, err := io.ReadAll(kept)
	require.NoError(t, err)
	assert.Equal(t, "alice,wonderland", string(content))
	onDisk, err := os.ReadFile(kept.file.Name())
	require.NoError(t, err)
	assert.Len(t, onDisk, len(content))
	assert.NotContains(t, string(onDisk), "wonderland")
	require.NoError(t, kept.Close())

	// Who hangs up in the middle leaves nothing.
	cut := errors.New("hung up")
	_, err = spool(io.MultiReader(strings.NewReader("alice,"), iotest.ErrReader(cut)))
	require.ErrorIs(t, err, cut)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, files)
}
