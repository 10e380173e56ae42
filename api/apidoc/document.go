package apidoc

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// document is what the page shows.
type document struct {
	Title, Version string
	Base           string // of all paths
	Intro          template.HTML
	Tags           []*tag
	Schemas        []schema
	Operations     int
}

// tag is a group of operations.
type tag struct {
	Name        string
	Description template.HTML
	Operations  []operation
}

// operation is one method of one path.
type operation struct {
	ID, Method, Path, Summary string
	Description               template.HTML
	Permission                string // as x-permission says: a permission, signed-in or public
	Parameters                []property
	Body                      *body
	Responses                 []response
	Curl                      string
}

// body is what a request carries.
type body struct {
	MediaType string
	Type      template.HTML
	PatchOf   string // the schema that a merge patch is of
	Example   string // JSON
}

// response is an answer.
type response struct {
	Status, Type string
	Description  template.HTML
	Schema       template.HTML
	Headers      string
}

// schema is a named schema.
type schema struct {
	Name        string
	Description template.HTML
	Type        template.HTML // of one that is no object
	Properties  []property
	Example     string
}

// property is a line of a table: of a schema's properties or of parameters.
type property struct {
	Name, In    string
	Required    bool
	Type        template.HTML
	Description template.HTML
}

var methods = []string{"get", "post", "put", "patch", "delete"}

// reader reads a specification.
type reader struct{ root tree }

// read takes the specification apart. An error names what the page could not show.
func read(spec []byte) (*document, error) {
	root, err := parse(spec)
	if err != nil {
		return nil, err
	}
	r := &reader{root}
	d := &document{
		Title: root.at("info", "title").text(), Version: root.at("info", "version").text(),
		Intro: prose(root.at("info", "description").text()),
	}
	if servers := root.at("servers").items(); len(servers) > 0 {
		d.Base = servers[0].at("url").text()
	}
	byName := map[string]*tag{}
	for _, t := range root.at("tags").items() {
		made := &tag{Name: t.at("name").text(), Description: prose(t.at("description").text())}
		byName[made.Name] = made
		d.Tags = append(d.Tags, made)
	}
	for _, path := range root.at("paths").entries() {
		for _, method := range methods {
			op := path.value.at(method)
			if !op.there() {
				continue
			}
			o, err := r.operation(d.Base, path.key, method, path.value, op)
			if err != nil {
				return nil, fmt.Errorf("specification: %s %s: %w", method, path.key, err)
			}
			names := op.at("tags").texts()
			if len(names) == 0 || byName[names[0]] == nil {
				return nil, fmt.Errorf("specification: %s %s: it has no tag of the list", method, path.key)
			}
			byName[names[0]].Operations = append(byName[names[0]].Operations, o)
			d.Operations++
		}
	}
	for _, s := range root.at("components", "schemas").entries() {
		made, err := r.schema(s.key, s.value)
		if err != nil {
			return nil, fmt.Errorf("specification: schema %s: %w", s.key, err)
		}
		d.Schemas = append(d.Schemas, made)
	}
	return d, nil
}

// resolve follows a $ref within the document. Its name is the last part of the reference.
func (r *reader) resolve(t tree) (target tree, name string, err error) {
	ref := t.at("$ref").text()
	if ref == "" {
		return t, "", nil
	}
	path, ok := strings.CutPrefix(ref, "#/")
	parts := strings.Split(path, "/")
	if target = r.root.at(parts...); !ok || !target.there() {
		return tree{}, "", fmt.Errorf("there is no %s", ref)
	}
	return target, parts[len(parts)-1], nil
}

func (r *reader) operation(base, path, method string, item, op tree) (operation, error) {
	o := operation{
		ID: op.at("operationId").text(), Method: strings.ToUpper(method), Path: path, Summary: op.at("summary").text(),
		Description: prose(op.at("description").text()), Permission: op.at("x-permission").text(),
	}
	for _, p := range append(item.at("parameters").items(), op.at("parameters").items()...) {
		p, _, err := r.resolve(p)
		if err != nil {
			return o, err
		}
		line, err := r.property(p.at("name").text(), p.at("schema"), p.at("required").yes())
		if err != nil {
			return o, err
		}
		line.In, line.Description = p.at("in").text(), prose(p.at("description").text())
		o.Parameters = append(o.Parameters, line)
	}
	var err error
	if o.Body, err = r.body(op); err != nil {
		return o, err
	}
	for _, e := range op.at("responses").entries() {
		answer, err := r.response(e.key, e.value)
		if err != nil {
			return o, err
		}
		o.Responses = append(o.Responses, answer)
	}
	o.Curl = curl(base, &o)
	return o, nil
}

func (r *reader) body(op tree) (*body, error) {
	request, _, err := r.resolve(op.at("requestBody"))
	if err != nil || !request.there() {
		return nil, err
	}
	media := request.at("content").entries()
	if len(media) == 0 {
		return nil, fmt.Errorf("its body has no media type")
	}
	b := &body{MediaType: media[0].key, PatchOf: op.at("x-patch-of").text()}
	described := media[0].value.at("schema")
	if b.PatchOf != "" {
		described = r.root.at("components", "schemas", b.PatchOf)
		if !described.there() {
			return nil, fmt.Errorf("there is no schema %s", b.PatchOf)
		}
	}
	if b.Type, err = r.typeOf(media[0].value.at("schema")); err != nil {
		return nil, err
	}
	if b.MediaType == "application/json" {
		b.Example, err = r.example(described, b.PatchOf != "")
	}
	return b, err
}

func (r *reader) response(status string, t tree) (response, error) {
	t, _, err := r.resolve(t)
	if err != nil {
		return response{}, err
	}
	if status == "default" {
		status = "else"
	}
	answer := response{Status: status, Description: prose(t.at("description").text())}
	var headers []string
	for _, h := range t.at("headers").entries() {
		headers = append(headers, h.key)
	}
	answer.Headers = strings.Join(headers, ", ")
	var types []string
	for _, media := range t.at("content").entries() {
		types = append(types, media.key)
		if answer.Schema, err = r.typeOf(media.value.at("schema")); err != nil {
			return response{}, err
		}
	}
	answer.Type = strings.Join(types, ", ")
	return answer, nil
}

func (r *reader) schema(name string, t tree) (schema, error) {
	s := schema{Name: name, Description: prose(t.at("description").text())}
	required := t.at("required").texts()
	for _, p := range t.at("properties").entries() {
		line, err := r.property(p.key, p.value, slices.Contains(required, p.key))
		if err != nil {
			return s, err
		}
		s.Properties = append(s.Properties, line)
	}
	var err error
	if len(s.Properties) == 0 {
		s.Type, err = r.typeOf(t)
		return s, err
	}
	s.Example, err = r.example(t, false)
	return s, err
}

func (r *reader) property(name string, t tree, required bool) (property, error) {
	kind, err := r.typeOf(t)
	return property{Name: name, Required: required, Type: kind, Description: prose(t.at("description").text())}, err
}
