package document

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func vouchers(t testing.TB, n int) VoucherSheet {
	s := VoucherSheet{
		Title: "Café Ζέφυρος Hotspot", Value: "1 day, 2 GB", Validity: "24 hours from first use",
		Text: "Connect to “zephyros”, open any page and type the code.", QR: "https://hotspot.example/login?voucher={code}",
		IssuedOn: day(t, "2026-02-01"),
	}
	for k := range n {
		s.Codes = append(s.Codes, fmt.Sprintf("K7PQ-%04d-XW3M", k))
	}
	return s
}

func TestVoucherSheet(t *testing.T) {
	sheet := vouchers(t, 23)
	var b, again bytes.Buffer
	require.NoError(t, WriteVoucherSheet(&b, sheet))
	require.NoError(t, WriteVoucherSheet(&again, sheet))
	require.Equal(t, b.Bytes(), again.Bytes())
	if folder := os.Getenv("DOCUMENT_TEST_OUT"); folder != "" {
		require.NoError(t, os.WriteFile(folder+"/vouchers.pdf", b.Bytes(), 0o600))
	}
	text := textOf(t, b.Bytes())
	for _, code := range sheet.Codes {
		require.Equal(t, 1, strings.Count(text, code), code)
	}
	require.Equal(t, 23, strings.Count(text, sheet.Title))
	require.Equal(t, 23, strings.Count(text, sheet.Value))
	require.Equal(t, 3, strings.Count(text, "\f"), "pages")
}

func TestVoucherSheetRefuses(t *testing.T) {
	for name, change := range map[string]func(*VoucherSheet){
		"no codes":           func(s *VoucherSheet) { s.Codes = nil },
		"a code in Cyrillic": func(s *VoucherSheet) { s.Codes[1] = "КОД-0001" },
		"a line feed":        func(s *VoucherSheet) { s.Codes[1] = "A\nB" },
		"an empty code":      func(s *VoucherSheet) { s.Codes[1] = "" },
		"too many columns":   func(s *VoucherSheet) { s.Columns = 5 },
		"negative rows":      func(s *VoucherSheet) { s.Rows = -1 },
		"a long QR code":     func(s *VoucherSheet) { s.QR = strings.Repeat("x", 4000) },
		"an unknown locale":  func(s *VoucherSheet) { s.Options.Locale = "xx" },
		"too many":           func(s *VoucherSheet) { s.Codes = make([]string, MaxVouchers+1) },
	} {
		t.Run(name, func(t *testing.T) {
			sheet := vouchers(t, 3)
			change(&sheet)
			err := WriteVoucherSheet(&bytes.Buffer{}, sheet)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "КОД")
		})
	}
}
