package radiusd_test

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowed holds, for each package of the module, the packages of the module it
// may import: the arrows of docs/architecture.md, downward only. A folder stands
// for everything below it.
var allowed = map[string][]string{
	"cmd":                 {"internal/cli"},
	"internal/cli":        {"internal/spelling", "internal/httpserver", "config", "api", "operator", "billing", "billing/bank", "billing/document", "billing/checkout", "billing/mail", "aaa", "aaa/userfile", "ingest", "journal", "report", "jobs", "store", "radius", "dictionary"},
	"internal/freeport":   {},
	"internal/testserver": {"internal/freeport"},
	"internal/teststore":  {"internal/testserver", "store"},
	"internal/httpserver": {},
	"deploy":              {},
	"scripts":             {"internal/freeport", "dictionary", "store"},
	"config":              {"internal/spelling"},
	"internal/spelling":   {},
	"internal/mailaddr":   {},
	"api":                 {"operator", "billing", "billing/bank", "billing/document", "billing/checkout", "billing/mail", "report", "jobs", "aaa", "aaa/userfile", "radius", "dictionary"},
	"operator":            {"internal/mailaddr", "radius", "dictionary"},
	"billing":             {"radius", "dictionary"},
	"billing/bank":        {"billing"},
	"billing/document":    {"billing"},
	"billing/checkout":    {"billing"},
	"billing/mail":        {"internal/mailaddr", "billing"},
	"jobs":                {},
	"ingest":              {"aaa", "journal"},
	"store":               {"aaa", "billing", "billing/bank", "billing/checkout", "operator", "ingest", "journal", "report", "radius", "dictionary"},
	"report":              {"aaa", "billing"},
	"aaa/userfile":        {"internal/spelling", "aaa"},
	"aaa":                 {"internal/mailaddr", "radius", "dictionary", "journal"},
	"radius":              {"dictionary"},
	"journal":             {},
	"dictionary":          {},
}

// TestImportsPointDownward keeps the house in order: who may import whom.
func TestImportsPointDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{join .Imports " "}}`, "./...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	checked := 0
	for line := range strings.Lines(string(out)) {
		importPath, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		from, ok := strings.CutPrefix(importPath, "radiusd/")
		if !ok {
			continue // the module's root has only this test
		}
		home := folder(from)
		require.Contains(t, allowed, home, "package %s is not in the drawing: give it a place in docs/architecture.md and here", importPath)
		for imported := range strings.FieldsSeq(imports) {
			to, ok := strings.CutPrefix(imported, "radiusd/")
			if !ok {
				requireOutside(t, home, imported)
				continue
			}
			checked++
			require.True(t, folder(to) == home || slices.Contains(allowed[home], folder(to)),
				"%s must not import %s", from, to)
		}
	}
	require.NotZero(t, checked)
}

// requireOutside holds what is agreed about packages of others: the journal
// lives on the standard library alone.
func requireOutside(t *testing.T, home, imported string) {
	if home == "journal" && strings.Contains(strings.Split(imported, "/")[0], ".") {
		require.True(t, strings.HasPrefix(imported, "golang.org/x/sys/"), "journal must not import %s", imported)
	}
}

// folder returns the entry of allowed that a package belongs to, the longest one.
func folder(pkg string) string {
	for place := pkg; place != "."; place = path.Dir(place) {
		if _, ok := allowed[place]; ok {
			return place
		}
	}
	return pkg
}
