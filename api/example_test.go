package api_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// request is what is sent to an operation.
type request struct {
	method, target string // target with the query, below the base path
	body           any
	headers        []string
}

// send sends the request as somebody, from an address of its own: what fails for one
// must not throttle the others.
func (c *client) send(r request) *answer {
	c.t.Helper()
	n := examples.Add(1)
	from := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return c.do(r.method, r.target, r.body, append(r.headers, addrHeader, from.String())...)
}

// example returns a request that is valid by the specification, with what it requires
// and nothing else.
func example(t tester, o *specOperation, f *fixture) request {
	t.Helper()
	r := request{method: o.method, target: f.target(o.path)}
	query := url.Values{}
	for _, p := range o.parameters() {
		if p.In == openapi3.ParameterInQuery && p.Required {
			query.Set(p.Name, fmt.Sprint(exampleOf(t, o, f, p.Name, p.Schema.Value)))
		}
	}
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	switch schema := o.body(); {
	case schema != nil:
		r.body = exampleOf(t, o, f, "", schema)
		if o.method == http.MethodPatch && len(r.body.(map[string]any)) == 0 {
			r.body = map[string]any{"auth_retention_days": 30}
		}
	case o.RequestBody != nil:
		r.body, r.headers = "username,password\nimported,some password\n", []string{"Content-Type", "text/csv"}
	}
	return r
}

var examples atomic.Int64

// exampleOf returns a value that the schema takes; at names its property.
func exampleOf(t tester, o *specOperation, f *fixture, at string, schema *openapi3.Schema) any {
	t.Helper()
	if value, ok := wellKnown(o, f, at); ok {
		return value
	}
	if len(schema.Enum) > 0 {
		return schema.Enum[0]
	}
	switch {
	case schema.Type.Includes("object"):
		object := map[string]any{}
		for name, property := range schema.Properties {
			if slices.Contains(schema.Required, name) || slices.Contains(wanted[o.OperationID], name) {
				object[name] = exampleOf(t, o, f, name, property.Value)
			}
		}
		return object
	case schema.Type.Includes("array"):
		return []any{exampleOf(t, o, f, at+"[]", schema.Items.Value)}
	case schema.Type.Includes("string"):
		return fmt.Sprintf("%s-%d-%0*d", o.method, examples.Add(1), schema.MinLength, 0)
	case schema.Type.Includes("integer"):
		if schema.Min != nil {
			return int64(*schema.Min) + 1
		}
		return 1
	case schema.Type.Includes("boolean"):
		return true
	}
	require.Fail(t, "an example is not known", "%s %s", o, at)
	return nil
}

// wanted are properties that an operation asks for though its schema, which serves
// others as well, does not require them.
var wanted = map[string][]string{
	"createNAS":          {"secret"},
	"createUser":         {"credential"},
	"setUserCredential":  {"password"},
	"createWebhook":      {"name"},
	"replaceWebhook":     {"name"},
	"changeSession":      {"attributes"},
	"createSubscription": {"plan_id"},
	"createOrder":        {"plan_id"},
	"changeSubscription": {"plan_id"},
	"assignBankEntry":    {"user_id"},
}

// wellKnown are values that mean something.
func wellKnown(o *specOperation, f *fixture, at string) (any, bool) {
	n := examples.Add(1)
	switch at {
	case "credential":
		return map[string]any{"scheme": "cleartext", "password": "another password"}, true
	case "scheme":
		return "cleartext", true
	case "name":
		return fmt.Sprintf("example-%d", n), true
	case "username":
		switch o.OperationID {
		case "erasePersonalData", "explainPolicy":
			return "fixture", true
		}
		return fmt.Sprintf("example-%d", n), true
	case "password", "current_password":
		return testPassword, true
	case "new_password":
		return testPassword + " again", true
	case "code":
		return "123456", true
	case "address":
		return fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255), true
	case "user_id":
		return f.user.String(), true
	case "invoice_id":
		return f.invoice.String(), true
	case "amount":
		return map[string]any{"amount": "1.00", "currency": "EUR"}, true
	case "currency":
		return "EUR", true
	case "price":
		return map[string]any{"amount": "19.90", "currency": "EUR"}, true
	case "percent":
		return "19", true
	case "series":
		return "INV", true
	case "credit_series":
		return "CN", true
	case "plan_id":
		return f.plan.String(), true
	case "group_id":
		return f.group.String(), true
	case "nas_id":
		return f.nas.String(), true
	case "roles":
		return []string{"read-only"}, true
	case "permissions":
		return []string{"status:read"}, true
	case "url":
		return "https://192.0.2.1/hook", true
	case "attribute":
		return "Filter-Id", true
	case "value":
		return "text", true
	case "filter":
		return map[string]any{"username": "fixture"}, true
	}
	return nil, false
}
