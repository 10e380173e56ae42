package api

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schemas compiles the schemas of the specification, which are of JSON Schema 2020-12, as
// those of OpenAPI 3.1 are. That takes a hundred times as long as to hold a value against
// one, so it is done at the start.
type schemas struct{ compiler *jsonschema.Compiler }

const specURL = "radiusd:///openapi.json"

// newSchemas takes the specification as JSON.
func newSchemas(specification []byte) (*schemas, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(specification))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	for name, check := range formats {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: check})
	}
	return &schemas{c}, c.AddResource(specURL, document)
}

// at compiles the schema at a JSON pointer into the specification.
func (s *schemas) at(pointer ...string) (*jsonschema.Schema, error) {
	location := specURL + "#"
	for _, step := range pointer {
		location += "/" + strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", "{", "%7B", "}", "%7D").Replace(step)
	}
	return s.compiler.Compile(location)
}

// placeOf is where something is written: at a reference to the components, or here.
func placeOf(reference string, here ...string) []string {
	if shared, ok := strings.CutPrefix(reference, "#/"); ok {
		return strings.Split(shared, "/")
	}
	return here
}

// formats are those of the specification, as the server reads them.
var formats = map[string]func(any) error{
	"uuid": ofText(func(s string) error {
		if _, err := uuid.Parse(s); err != nil || len(s) != 36 {
			return errors.New("is not a UUID")
		}
		return nil
	}),
	"date": ofText(func(s string) error {
		day, err := time.Parse(time.DateOnly, s)
		return notZero(day, plain(err, "is not a date as 2006-01-31"))
	}),
	"date-time": ofText(func(s string) error {
		var at time.Time
		err := at.UnmarshalText([]byte(s))
		return notZero(at, plain(err, "is not a time as 2006-01-31T15:04:05Z"))
	}),
	"int64": func(v any) error {
		if n, ok := v.(float64); ok && (n < math.MinInt64 || n >= math.MaxInt64) {
			return errors.New("is too large")
		}
		return nil
	},
}

func ofText(check func(string) error) func(any) error {
	return func(v any) error {
		if s, ok := v.(string); ok {
			return check(s)
		}
		return nil
	}
}

func plain(err error, message string) error {
	if err == nil {
		return nil
	}
	return errors.New(message)
}

// notZero refuses the one moment that the server cannot tell from none. Some languages have it
// for a time that nobody has set, and a token that ends then would never end.
func notZero(at time.Time, err error) error {
	if err == nil && at.IsZero() {
		return errors.New("is the first moment of year 1: to say none, leave it out")
	}
	return err
}

// broken collects the rules that values break.
type broken []FieldError

// hold holds a value against a schema. field is what it is called.
func (b *broken) hold(schema *jsonschema.Schema, field string, value any) {
	var rules *jsonschema.ValidationError
	if err := schema.Validate(value); errors.As(err, &rules) {
		b.collect(field, rules)
	} else if err != nil {
		b.add(field, err.Error())
	}
}

func (b *broken) add(field, message string) {
	*b = append(*b, FieldError{Field: field, Message: message})
}

// collect adds the rules that are at the bottom of an error.
func (b *broken) collect(field string, err *jsonschema.ValidationError) {
	name := fieldName(field, err.InstanceLocation)
	switch rule := err.ErrorKind.(type) {
	case *kind.Required:
		for _, missing := range rule.Missing {
			b.add(fieldName(name, []string{missing}), "is missing")
		}
	case *kind.AdditionalProperties:
		for _, property := range rule.Properties {
			b.add(fieldName(name, []string{property}), "there is no such property")
		}
	case *kind.OneOf, *kind.AnyOf, *kind.Not: // what is below is of alternatives
		b.add(name, rule.LocalizedString(english))
	default:
		if len(err.Causes) == 0 {
			b.add(name, wording(rule))
		}
		for _, cause := range err.Causes {
			b.collect(field, cause)
		}
	}
}

// wording says which rule a value breaks.
func wording(rule jsonschema.ErrorKind) string {
	switch rule := rule.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %s, not %d", counted(rule.Want, "character"), rule.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %s, not %d", counted(rule.Want, "character"), rule.Got)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %s, not %d", counted(rule.Want, "item"), rule.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %s, not %d", counted(rule.Want, "item"), rule.Got)
	case *kind.Minimum:
		return "must be at least " + rule.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + rule.Want.RatString()
	case *kind.Format:
		return rule.Err.Error()
	}
	return rule.LocalizedString(english)
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

var english = message.NewPrinter(language.English)

// problem is the answer to a request that breaks rules; nil: it breaks none.
func (b broken) problem() error {
	if len(b) == 0 {
		return nil
	}
	return invalid(b...)
}

// fieldName writes the path to a value as check_items[0].op.
func fieldName(at string, path []string) string {
	var b strings.Builder
	b.WriteString(at)
	for _, step := range path {
		if isIndex(step) {
			fmt.Fprintf(&b, "[%s]", step)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(step)
	}
	return b.String()
}

func isIndex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
