package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func readSpec(t *testing.T) *specification {
	t.Helper()
	spec, err := readSpecification()
	require.NoError(t, err)
	return spec
}

// TestSpecificationSaysEverything holds the specification against what clients and the
// guard rely on.
func TestSpecificationSaysEverything(t *testing.T) {
	spec := readSpec(t)
	seen := map[string]bool{}
	for pattern, o := range spec.operations {
		assert.NotEmpty(t, o.id, pattern)
		assert.False(t, seen[o.id], "%s: operationId %s is taken", pattern, o.id)
		seen[o.id] = true
		assert.NotEmpty(t, o.Summary, pattern)
		require.Len(t, o.Tags, 1, pattern)
		assert.NotNil(t, spec.doc.Tags.Get(o.Tags[0]), "%s: tag %s", pattern, o.Tags[0])
		assert.NotNil(t, o.Responses.Default(), "%s: what an error looks like", pattern)
		if o.method == http.MethodPatch {
			name, _ := o.Extensions["x-patch-of"].(string)
			assert.NotNil(t, spec.doc.Components.Schemas[name], "%s: x-patch-of", pattern)
		}
		if o.RequestBody != nil && o.RequestBody.Value.Content["application/json"] != nil && o.method != http.MethodPatch {
			schema := o.RequestBody.Value.Content["application/json"].Schema.Value
			require.NotNil(t, schema.AdditionalProperties.Has, "%s: says nothing of unknown properties", pattern)
			assert.False(t, *schema.AdditionalProperties.Has, "%s takes unknown properties", pattern)
		}
	}
	assert.Greater(t, len(seen), 90)
}

func TestValidation(t *testing.T) {
	spec := readSpec(t)
	json := "application/json"
	tests := []struct {
		name, pattern, target, contentType, body string
		status                                   int
		field                                    string
	}{
		{"good", "POST /plans", "/plans", json, `{"name":"gold","rate_up":1000000}`, 0, ""},
		{"a character set", "POST /plans", "/plans", json + "; charset=utf-8", `{"name":"gold"}`, 0, ""},
		{"unknown property", "POST /plans", "/plans", json, `{"name":"gold","id":"x"}`, 422, "id"},
		{"property in another case", "POST /plans", "/plans", json, `{"name":"gold","NAME":"x"}`, 422, ""},
		{"missing", "POST /plans", "/plans", json, `{}`, 422, "name"},
		{"too long", "POST /plans", "/plans", json, `{"name":"` + strings.Repeat("x", 254) + `"}`, 422, "name"},
		{"negative", "POST /plans", "/plans", json, `{"name":"gold","rate_up":-1}`, 422, "rate_up"},
		{"fraction", "POST /plans", "/plans", json, `{"name":"gold","rate_up":1.5}`, 422, "rate_up"},
		{"not of the list", "POST /plans", "/plans", json, `{"name":"gold","quota_period":"year"}`, 422, "quota_period"},
		{"deep inside", "POST /plans", "/plans", json, `{"name":"gold","check_items":[{"attribute":"User-Name","op":"?","value":"x"}]}`, 422, "check_items[0].op"},
		{"NUL", "POST /plans", "/plans", json, `{"name":"go\u0000ld"}`, 422, ""},
		{"not JSON", "POST /plans", "/plans", json, `{"name":`, 400, ""},
		{"two values", "POST /plans", "/plans", json, `{"name":"gold"} {}`, 400, ""},
		{"no body", "POST /plans", "/plans", json, ``, 400, ""},
		{"not UTF-8", "POST /plans", "/plans", json, "{\"name\":\"\xff\"}", 400, ""},
		{"nested without end", "POST /plans", "/plans", json, strings.Repeat(`{"a":`, 5000), 400, ""},
		{"array", "POST /plans", "/plans", json, `[]`, 422, ""},
		{"form", "POST /plans", "/plans", "application/x-www-form-urlencoded", `name=gold`, 415, ""},
		{"no content type", "POST /plans", "/plans", "", `{"name":"gold"}`, 415, ""},
		{"merge patch", "PATCH /plans/{plan_id}", "/plans/0193d9a0-0000-7000-8000-000000000001", "application/merge-patch+json", `{"name":"gold"}`, 0, ""},
		{"not a UUID", "GET /plans/{plan_id}", "/plans/17", "", "", 422, "plan_id"},
		{"limit", "GET /plans", "/plans?limit=10", "", "", 0, ""},
		{"limit of nothing", "GET /plans", "/plans?limit=0", "", "", 422, "limit"},
		{"limit too high", "GET /plans", "/plans?limit=1001", "", "", 422, "limit"},
		{"limit no number", "GET /plans", "/plans?limit=x", "", "", 422, "limit"},
		{"limit empty", "GET /plans", "/plans?limit=", "", "", 400, ""},
		{"limit a fraction", "GET /plans", "/plans?limit=1.5", "", "", 422, "limit"},
		{"no boolean", "GET /plans", "/plans?count=perhaps", "", "", 422, "count"},
		{"no date of the calendar", "GET /users", "/users?expires_before=2030-02-30T00:00:00Z", "", "", 422, "expires_before"},
		{"the time of no time", "POST /api-tokens", "/api-tokens", json, `{"name":"x","permissions":["users:read"],"expires_at":"0001-01-01T00:00:00Z"}`, 422, "expires_at"},
		{"the time of no time in a filter", "GET /users", "/users?expires_before=0001-01-01T00:00:00Z", "", "", 422, "expires_before"},
		{"the day of no day", "POST /billing/runs", "/billing/runs", json, `{"as_of":"0001-01-01"}`, 422, "as_of"},
		{"too large", "POST /plans", "/plans", json, `{"name":"gold","rate_up":1e30}`, 422, "rate_up"},
		{"null", "POST /plans", "/plans", json, `{"name":null}`, 422, "name"},
		{"twice", "GET /plans", "/plans?limit=1&limit=2", "", "", 400, ""},
		{"unknown parameter", "GET /plans", "/plans?offset=5", "", "", 400, ""},
		{"unknown sort", "GET /plans", "/plans?sort=rate_up", "", "", 422, "sort"},
		{"NUL in a parameter", "GET /plans", "/plans?q=%00", "", "", 400, ""},
		{"no UTF-8 in a parameter", "GET /plans", "/plans?q=%ff", "", "", 400, ""},
		{"not a time", "GET /users", "/users?expires_before=yesterday", "", "", 422, "expires_before"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			method, path, _ := strings.Cut(test.pattern, " ")
			o := spec.operations[method+" "+BasePath+path]
			require.NotNil(t, o)
			r := httptest.NewRequest(method, BasePath+test.target, strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			for _, p := range o.item.Parameters {
				parts := strings.Split(r.URL.Path, "/")
				r.SetPathValue(p.Value.Name, parts[len(parts)-1])
			}
			err := spec.validate(o, r)
			if test.status == 0 {
				require.NoError(t, err)
				return
			}
			var p *problem
			require.ErrorAs(t, err, &p)
			assert.Equal(t, test.status, p.status, "%v %v", p, p.fields)
			if test.field != "" {
				require.NotEmpty(t, p.fields)
				assert.Equal(t, test.field, p.fields[0].Field)
				assert.NotContains(t, p.fields[0].Message, "Schema:")
			}
		})
	}
}

