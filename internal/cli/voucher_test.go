package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVoucherSheets: where a sheet cannot be written, no codes are made that nobody has.
func TestVoucherSheets(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("user", "add", "alice", "--password", "x")
		nowhere := filepath.Join(s.dir, "none", "gift.pdf")
		create := []string{"voucher", "create", "gift", "--value", "10", "--currency", "EUR"}
		assert.Equal(t, "write "+nowhere+": no such file or directory", s.fails(exitFailed, append(create, "--pdf", nowhere)...))
		assert.Equal(t, "write "+s.dir+": is a directory", s.fails(exitFailed, append(create, "--pdf", s.dir)...))
		assert.Empty(t, s.rows("voucher", "list"))

		sheet := filepath.Join(s.dir, "gift.pdf")
		assert.Equal(t, "1 vouchers made, printed in "+sheet+"\n", s.ok(append(create, "--pdf", sheet)...))
		assert.FileExists(t, sheet)
		left, err := os.ReadDir(s.dir)
		require.NoError(t, err)
		assert.Len(t, left, 3, "the configuration, the data and the sheet")

		code := s.rows("voucher", "create", "more", "--value", "5", "--currency", "EUR")[0]["code"].(string)
		assert.Equal(t, "write "+nowhere+": no such file or directory", s.fails(exitFailed, "voucher", "print", "more", nowhere, "--new-codes", "--yes"))
		redeemed := s.runWith(code+"\n", "voucher", "redeem", "alice")
		assert.Equal(t, "voucher v2-00001 redeemed: 5.00 EUR for alice\n", redeemed.out, "the code is as it was: %s", redeemed.err)
		assert.Equal(t, "batch more has no new vouchers to print", s.fails(exitFailed, "voucher", "print", "more", sheet, "--new-codes", "--yes"))
	})
}
