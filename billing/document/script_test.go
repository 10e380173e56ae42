package document

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

// names are one in each script that is right, as a person would type them.
var names = []struct{ script, name string }{
	{"Latin", "Łukasz Đặng Nguyễn-Şahin Ōé ÅÄÖ ẞ ǆ"},
	{"Greek", "Γιώργος Παπαδόπουλος ᾧ"},
	{"Cyrillic", "Олександр Щербак Ґалаґан Ђорђевић"},
	{"Arabic", "محمد عبد الله الخوارزمي"},
	{"Persian", "پژمان چگینی"},
	{"Hebrew", "ישראל ישראלי כהן"},
	{"Chinese", "王小明 電信服務有限公司"},
	{"Japanese", "山田太郎 サービス株式会社 ひらがな"},
	{"Korean", "김철수 주식회사 한국"},
	{"Thai", "สมชาย ใจดี น้ำใจ"},
	{"Devanagari", "अमित कुमार श्रीवास्तव"},
	{"Bengali", "রবীন্দ্রনাথ ঠাকুর"},
	{"Tamil", "சுப்பிரமணிய பாரதி"},
	{"Telugu", "శ్రీనివాస రావు"},
	{"Gujarati", "મહાત્મા ગાંધી"},
	{"Gurmukhi", "ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ"},
	{"Kannada", "ಕೃಷ್ಣ ಮೂರ್ತಿ"},
	{"Malayalam", "ശ്രീകുമാർ നായർ"},
	{"Sinhala", "ශ්\u200dරී ලංකාව"},
	{"Khmer", "សុខ សុវណ្ណ"},
	{"Lao", "ສົມໄຊ ວົງສາ"},
	{"Burmese", "အောင်ဆန်း"},
	{"Armenian", "Արամ Խաչատրյան"},
	{"Georgian", "შოთა რუსთაველი"},
	{"Amharic", "ኃይለ ሥላሴ"},
}

func TestNamesInEveryScriptCanBeCopied(t *testing.T) {
	for _, n := range names {
		t.Run(n.script, func(t *testing.T) {
			invoice := sample(t, 1)
			invoice.Buyer.Name = n.name
			invoice.Lines[0].Description = n.name
			text := textOf(t, render(t, invoice, Options{}))
			flat := strings.Join(strings.Fields(directionMarks.Replace(text)), " ")
			require.GreaterOrEqual(t, strings.Count(flat, n.name), 1, "%s", text)
		})
	}
}

// directionMarks are what pdftotext puts around text from right to left.
var directionMarks = strings.NewReplacer("\u202a", "", "\u202b", "", "\u202c", "", "\u200e", "", "\u200f", "")

// TestScripts puts all names onto one page, to look at.
func TestScripts(t *testing.T) {
	invoice := sample(t, 0)
	for k, n := range names {
		invoice.Lines = append(invoice.Lines, billing.InvoiceLine{
			Line: k + 1, Description: n.name + " – " + n.script + " 123 (" + n.name + ")", Quantity: dec(t, "1"), Net: 100, Gross: 100,
		})
	}
	out := tool(t, render(t, invoice, Options{}), "pdffonts", "FILE")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "CID TrueType") {
			require.Regexp(t, `yes yes yes`, line) // embedded, a subset, with Unicode
		}
	}
	require.Contains(t, out, "NotoSansArabic")
	require.Contains(t, out, "DroidSansFallback")
}
