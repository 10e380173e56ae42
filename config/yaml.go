package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"radiusd/internal/spelling"
)

// maxFileBytes bounds the configuration file; a real one has a few kilobytes.
const maxFileBytes = 1 << 20

// fileValue is what the file says for one key: a text, or a list of them.
type fileValue struct {
	line int
	text string
	list []string // valid if isList
	// isList tells a YAML sequence from a single value.
	isList bool
}

// fileReader collects the values and problems of one YAML file.
type fileReader struct {
	name     string
	keys     map[string]bool // every leaf's key
	sections map[string]bool // every prefix of a key, without the dot
	values   map[string]fileValue
	problems Problems
}

func newFileReader(name string, fields []field) *fileReader {
	r := &fileReader{name: name, keys: map[string]bool{}, sections: map[string]bool{}, values: map[string]fileValue{}}
	for _, f := range fields {
		r.keys[f.key] = true
		for at, letter := range f.key {
			if letter == '.' {
				r.sections[f.key[:at]] = true
			}
		}
	}
	return r
}

func (r *fileReader) fail(line int, key, format string, args ...any) {
	r.problems = append(r.problems, &Problem{
		Origin: Origin{Kind: FromFile, Name: r.name, Line: line}, Key: key, Err: fmt.Errorf(format, args...),
	})
}

// read takes the file's content apart. What it finds is in values and problems.
func (r *fileReader) read(content []byte) {
	if len(content) > maxFileBytes {
		r.fail(0, "", "larger than %d bytes: not a configuration of radiusd", maxFileBytes)
		return
	}
	file, err := parser.ParseBytes(content, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, message := 0, err.Error()
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			message = syntax.GetMessage()
			if tk := syntax.GetToken(); tk != nil && tk.Position != nil {
				line = tk.Position.Line
			}
		}
		r.fail(line, "", "not valid YAML: %s", message)
		return
	}
	first := true
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		if !first {
			r.fail(lineOf(doc.Body), "", "a second document: want one only")
			return
		}
		first = false
		body, ok := doc.Body.(ast.MapNode)
		if !ok {
			r.fail(lineOf(doc.Body), "", "want keys with values, like data_dir: data")
			return
		}
		r.mapping(body, "")
	}
}

// mapping reads the pairs of one mapping; prefix is "" or ends with a dot.
func (r *fileReader) mapping(node ast.MapNode, prefix string) {
	seen := map[string]int{}
	for pairs := node.MapRange(); pairs.Next(); {
		keyNode, value := pairs.Key(), pairs.Value()
		line := 0
		name := ""
		if tk := keyNode.GetToken(); tk != nil {
			name = tk.Value
			if tk.Position != nil {
				line = tk.Position.Line
			}
		}
		key := prefix + name
		if keyNode.IsMergeKey() {
			r.fail(line, "", "merge keys (<<) are not supported")
			continue
		}
		if earlier, twice := seen[name]; twice {
			r.fail(line, key, "given twice: first in line %d", earlier)
			continue
		}
		seen[name] = line
		switch {
		case r.sections[key]:
			r.section(value, key)
		case r.keys[key]:
			r.leaf(value, key, line)
		default:
			r.unknown(line, key, prefix)
		}
	}
}

func (r *fileReader) section(value ast.Node, name string) {
	switch node := value.(type) {
	case nil, *ast.NullNode:
	case ast.MapNode:
		r.mapping(node, name+".")
	default:
		r.fail(lineOf(value), name, "want keys with values, like {%s}", r.sectionExample(name))
	}
}

// sectionExample is the first key of the section, for an error.
func (r *fileReader) sectionExample(name string) string {
	for _, key := range Keys() {
		if rest, ok := strings.CutPrefix(key, name+"."); ok {
			return rest + ": …"
		}
	}
	return ""
}

func (r *fileReader) unknown(line int, key, prefix string) {
	var inSections []string // listen, for example, belongs into a section
	for _, known := range Keys() {
		if prefix == "" && strings.HasSuffix(known, "."+key) {
			inSections = append(inSections, known)
		}
	}
	hint := ""
	if len(inSections) > 0 {
		hint = "did you mean " + strings.Join(inSections, " or ") + "?"
	} else {
		hint = spelling.Hint(key, slices.Concat(Keys(), slices.Sorted(maps.Keys(r.sections))))
	}
	if hint != "" {
		hint = ": " + hint
	}
	r.fail(line, key, "unknown key%s", hint)
}

func (r *fileReader) leaf(value ast.Node, key string, line int) {
	if value == nil || value.Type() == ast.NullType {
		return // `key:` without a value leaves the default
	}
	if at := lineOf(value); at > 0 {
		line = at
	}
	if sequence, ok := value.(*ast.SequenceNode); ok {
		list := []string{}
		for _, element := range sequence.Values {
			text, ok := scalarText(element)
			if !ok {
				r.fail(lineOf(element), key, "want a list of single values")
				return
			}
			list = append(list, text)
		}
		r.values[key] = fileValue{line: line, list: list, isList: true}
		return
	}
	text, ok := scalarText(value)
	if !ok {
		r.fail(line, key, "want a single value (%s is not supported here)", strings.ToLower(value.Type().String()))
		return
	}
	r.values[key] = fileValue{line: line, text: text}
}

// scalarText returns a scalar as it stands in the file, so that every source of
// settings is read by the same rules.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func lineOf(node ast.Node) int {
	if node == nil {
		return 0
	}
	if tk := node.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line
	}
	return 0
}
