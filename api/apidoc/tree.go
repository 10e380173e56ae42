package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// tree is a YAML value with its keys in their order: a yaml.MapSlice, a []any or a scalar.
// What is not there is the zero tree.
type tree struct{ value any }

// parse reads a YAML document.
func parse(text []byte) (tree, error) {
	var v any
	if err := yaml.UnmarshalWithOptions(text, &v, yaml.UseOrderedMap()); err != nil {
		return tree{}, fmt.Errorf("read the specification: %w", err)
	}
	if _, ok := v.(yaml.MapSlice); !ok {
		return tree{}, fmt.Errorf("read the specification: it is no mapping")
	}
	return tree{v}, nil
}

// at follows keys down.
func (t tree) at(keys ...string) tree {
	for _, key := range keys {
		pairs, _ := t.value.(yaml.MapSlice)
		t = tree{}
		for _, pair := range pairs {
			if fmt.Sprint(pair.Key) == key {
				t = tree{pair.Value}
				break
			}
		}
	}
	return t
}

// there reports whether there is a value.
func (t tree) there() bool { return t.value != nil }

// text is a scalar as text; empty if there is none.
func (t tree) text() string {
	if t.value == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprint(t.value))
}

func (t tree) yes() bool { return t.value == true }

// entry is a key with its value.
type entry struct {
	key   string
	value tree
}

// entries lists a mapping in its order.
func (t tree) entries() []entry {
	var list []entry
	pairs, _ := t.value.(yaml.MapSlice)
	for _, pair := range pairs {
		list = append(list, entry{fmt.Sprint(pair.Key), tree{pair.Value}})
	}
	return list
}

// items lists a sequence.
func (t tree) items() []tree {
	var list []tree
	values, _ := t.value.([]any)
	for _, v := range values {
		list = append(list, tree{v})
	}
	return list
}

// texts lists a sequence of scalars.
func (t tree) texts() []string {
	var list []string
	for _, item := range t.items() {
		list = append(list, item.text())
	}
	return list
}

// JSON turns the specification, as YAML, into JSON with the keys in their order.
func JSON(spec []byte) ([]byte, error) {
	t, err := parse(spec)
	if err != nil {
		return nil, err
	}
	var compact, indented bytes.Buffer
	if err := t.appendJSON(&compact); err != nil {
		return nil, err
	}
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

func (t tree) appendJSON(b *bytes.Buffer) error {
	switch v := t.value.(type) {
	case yaml.MapSlice:
		b.WriteByte('{')
		for i, e := range t.entries() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := (tree{e.key}).appendJSON(b); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := e.value.appendJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range t.items() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.appendJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		encoder := json.NewEncoder(b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			return fmt.Errorf("specification: %w", err)
		}
		b.Truncate(b.Len() - 1) // the newline
	}
	return nil
}
