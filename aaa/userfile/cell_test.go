package userfile

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestProtect(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "alice": "alice", "a=b": "a=b", "'quoted'": "'quoted'", "=1+1": "'=1+1", "+43664": "'+43664",
		"-x": "'-x", "@sum": "'@sum", "\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx", "'=1": "''=1", "＝1": "'＝1",
	} {
		assert.Equal(t, want, Protect(in), "%q", in)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`'{0,3}[=+@x-]?.{0,3}`)).Draw(t, "text")
		protected := Protect(text)
		if startsFormula(protected) {
			t.Fatalf("%q is written as the formula %q", text, protected)
		}
		if got := Unprotect(protected); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
	})
}
