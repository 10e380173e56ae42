package api_test

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/operator"
)

// specOperation is an operation of the specification.
type specOperation struct {
	*openapi3.Operation
	method, path string // the path as in the specification
	item         *openapi3.PathItem
	// permission is what x-permission says: a permission, "signed-in" or "public".
	permission  string
	implemented bool
}

func (o *specOperation) String() string { return o.method + " " + o.path }

// needs returns the permission; not ok: none is asked for.
func (o *specOperation) needs() (p operator.Permission, ok bool) {
	p, err := operator.ParsePermission(o.permission)
	return p, err == nil
}

// body returns the schema of the JSON body; nil: it takes none.
func (o *specOperation) body() *openapi3.Schema {
	if o.RequestBody == nil || o.RequestBody.Value.Content["application/json"] == nil {
		return nil
	}
	if name, _ := o.Extensions["x-patch-of"].(string); name != "" {
		doc, _ := specification()
		return doc.Components.Schemas[name].Value
	}
	return o.RequestBody.Value.Content["application/json"].Schema.Value
}

// parameters returns the parameters of the operation and of its path.
func (o *specOperation) parameters() []*openapi3.Parameter {
	var list []*openapi3.Parameter
	for _, p := range slices.Concat(o.item.Parameters, o.Parameters) {
		list = append(list, p.Value)
	}
	return list
}

// operations returns all operations of the specification, what deletes last, so that
// the others find what they are to work on.
func operations(t tester) []*specOperation {
	t.Helper()
	doc, err := specification()
	require.NoError(t, err)
	var list []*specOperation
	var ids []string
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			permission, _ := o.Extensions["x-permission"].(string)
			list = append(list, &specOperation{Operation: o, method: method, path: path, item: item, permission: permission})
			ids = append(ids, o.OperationID)
		}
	}
	missing, unknown := api.Unimplemented(ids)
	require.Empty(t, unknown, "operationIds that no method of the generated server has")
	for _, o := range list {
		o.implemented = !missing[o.OperationID]
	}
	slices.SortFunc(list, func(a, b *specOperation) int {
		return cmp.Or(
			cmp.Compare(deletes(a), deletes(b)),
			strings.Compare(a.path, b.path), slices.Index(methods, a.method)-slices.Index(methods, b.method))
	})
	return list
}

func deletes(o *specOperation) int {
	if o.method == http.MethodDelete || strings.HasSuffix(o.path, "/erase") {
		return 1
	}
	return 0
}

// methods are those of RFC 9110 section 9.3 and RFC 5789, without CONNECT, which has no
// path, and one that nobody has heard of.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodOptions, http.MethodTrace, "PURGE",
}
