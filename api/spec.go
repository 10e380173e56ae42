package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"radiusd/operator"
)

//go:embed openapi.yaml
var specYAML []byte

// BasePath is what all paths of the specification begin with.
const BasePath = "/api/v1"

// SpecYAML returns the specification as it is written.
func SpecYAML() []byte { return specYAML }

// specification is openapi.yaml, read.
type specification struct {
	doc        *openapi3.T
	operations map[string]*operation         // by pattern, as http.ServeMux takes it
	inputs     map[string]*jsonschema.Schema // what patches make, by name in the components
}

// operation is what the specification says of one method of one path.
type operation struct {
	*openapi3.Operation
	id         string
	method     string
	path       string // as in the specification, e.g. /users/{user_id}
	item       *openapi3.PathItem
	access     access
	permission operator.Permission // if access is byPermission
	idempotent bool                // takes an Idempotency-Key
	ignores    bool                // ignores query parameters that it does not know
	parameters []parameter         // with those of its path
	body       *jsonschema.Schema  // of JSON; nil: it takes none
}

// access says who may call an operation.
type access uint8

const (
	byPermission access = iota
	signedIn            // every operator and API token
	public
)

// readSpecification returns the embedded specification. Nobody changes it, so that all
// who ask share what was read once.
var readSpecification = sync.OnceValues(parseSpecification)

// parseSpecification reads the embedded specification. An error is a mistake in it.
func parseSpecification() (*specification, error) {
	doc, err := openapi3.NewLoader().LoadFromData(specYAML)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	compiled, err := newSchemas(text)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	s := &specification{doc: doc, operations: map[string]*operation{}, inputs: map[string]*jsonschema.Schema{}}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := &operation{Operation: op, id: op.OperationID, method: method, path: path, item: item}
			if err := errors.Join(o.readAccess(), s.compile(o, compiled)); err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			o.ignores, _ = op.Extensions["x-ignores-parameters"].(bool)
			o.idempotent = op.Parameters.GetByInAndName(openapi3.ParameterInHeader, idempotencyHeader) != nil
			s.operations[method+" "+BasePath+path] = o
		}
	}
	return s, nil
}

// compile makes what the operation's requests are held against.
func (s *specification) compile(o *operation, schemas *schemas) (err error) {
	method := strings.ToLower(o.method)
	ofPath, err := schemas.parameters(o.item.Parameters, "paths", o.path)
	if err != nil {
		return err
	}
	own, err := schemas.parameters(o.Parameters, "paths", o.path, method)
	if err != nil {
		return err
	}
	o.parameters = append(ofPath, own...)
	if o.RequestBody != nil && o.RequestBody.Value.Content[jsonType] != nil {
		at := placeOf(o.RequestBody.Ref, "paths", o.path, method, "requestBody")
		if o.body, err = schemas.at(append(at, "content", jsonType, "schema")...); err != nil {
			return err
		}
	}
	if name, patches := o.Extensions["x-patch-of"].(string); patches {
		s.inputs[name], err = schemas.at("components", "schemas", name)
	}
	return err
}

// readAccess reads x-permission. Every operation must have one.
func (o *operation) readAccess() (err error) {
	switch text, _ := o.Extensions["x-permission"].(string); text {
	case "":
		return errors.New("x-permission is missing")
	case "public":
		o.access = public
	case "signed-in":
		o.access = signedIn
	default:
		o.permission, err = operator.ParsePermission(text)
	}
	if takesNobody := o.Security != nil && len(*o.Security) == 0; takesNobody != (o.access == public) {
		return errors.New("security and x-permission disagree")
	}
	return err
}

// schema returns a schema by its name in the components.
func (s *specification) schema(name string) *openapi3.Schema {
	ref := s.doc.Components.Schemas[name]
	if ref == nil {
		panic("api: the specification has no schema " + name)
	}
	return ref.Value
}

// writes reports whether the operation may change something.
func (o *operation) writes() bool {
	return o.method != http.MethodGet && o.method != http.MethodHead
}

// signsIn reports whether the operation's answers may have tokens.
func (o *operation) signsIn() bool { return slices.Contains(o.Tags, "auth") }
