package apidoc

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func specification(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../openapi.yaml")
	require.NoError(t, err)
	return text
}

// get asks the site for a path.
func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	site, err := New(specification(t))
	require.NoError(t, err)
	mux := http.NewServeMux()
	site.Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	require.Equal(t, http.StatusOK, w.Code)
	return w
}

func TestThePageHasEverything(t *testing.T) {
	w := get(t, Path)
	page := w.Body.String()
	doc, err := openapi3.NewLoader().LoadFromData(specification(t))
	require.NoError(t, err)
	operations := 0
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			operations++
			require.Contains(t, page, `id="`+op.OperationID+`"`)
			require.Contains(t, page, "<code>"+path+"</code>")
		}
	}
	require.Greater(t, operations, 50)
	for name := range doc.Components.Schemas {
		require.Contains(t, page, `id="schema-`+name+`"`)
	}
	// Every link within the page leads somewhere.
	for _, part := range strings.Split(page, `href="#`)[1:] {
		target, _, _ := strings.Cut(part, `"`)
		require.Contains(t, page, `id="`+target+`"`)
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	w := get(t, Path)
	page := w.Body.String()
	for _, from := range []string{"src=", "<link", "@import", "url(", "style=\"", " onclick", "javascript:"} {
		require.NotContains(t, page, from)
	}
	policy := w.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; script-src 'sha256-")
	require.NotContains(t, policy, "unsafe")
	// What the policy allows is what stands between the tags, to the octet.
	require.Contains(t, page, "<script>"+pageScript+"</script>")
	require.Contains(t, page, "<style>"+pageStyle+"</style>")
}

func TestTheSpecificationIsServed(t *testing.T) {
	w := get(t, YAMLPath)
	require.Equal(t, string(specification(t)), w.Body.String())
	require.True(t, strings.HasPrefix(w.Header().Get("ETag"), `W/"`))

	w = get(t, JSONPath)
	fromYAML, err := openapi3.NewLoader().LoadFromData(specification(t))
	require.NoError(t, err)
	fromJSON, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	require.NoError(t, err)
	want, err := fromYAML.MarshalJSON()
	require.NoError(t, err)
	got, err := fromJSON.MarshalJSON()
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(got))
	body := w.Body.String()
	require.Less(t, strings.Index(body, `"/auth/login"`), strings.Index(body, `"/users"`), "in the order of the file")
}

// What stands as an example can be sent: it keeps to the schema.
func TestExamplesAreValid(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(specification(t))
	require.NoError(t, err)
	d, err := read(specification(t))
	require.NoError(t, err)
	seen := 0
	for _, tag := range d.Tags {
		for _, o := range tag.Operations {
			if o.Body == nil || o.Body.Example == "" {
				continue
			}
			seen++
			op := doc.Paths.Find(o.Path).GetOperation(o.Method)
			var value any
			require.NoError(t, json.Unmarshal([]byte(o.Body.Example), &value), o.ID)
			assert.NoError(t, op.RequestBody.Value.Content.Get("application/json").Schema.Value.VisitJSON(value,
				openapi3.EnableFormatValidation()), "%s: %s", o.ID, o.Body.Example)
		}
	}
	require.Greater(t, seen, 20)
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for name, test := range map[string]struct{ old, new, want string }{
		"a reference to nothing": {"#/components/schemas/UserInput'", "#/components/schemas/Nobody'", "Nobody"},
		"a tag of its own":       {"tags: [users]", "tags: [nowhere]", "no tag of the list"},
		"no YAML":                {"openapi: 3.1.0", "openapi: [", "read the specification"},
	} {
		t.Run(name, func(t *testing.T) {
			text := bytes.Replace(specification(t), []byte(test.old), []byte(test.new), 1)
			_, err := New(text)
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := New([]byte("- a"))
	require.ErrorContains(t, err, "no mapping")
}

func TestDescriptionsAreNoHTML(t *testing.T) {
	require.Equal(t, "<p>a &lt;b&gt; <code>c&amp;d</code> <strong>e</strong></p><p>f</p>", string(prose("a <b> `c&d`\n**e**\n\nf\n")))
}