// What is wrong is told in words that need no knowledge of JSON Schema.
func TestWording(t *testing.T) {
	spec := readSpec(t)
	for body, want := range map[string]string{
		`{"name":"","permissions":["users:read"]}`:                        "name: must have at least 1 character, not 0",
		`{"name":"x","permissions":[]}`:                                   "permissions: must have at least 1 item, not 0",
		`{"name":"x","permissions":["users:read"],"expires_at":"soon"}`:   "expires_at: is not a time as 2006-01-31T15:04:05Z",
		`{"permissions":["users:read"]}`:                                  "name: is missing",
		`{"name":"x","permissions":["users:read"],"admin":true}`:          "admin: there is no such property",
		`{"name":"x","permissions":"users:read"}`:                         "permissions: got string, want array",
		`{"name":"` + strings.Repeat("x", 300) + `","permissions":["a"]}`: "name: must have at most 200 characters, not 300",
	} {
		var wrong broken
		var value any
		require.NoError(t, json.Unmarshal([]byte(body), &value))
		wrong.hold(spec.operations["POST "+BasePath+"/api-tokens"].body, "", value)
		require.Len(t, wrong, 1, body)
		assert.Equal(t, want, wrong[0].Field+": "+wrong[0].Message)
	}
	for limit, want := range map[string]string{"0": "must be at least 1", "1001": "must be at most 1000"} {
		r := httptest.NewRequest(http.MethodGet, BasePath+"/plans?limit="+limit, nil)
		var p *problem
		require.ErrorAs(t, spec.validate(spec.operations["GET "+BasePath+"/plans"], r), &p)
		assert.Equal(t, []FieldError{{Field: "limit", Message: want}}, p.fields)
	}
}

func TestMergePatch(t *testing.T) {
	// The examples of RFC 7396, appendix A, whose target is an object.
	tests := []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	}
	for _, test := range tests {
		var target, patch map[string]any
		require.NoError(t, json.Unmarshal([]byte(test.target), &target))
		require.NoError(t, json.Unmarshal([]byte(test.patch), &patch))
		got, err := json.Marshal(merge(target, patch))
		require.NoError(t, err)
		assert.JSONEq(t, test.want, string(got), "%s + %s", test.target, test.patch)
	}
}
