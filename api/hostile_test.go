package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// canary begins every secret that a generated request has. No answer may have it.
const canary = "canary-7f3a91"

// secretFields are the properties whose values are secrets.
var secretFields = []string{"password", "current_password", "new_password", "secret", "hash", "code", "mfa_token", "refresh_token"}

// hostileTexts are texts that programs stumble over.
var hostileTexts = []string{
	"", " ", "\x00", "a\x00b", "\\u0000", "null", "0", "-1", "true", "[]", "{}",
	"'; DROP TABLE users; --", `" OR ""="`, "1) UNION SELECT password_hash FROM operators --", `\`, `%`, `_`, "%'", "$1", "?1", "{{7*7}}", "${jndi:ldap://x}",
	"=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\tx", "a,b;c\"d", "line\r\nSet-Cookie: x=1", "line\nlevel=ERROR msg=forged", "\x1b[31mred",
	"../../etc/passwd", "..%2f", "http://169.254.169.254/", "<script>alert(1)</script>",
	"ä", "é", "\u202e", "\ufeff", "\u0130", "\U0001F600", "\ufffd", "\u2028", strings.Repeat("\u0301", 20), strings.Repeat("x", 254), strings.Repeat("ü", 253), strings.Repeat("A", 70_000),
	"NaN", "1e999", "9223372036854775808", "0x10", "１２", "2030-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2030-01-01T00:00:00+23:59", "-4713-01-01T00:00:00Z",
	"2030-01-01", "0001-01-01", "9999-12-31", "2016-12-31T23:59:60Z", "255.255.255.255", "::", "::ffff:1.2.3.4", "fe80::1%eth0", "10.0.0.0/33", "0.0.0.0/0", "1.2.3.4/0032",
	"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "{0193d9a0-0000-7000-8000-000000000001}", "0193d9a0000070008000000000000001", "Wk2400-9999", "Wk0800-1800", "(?:a+)+$", "^(a|a)*$",
	"whsec_", "rd_", "eyJhbGciOiJub25lIn0.e30.", "*", "W/\"x\"",
}

// hostileValues are values of every type, for where another is wanted.
func hostileValues() []any {
	deep := any("x")
	for range 20 {
		deep = map[string]any{"a": deep}
	}
	list := []any{
		nil, true, false, 0, -1, 1.5, 1e300, -1e300, json.Number("1e999"), json.Number("9223372036854775807"), json.Number("9223372036854775808"), json.Number("-9223372036854775809"),
		json.Number("18446744073709551616"), json.Number("0.1e1"), json.Number("1E0"), json.Number("-0"), []any{}, map[string]any{}, []any{nil}, []any{[]any{[]any{}}}, deep,
		map[string]any{"$ref": "#/components/schemas/User"}, map[string]any{"__proto__": map[string]any{"role": "owner"}}, slices.Repeat([]any{"x"}, 300),
	}
	for _, text := range hostileTexts {
		list = append(list, text)
	}
	return list
}

// extraProperties are what a client might try to set that is not his to set.
var extraProperties = []string{"id", "role", "roles", "permissions", "password_hash", "balance", "created_at", "updated_at", "built_in", "mfa", "totp_secret", "operator_id", "batch_id", "", "\x00", "Name", "USERNAME", "$where"}

// generator draws requests. It aims at what there is.
type generator struct {
	rt   *rapid.T
	f    *fixture
	pool map[string][]string // ids by the first step of the path, e.g. users
}

// one returns true once in n times.
func (g *generator) one(n int, label string) bool { return rapid.IntRange(1, n).Draw(g.rt, label) == n }

func pick[T any](g *generator, list []T, label string) T {
	return rapid.SampledFrom(list).Draw(g.rt, label)
}

func (g *generator) hostileText(label string) string {
	if g.one(4, label+" any") {
		return rapid.String().Draw(g.rt, label)
	}
	return pick(g, hostileTexts, label)
}

// request draws a request to the operation; one in three is good by the specification.
func (g *generator) request(o *specOperation) request {
	wrong := g.one(3, "wrong")
	hostile := func(label string) bool { return wrong && g.one(3, label+" is wrong") }
	r := request{method: o.method}
	steps := strings.Split(o.path, "/")
	query := url.Values{}
	header := func(name, value string) {
		if clean := headerText(value); clean != "" {
			r.headers = append(r.headers, name, clean)
		}
	}
	for _, p := range o.parameters() {
		value := func() string {
			if hostile(p.Name) {
				return g.hostileText(p.Name)
			}
			return fmt.Sprint(g.value(p.Name, p.Schema.Value))
		}
		switch p.In {
		case openapi3.ParameterInPath:
			id := g.id(o, p.Name)
			if hostile(p.Name) {
				id = g.hostileText(p.Name)
			}
			for i, step := range steps {
				if step == "{"+p.Name+"}" {
					steps[i] = url.PathEscape(id)
				}
			}
		case openapi3.ParameterInQuery:
			if p.Name == "cursor" && !g.one(4, "cursor at all") {
				continue // most cursors are of another list
			}
			if p.Required && !hostile(p.Name+" left out") || g.one(4, p.Name+" sent") {
				query.Add(p.Name, value())
			}
			if hostile(p.Name + " twice") {
				query.Add(p.Name, value())
			}
		case openapi3.ParameterInHeader:
			if g.one(4, p.Name+" sent") {
				header(p.Name, value())
			}
		case openapi3.ParameterInCookie:
			if g.one(2, p.Name+" sent") {
				header("Cookie", p.Name+"="+value())
			}
		}
	}
	if hostile("query") {
		query.Add(g.hostileText("query name"), g.hostileText("query value"))
	}
	r.target = strings.Join(steps, "/")
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	if o.RequestBody != nil {
		r.body = g.body(o, wrong)
	}
	if o.body() == nil && o.RequestBody != nil {
		header("Content-Type", "text/csv")
	}
	if hostile("Content-Type") {
		header("Content-Type", pick(g, []string{"text/plain", "application/xml", "application/json; charset=utf-16", "application/json;", "application/x-www-form-urlencoded", "multipart/form-data", ";;;", "application/JSON", "application/merge-patch+json"}, "content type"))
	}
	if hostile("Accept") {
		header("Accept", pick(g, []string{"text/csv", "image/png", "*/*;q=0", ";;", "application/json"}, "accept"))
	}
	if hostile("X-HTTP-Method-Override") {
		header("X-HTTP-Method-Override", "DELETE")
	}
	return r
}

// headerText takes out what no HTTP client sends in a header.
func headerText(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s[:min(len(s), 20_000)]))
}

// id draws the id of a thing of the operation's kind; sometimes of another, or of none.
// What deletes spares the fixture.
func (g *generator) id(o *specOperation, name string) string {
	kind := strings.Split(o.path, "/")[1]
	if !strings.HasSuffix(name, "_id") {
		return g.f.parameter(o.path, name)
	}
	switch rapid.IntRange(0, 9).Draw(g.rt, name+" of") {
	case 0:
		return "0193d9a0-0000-7000-8000-000000000002" // nobody's
	case 1:
		if deletes(o) == 0 {
			return pick(g, []string{g.f.user.String(), g.f.plan.String(), g.f.operator.String(), g.f.session.String()}, "another")
		}
	case 2, 3, 4:
		if deletes(o) == 0 {
			return g.f.parameter(o.path, name)
		}
	}
	if known := g.pool[kind]; len(known) > 0 {
		return pick(g, known, name)
	}
	if deletes(o) == 0 {
		return g.f.parameter(o.path, name)
	}
	return "0193d9a0-0000-7000-8000-000000000002"
}

// body draws what to send: of the schema, spoiled in a place, or no JSON at all.
func (g *generator) body(o *specOperation, wrong bool) any {
	schema := o.body()
	if schema == nil {
		return g.file(wrong)
	}
	value := g.value("", schema)
	if o.method == http.MethodPatch { // null resets a field
		for _, name := range slices.Sorted(maps.Keys(value.(map[string]any))) {
			switch rapid.IntRange(0, 5).Draw(g.rt, "patch "+name) {
			case 0:
				value.(map[string]any)[name] = nil
			case 1, 2:
				delete(value.(map[string]any), name)
			}
		}
	}
	if !wrong {
		return value
	}
	switch rapid.IntRange(0, 9).Draw(g.rt, "body") {
	case 0:
		return pick(g, []string{"", "null", "[]", "{", `{"name":`, "\xff\xfe", `"x"`, "0", "{}{}", `{"name":"a","name":"b"}`, strings.Repeat("[", 100_000), `{"name":"\ud800"}`, "\ufeff{}", "// x\n{}", `{"name":NaN}`, `{'a':1}`}, "text")
	case 1:
		return pick(g, hostileValues(), "instead")
	case 2:
		if object, ok := value.(map[string]any); ok {
			object[pick(g, extraProperties, "extra")] = pick(g, hostileValues(), "extra value")
		}
		return value
	}
	return g.spoil(value)
}

// spoil replaces one value in v.
func (g *generator) spoil(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 || g.one(8, "here") {
			break
		}
		name := pick(g, slices.Sorted(maps.Keys(v)), "in")
		if g.one(6, "without") {
			delete(v, name)
		} else if slices.Contains(secretFields, name) {
			v[name] = pick(g, []any{nil, 1, true, []any{}, map[string]any{}, canary + "\x00", canary + strings.Repeat("x", 1000), canary + "\xff"}, "secret")
		} else {
			v[name] = g.spoil(v[name])
		}
		return v
	case []any:
		if len(v) == 0 || g.one(4, "here") {
			break
		}
		i := rapid.IntRange(0, len(v)-1).Draw(g.rt, "at")
		v[i] = g.spoil(v[i])
		return v
	}
	return pick(g, hostileValues(), "instead")
}

// file draws what is to be imported.
func (g *generator) file(wrong bool) string {
	if wrong && g.one(2, "no file") {
		return pick(g, []string{"", "\x00", "\xff", "username\n", "username,username\na,b\n", "nonsense\nx\n", "username,password\n\"open", "username,plan\nx,no such plan\n", `{"username":1}`, "{", "[]\n", strings.Repeat("x,", 10_000), "username\n" + strings.Repeat("x", 100_000)}, "file")
	}
	var b strings.Builder
	b.WriteString("username,password,status,expires_at\n")
	for range rapid.IntRange(0, 3).Draw(g.rt, "lines") {
		cell := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
		fmt.Fprintf(&b, "%s,%s,%s,%s\n", cell(g.hostileText("username")), canary+"-imported",
			pick(g, []string{"active", "disabled", "", "x"}, "status"), pick(g, []string{"", "2030-01-01T00:00:00Z", "yesterday"}, "expires_at"))
	}
	return b.String()
}

// value draws a value that the schema takes; at is its property.
func (g *generator) value(at string, schema *openapi3.Schema) any {
	if slices.Contains(secretFields, at) {
		if strings.HasSuffix(at, "password") && g.one(2, "the password") {
			return testPassword
		}
		return pick(g, []string{canary + "-a-long-enough-secret", canary + " ü '\"\\ <>&"}, at)
	}
	if len(schema.Enum) > 0 {
		return pick(g, schema.Enum, at)
	}
	if schema.Type.Includes("null") && g.one(4, at+" null") {
		return nil
	}
	switch {
	case schema.Type.Includes("object"):
		object := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			if slices.Contains(schema.Required, name) || g.one(3, name+" sent") {
				object[name] = g.value(name, schema.Properties[name].Value)
			}
		}
		if extra := schema.AdditionalProperties.Schema; extra != nil {
			for range rapid.IntRange(0, 2).Draw(g.rt, at+" more") {
				object[pick(g, []string{"user", "from", "to", "limit", "x", "group_by", "username"}, "name")] = g.value("", extra.Value)
			}
		}
		return object
	case schema.Type.Includes("array"):
		list := []any{}
		for range rapid.IntRange(int(schema.MinItems), int(schema.MinItems)+2).Draw(g.rt, at+" items") {
			list = append(list, g.value(strings.TrimSuffix(at, "s"), schema.Items.Value))
		}
		return list
	case schema.Type.Includes("integer"):
		low, high := int64(0), int64(1)<<53
		if schema.Min != nil {
			low = int64(*schema.Min)
		}
		if schema.Max != nil {
			high = int64(*schema.Max)
		}
		if at == "count" {
			high = min(high, 5) // how many users to make
		}
		return rapid.Int64Range(low, high).Draw(g.rt, at)
	case schema.Type.Includes("boolean"):
		return rapid.Bool().Draw(g.rt, at)
	case schema.Format == "uuid":
		if id := g.f.ids()[at]; id != uuid.Nil && g.one(2, at+" known") {
			return id.String()
		}
		return pick(g, []string{g.f.plan.String(), g.f.group.String(), g.f.nas.String(), g.f.user.String(), g.f.session.String(), g.f.actionBatch.String(), "0193d9a0-0000-7000-8000-000000000003", "00000000-0000-0000-0000-000000000000"}, at)
	case schema.Format == "date-time":
		return pick(g, []string{"2030-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2030-06-01T12:00:00+14:00", "2030-06-01t12:00:00z"}, at)
	case schema.Format == "date":
		return pick(g, []string{"2026-01-01", "2024-02-29", "0001-01-01", "9999-12-31", "1970-01-01"}, at)
	}
	return g.text(at, schema)
}

// texts are what fields with a meaning may well have.
var texts = map[string][]string{
	"address":     {"192.0.2.77", "10.0.0.0/8", "2001:db8::/32", "::1", "::ffff:192.0.2.1", "0.0.0.0/0", "10.1.2.3/8", "fe80::1%1"},
	"nas_ip":      {"192.0.2.1", "::1", "x"},
	"framed_ip":   {"198.51.100.1", "2001:db8::1", "10.0.0.0/8"},
	"contains":    {"192.0.2.1", "::1", "x", "fe80::1%1"},
	"attribute":   {"Filter-Id", "Reply-Message", "Tunnel-Type:1", "NAS-Port", "Framed-IP-Address", "User-Password", "MS-MPPE-Send-Key", "No-Such", "26.9.1", "Session-Timeout", "Cisco-AVPair"},
	"value":       {"text", "1", "192.0.2.1", "0x00ff", "VLAN", "4294967296", "-1", "^a.*", "%{User-Name}"},
	"role":        {"read-only", "owner", "admin", "fixture", "no-such"},
	"permission":  {"users:read", "status:read", "no:such", "*"},
	"source":      {"127.0.0.0/8", "::/0", "10.0.0.1", "x"},
	"url":         {"https://192.0.2.1/hook", "http://127.0.0.1/", "http://localhost/", "ftp://x", "https://u:p@example.org/", "https://[::1]:99999/"},
	"event":       {"user.*", "user.created", "*", "", "."},
	"login_hours": {"Wk0800-1800", "Al", "Sa,Su", "Mo2300-0500", "Any2359-0000"},
	"vendor":      {"mikrotik", "cisco", "no-such", ""},
	"filter":      {"fixture"},
	"plan":        {"fixture", "x"},
	"email":       {"a@example.org", "A B <a@example.org>", "a@b@c", "a"},
	"sort":        {"name"},
	"If-Match":    {"*", `"0123"`, `W/"x", "y"`, ","},
	"cursor":      {"x", "AAAA", "e30", "eyJ2IjoxfQ", "0"},
	"format":      {"csv"},
	"amount":      {"0", "1.00", "29.90", "-5.5", "0.001", "999999999999999", "999999999999.99", "-999999999999.99", "1000000000000.01", "00.10"},
	"currency":    {"EUR", "EUR", "EUR", "JPY", "KWD", "XXX"},
	"price":       {"0", "0.10", "0.000000000001", "999999999999999"},
	"percent":     {"0", "19", "100", "101", "999.999999999999"},
	"class":       {"standard", "reduced"},
	"tax_class":   {"standard", "", "no-such"},
	"series":      {"INV", "A/1", "CN"},
	"number":      {"INV-", "INV-000001", "CN-"},
	"hours":       {"Wk0800-1800", "", "Wk2400-9999"},
}

// text draws a text within the schema's bounds.
func (g *generator) text(at string, schema *openapi3.Schema) string {
	if known := g.pool[at]; at == "cursor" && len(known) > 0 && !g.one(4, "cursor any") {
		return pick(g, known, at)
	}
	if known := texts[at]; known != nil && !g.one(4, at+" any") {
		return pick(g, known, at)
	}
	if at == "cursor" || at == "q" || g.one(3, at+" hostile") {
		text := strings.ReplaceAll(g.hostileText(at), "\x00", "")
		if n := len([]rune(text)); (schema.MaxLength == nil || n <= int(*schema.MaxLength)) && n >= int(schema.MinLength) {
			return text
		}
	}
	most := 30
	if schema.MaxLength != nil {
		most = min(most, int(*schema.MaxLength))
	}
	return rapid.StringOfN(rapid.RuneFrom([]rune("abcdefghijklmnop-_.@ 019ÄßЖ\"'\\")), int(schema.MinLength), max(most, int(schema.MinLength)), -1).Draw(g.rt, at)
}
