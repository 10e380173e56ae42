package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"radiusd/api"
)

// What is special about routes is about operations that there are, and every operation
// that takes or gives a file is special.
func TestAdminRoutesAreOperations(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.SpecYAML())
	require.NoError(t, err)
	streams := map[string]bool{}
	for _, route := range adminRoutes() {
		method, path, ok := strings.Cut(route.Pattern, " ")
		if !ok {
			continue // a folder
		}
		item := doc.Paths.Find(strings.TrimPrefix(path, api.BasePath))
		require.NotNil(t, item, route.Pattern)
		require.NotNil(t, item.GetOperation(method), route.Pattern)
		require.NotContains(t, streams, route.Pattern, "twice")
		streams[route.Pattern] = route.Stream
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			text, err := json.Marshal(op)
			require.NoError(t, err)
			if strings.Contains(string(text), `"format":"binary"`) {
				require.True(t, streams[method+" "+api.BasePath+path], "%s %s takes or gives a file and has no route of its own", method, path)
			}
		}
	}
}

func TestOpenAPICommand(t *testing.T) {
	s := newSite(t, "")
	require.Equal(t, string(api.SpecYAML()), s.admin("", "openapi").out)
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.admin("", "openapi", "--format", "json").out), &doc))
	require.Equal(t, "3.1.0", doc["openapi"])
	r := s.admin("", "openapi", "--format", "xml")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "want yaml or json")
}
