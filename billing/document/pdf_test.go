package document

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

func render(t testing.TB, invoice *billing.Invoice, options Options) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WritePDF(&b, invoice, options))
	if folder := os.Getenv("DOCUMENT_TEST_OUT"); folder != "" { // to look at
		name := strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()) + options.Locale + ".pdf"
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o600))
	}
	return b.Bytes()
}

// tool runs a program on a file and returns what it prints. Without the program the
// test is skipped; scripts/install-test-servers installs it.
func tool(t testing.TB, file []byte, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed: scripts/install-test-servers does it", name)
	}
	path := filepath.Join(t.TempDir(), "document.pdf")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	for i, arg := range args {
		if arg == "FILE" {
			args[i] = path
		}
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// textOf extracts a PDF's text.
func textOf(t testing.TB, file []byte) string {
	t.Helper()
	return tool(t, file, "pdftotext", "-layout", "-enc", "UTF-8", "FILE", "-")
}

func TestPDFSaysWhatTheInvoiceSays(t *testing.T) {
	invoice := sample(t, 3)
	text := textOf(t, render(t, invoice, Options{}))
	for _, want := range []string{
		"Nordlicht Netze GmbH", "Hafenstraße 12", "24937 Flensburg", "Zoë Müller-Łukasiewicz", "24103 Kiel",
		"Invoice RE-000042", "1 Feb 2026", "15 Feb 2026", "1 Jan 2026 – 31 Jan 2026", "Fibre 250 #3", "1 month", "19.99",
		"59.97 EUR", "VAT 19 % on 59.97 EUR", "11.39 EUR", "71.36 EUR", "DE89370400440532013000", "COBADEFFXXX",
		"Please pay 71.36 EUR by 15 Feb 2026, quoting RE-000042.", "Thank you.", "Page 1 of 1",
	} {
		require.Contains(t, text, want)
	}
}
