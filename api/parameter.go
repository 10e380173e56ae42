package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// parameter is one that an operation takes.
type parameter struct {
	in, name string
	required bool
	kind     string // string, integer or boolean
	schema   *jsonschema.Schema
}

// parameters reads those of a path or of an operation, which is at the pointer.
func (s *schemas) parameters(list openapi3.Parameters, pointer ...string) (parameters []parameter, err error) {
	for i, ref := range list {
		at := placeOf(ref.Ref, append(slices.Clone(pointer), "parameters", strconv.Itoa(i))...)
		p := parameter{in: ref.Value.In, name: ref.Value.Name, required: ref.Value.Required}
		if types := ref.Value.Schema.Value.Type.Slice(); len(types) == 1 {
			p.kind = types[0]
		}
		if !slices.Contains([]string{openapi3.TypeString, openapi3.TypeInteger, openapi3.TypeBoolean}, p.kind) {
			return nil, fmt.Errorf("parameter %s is no string, integer or boolean", p.name)
		}
		if p.schema, err = s.at(append(at, "schema")...); err != nil {
			return nil, err
		}
		parameters = append(parameters, p)
	}
	return parameters, nil
}

// of returns the parameter's text in a request.
func (p *parameter) of(r *http.Request, query url.Values) (text string, given bool) {
	switch p.in {
	case openapi3.ParameterInPath:
		return r.PathValue(p.name), true
	case openapi3.ParameterInQuery:
		return query.Get(p.name), query.Has(p.name)
	case openapi3.ParameterInHeader:
		return r.Header.Get(p.name), r.Header.Values(p.name) != nil
	}
	cookie, err := r.Cookie(p.name)
	if err != nil {
		return "", false
	}
	return cookie.Value, true
}

// value returns what a text stands for as the parameter, as JSON has it.
func (p *parameter) value(text string) (value any, err error) {
	switch p.kind {
	case openapi3.TypeInteger:
		value, err = strconv.ParseInt(text, 10, 64)
	case openapi3.TypeBoolean:
		value, err = strconv.ParseBool(text)
	default:
		return text, nil
	}
	return value, plain(err, "is no "+p.kind)
}

// holdParameter holds a parameter against the request.
func (b *broken) holdParameter(p *parameter, r *http.Request, query url.Values) error {
	text, given := p.of(r, query)
	switch {
	case !given && p.required:
		return problemf(http.StatusBadRequest, "malformed_request", "parameter %s is missing", p.name)
	case !given:
		return nil
	case !isText(text):
		return problemf(http.StatusBadRequest, "malformed_request", "%s is not text", p.name)
	case text == "" && p.kind != openapi3.TypeString:
		return problemf(http.StatusBadRequest, "malformed_request", "parameter %s is empty", p.name)
	}
	value, err := p.value(text)
	if err != nil {
		b.add(p.name, err.Error())
		return nil
	}
	b.hold(p.schema, p.name, value)
	return nil
}
