package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// deepest is how far examples go into schemas that hold others.
const deepest = 6

// telling are values for fields whose names say more than their types.
var telling = map[string]string{
	"username": "alice", "name": "home", "display_name": "Alice Example", "email": "alice@example.net", "password": "correct horse battery", "new_password": "correct horse battery",
	"plan": "home", "prefix": "192.0.2.1/32", "nas_ip": "192.0.2.1", "framed_ip": "203.0.113.9", "calling_station_id": "02-00-5E-00-53-01",
	"acct_session_id": "5A17", "attribute": "Session-Timeout", "op": ":=", "vendor": "mikrotik", "request_id": "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
	"code": "123456", "url": "https://hooks.example.net/radiusd", "secret": "a long random secret",
	"currency": "EUR", "series": "2027", "credit_series": "CN", "country": "DE", "iban": "DE02120300000000202051", "bic": "BYLADEM1001",
	"address": "1 Example Street", "city": "Berlin", "postcode": "10115", "phone": "+49 30 5550100",
}

// example makes up JSON that fits a schema. A patch has the first field alone.
func (r *reader) example(t tree, patch bool) (string, error) {
	v, err := r.value(t, "", 0)
	if err != nil {
		return "", err
	}
	if pairs, ok := v.(yaml.MapSlice); ok && patch && len(pairs) > 1 {
		v = pairs[:1]
	}
	var compact, indented bytes.Buffer
	if err := (tree{v}).appendJSON(&compact); err != nil {
		return "", err
	}
	err = json.Indent(&indented, compact.Bytes(), "", "  ")
	return indented.String(), err
}

func (r *reader) value(t tree, name string, depth int) (any, error) {
	t, _, err := r.resolve(t)
	if err != nil {
		return nil, err
	}
	for _, given := range []tree{{first(t.at("examples"))}, t.at("example"), t.at("default"), {first(t.at("enum"))}} {
		if given.there() {
			return given.value, nil
		}
	}
	kind := t.at("type").text()
	if kinds := t.at("type").texts(); len(kinds) > 0 {
		kind = kinds[0]
	}
	switch kind {
	case "object":
		object := yaml.MapSlice{}
		if depth == deepest {
			return object, nil
		}
		for _, p := range t.at("properties").entries() {
			v, err := r.value(p.value, p.key, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.key, err)
			}
			object = append(object, yaml.MapItem{Key: p.key, Value: v})
		}
		return object, nil
	case "array":
		if depth == deepest {
			return []any{}, nil
		}
		v, err := r.value(t.at("items"), name, depth+1)
		return []any{v}, err
	case "integer", "number":
		if least := t.at("minimum"); least.there() {
			return least.value, nil
		}
		return 0, nil
	case "boolean":
		return false, nil
	case "string":
		return exampleText(t.at("format").text(), name), nil
	}
	return nil, nil
}

func exampleText(format, name string) string {
	switch format {
	case "uuid":
		return "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
	case "date-time":
		return "2027-01-31T12:00:00Z"
	case "date":
		return "2027-01-31"
	}
	if text, ok := telling[name]; ok {
		return text
	}
	return "…"
}

func first(t tree) any {
	if items := t.items(); len(items) > 0 {
		return items[0].value
	}
	return nil
}

// curl writes the command that makes the request.
func curl(base string, o *operation) string {
	path, query := o.Path, []string{}
	for _, p := range o.Parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", "$"+strings.ToUpper(p.Name))
		case p.In == "query" && p.Required:
			query = append(query, p.Name+"=…")
		case p.In == "query" && p.Name == "limit":
			query = append(query, "limit=10")
		}
	}
	if len(query) > 0 {
		path += "?" + strings.Join(query, "&")
	}
	lines := []string{`curl -s "$RADIUSD` + base + path + `"`}
	if o.Method != "GET" {
		lines[0] = `curl -s -X ` + o.Method + ` "$RADIUSD` + base + path + `"`
	}
	if o.Permission != "public" {
		lines = append(lines, `-H "Authorization: Bearer $TOKEN"`)
	}
	if o.Body != nil {
		if o.Body.Example == "" {
			lines = append(lines, "--data-binary @FILE")
		} else {
			lines = append(lines, "-H 'Content-Type: application/json'", "-d '"+strings.ReplaceAll(o.Body.Example, "'", `'\''`)+"'")
		}
	}
	return strings.Join(lines, " \\\n  ")
}
