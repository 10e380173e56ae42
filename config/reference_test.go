package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the reference and the example anew")

// TestReference keeps docs/configuration.md and deploy/radiusd.example.yaml in
// step with the comments of Config. `go generate ./config` writes them.
func TestReference(t *testing.T) {
	comments := structComments(t)
	for path, want := range map[string]string{
		"../docs/configuration.md":       reference(t, comments),
		"../deploy/radiusd.example.yaml": example(t, comments),
	} {
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		}
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, want, string(got), "%s is stale: run go generate ./config", path)
	}
}

func TestExampleIsTheDefault(t *testing.T) {
	c, err := Load("../deploy/radiusd.example.yaml", nil)
	require.NoError(t, err)
	for i, s := range c.Settings() {
		assert.Equal(t, Default().Settings()[i].Value, s.Value, s.Key)
		assert.Equal(t, FromFile, s.Origin.Kind, "%s is missing from the example", s.Key)
	}
}

// structComments maps "Config.DataDir" and "Auth" to their comments.
func structComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	require.NoError(t, err)
	comments := map[string]string{}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			typ := spec.(*ast.TypeSpec)
			comments[typ.Name.Name] = strings.Join(strings.Fields(gen.Doc.Text()), " ")
			structure, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range structure.Fields.List {
				comments[typ.Name.Name+"."+f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
	}
	return comments
}

// documented is one line of the struct with what is said about it.
type documented struct {
	field
	text       string
	section    string // set on the first key of a section
	sectionDoc string
	value      string
}

func documentation(t *testing.T, comments map[string]string) []documented {
	t.Helper()
	var list []documented
	section := ""
	for _, f := range fields() {
		structure, name := reflect.TypeFor[Config](), ""
		d := documented{field: f, value: formatValue(f.value(Default()))}
		for _, at := range f.index[:len(f.index)-1] {
			structure = structure.Field(at).Type
		}
		if dot := strings.LastIndexByte(f.key, '.'); dot >= 0 {
			name = f.key[:dot]
		}
		if name != section {
			section = name
			d.section, d.sectionDoc = name, strings.TrimPrefix(comments[structure.Name()], structure.Name()+" is ")
			d.sectionDoc = strings.TrimPrefix(d.sectionDoc, structure.Name()+" are ")
			require.NotEmpty(t, d.sectionDoc, structure.Name())
			d.sectionDoc = strings.ToUpper(d.sectionDoc[:1]) + d.sectionDoc[1:]
		}
		d.text = comments[structure.Name()+"."+structure.Field(f.index[len(f.index)-1]).Name]
		require.NotEmpty(t, d.text, "%s has no comment", f.key)
		list = append(list, d)
	}
	return list
}

func reference(t *testing.T, comments map[string]string) string {
	var b strings.Builder
	b.WriteString(`<!-- Written by go generate ./config from config/config.go; do not edit. -->
# Configuration

radiusd reads one YAML file: the one that ` + "`--config`" + ` names, else the one that
` + "`RADIUSD_CONFIG`" + ` names, else ` + "`radiusd.yaml`" + ` in the working directory, else
` + "`/etc/radiusd/radiusd.yaml`" + `, else none, and everything has its default. Every key
has an environment variable, which wins over the file; a flag wins over both.
Lists are comma-separated in a variable. Durations take a unit (` + "`500ms`, `10s`, `5m`,\n`12h`, `30d`" + `), sizes as well (` + "`64MiB`, `8GiB`, `1GB`" + `). Unknown keys are errors.

` + "`radiusd config check`" + ` names everything that is wrong, each with its line;
` + "`radiusd config show`" + ` prints the values in force and where each comes from.
[radiusd.example.yaml](../deploy/radiusd.example.yaml) has every key with its default.

## General
`)
	for _, d := range documentation(t, comments) {
		if d.section != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", d.section, wrap(d.sectionDoc, ""))
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n", d.key, wrap(d.text, ""))
		kind := kindName(d.typ)
		if d.oneOf != nil {
			kind = "one of `" + strings.Join(d.oneOf, "`, `") + "`"
		}
		value := "empty"
		if d.value != "" {
			value = "`" + d.value + "`"
		}
		fmt.Fprintf(&b, "- Type: %s\n- Default: %s\n- Environment: `%s`\n", kind, value, d.env())
	}
	return b.String()
}

func example(t *testing.T, comments map[string]string) string {
	var b strings.Builder
	b.WriteString("# Configuration of radiusd: every key with its default. Written by go generate\n" +
		"# ./config; a key that is left out has the same value.\n")
	for _, d := range documentation(t, comments) {
		parts := strings.Split(d.key, ".")
		name, indent := parts[len(parts)-1], strings.Repeat("  ", len(parts)-1)
		if d.section != "" {
			outer := strings.Repeat("  ", len(parts)-2)
			fmt.Fprintf(&b, "\n%s%s%s:\n", wrap(d.sectionDoc, outer+"# "), outer, parts[len(parts)-2])
		}
		if len(parts) == 1 {
			b.WriteString("\n")
		}
		value := d.value
		switch list, isList := d.field.value(Default()).Interface().([]string); {
		case isList:
			quoted := make([]string, len(list))
			for i, entry := range list {
				quoted[i] = fmt.Sprintf("%q", entry)
			}
			value = "[" + strings.Join(quoted, ", ") + "]"
		case value == "" || strings.Contains(value, ":"):
			value = fmt.Sprintf("%q", value)
		}
		fmt.Fprintf(&b, "%s%s%s: %s\n", wrap(d.text, indent+"# "), indent, name, value)
	}
	return b.String()
}

// wrap breaks text into lines of 80 columns, each with the prefix. With one, it
// ends with a newline.
func wrap(text, prefix string) string {
	var b strings.Builder
	line := prefix
	for _, word := range strings.Fields(text) {
		if len(line) > len(prefix) && len(line)+1+len(word) > 80 {
			b.WriteString(line + "\n")
			line = prefix
		}
		if len(line) > len(prefix) {
			line += " "
		}
		line += word
	}
	b.WriteString(line)
	if prefix != "" {
		b.WriteString("\n")
	}
	return b.String()
}

// kindName names a leaf's type for people.
func kindName(t reflect.Type) string {
	switch reflect.Zero(t).Interface().(type) {
	case time.Duration:
		return "duration"
	case slog.Level:
		return "log level"
	case []string:
		return "list of text"
	case Size:
		return "size"
	case bool:
		return "true or false"
	case int:
		return "whole number"
	default:
		return "text"
	}
}
