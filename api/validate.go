package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// validate holds a request against what the specification says of its operation. It
// leaves the body to be read again.
func (s *specification) validate(o *operation, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problemf(http.StatusBadRequest, "malformed_request", "the query is not one of name=value&name=value, percent-encoded")
	}
	for name, values := range query {
		known := o.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) != nil
		if !known && !o.ignores {
			return problemf(http.StatusBadRequest, "malformed_request", "there is no parameter %q", name)
		}
		for _, value := range values {
			if !isText(value) {
				return problemf(http.StatusBadRequest, "malformed_request", "parameter %s is not text", name)
			}
		}
		if len(values) > 1 && known {
			return problemf(http.StatusBadRequest, "malformed_request", "parameter %s is given twice", name)
		}
	}
	pathParameters := map[string]string{}
	for _, p := range o.item.Parameters {
		value := r.PathValue(p.Value.Name)
		if !isText(value) {
			return problemf(http.StatusBadRequest, "malformed_request", "%s is not text", p.Value.Name)
		}
		pathParameters[p.Value.Name] = value
	}
	isJSON, err := checkContentType(o, r)
	if err != nil {
		return err
	}
	if o.RequestBody != nil && isJSON {
		if err := checkJSON(r); err != nil {
			return err
		}
	}
	err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: pathParameters,
		Route:      &routers.Route{Spec: s.doc, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.Operation},
		Options: &openapi3filter.Options{
			MultiError: true, ExcludeRequestBody: !isJSON, SkipSettingDefaults: true,
			AuthenticationFunc:      openapi3filter.NoopAuthenticationFunc, // see guard
			SchemaValidationOptions: s.options,
		},
	})
	return explainValidation(err)
}

// checkContentType refuses a body in another form than the operation takes, and
// reports whether it is JSON.
func checkContentType(o *operation, r *http.Request) (isJSON bool, err error) {
	if o.RequestBody == nil {
		return false, nil
	}
	content := o.RequestBody.Value.Content
	if content["application/json"] == nil {
		return false, nil // a file
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if mediaType == "application/merge-patch+json" && o.method == http.MethodPatch {
		mediaType = "application/json"
		r.Header.Set("Content-Type", mediaType)
	}
	if err != nil || mediaType != "application/json" {
		return false, problemf(http.StatusUnsupportedMediaType, "unsupported_media_type", "want Content-Type: application/json")
	}
	return true, nil
}

// checkJSON refuses a body that is not one JSON value of text that a database can hold.
func checkJSON(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return problemf(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than %d octets", tooLarge.Limit)
		}
		return problemf(http.StatusBadRequest, "malformed_request", "the body could not be read")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !utf8.Valid(body) {
		return problemf(http.StatusBadRequest, "malformed_request", "the body is not UTF-8")
	}
	if err := checkTokens(json.NewDecoder(bytes.NewReader(body))); err != nil {
		return err
	}
	if rest := bytes.TrimSpace(body); len(rest) == 0 || !json.Valid(rest) {
		return problemf(http.StatusBadRequest, "malformed_request", "the body is not one JSON value")
	}
	return nil
}

// checkTokens reads JSON to its end. It refuses what is nested too deeply, texts with a
// NUL, and a name that is twice in an object: programs that read JSON disagree on which
// one counts (RFC 8259 section 4).
func checkTokens(decoder *json.Decoder) error {
	var open []map[string]bool // the names in each object that is open; nil: an array
	nextIsName := false
	for {
		offset := decoder.InputOffset()
		token, err := decoder.Token()
		if err == io.EOF {
			return nil
		}
		var tooLarge *json.UnmarshalTypeError
		if errors.As(err, &tooLarge) { // 1e999
			return problemf(http.StatusUnprocessableEntity, "invalid", "a number at octet %d is too large", offset)
		}
		if err != nil {
			return problemf(http.StatusBadRequest, "malformed_request", "the body is not JSON: %v", err)
		}
		isName := nextIsName
		switch token {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open, isName = open[:len(open)-1], false
		}
		if len(open) > maxDepth {
			return problemf(http.StatusBadRequest, "malformed_request", "the body is nested too deeply")
		}
		if text, ok := token.(string); ok {
			if !isText(text) {
				return problemf(http.StatusUnprocessableEntity, "invalid", "a text at octet %d has a NUL", offset)
			}
			if names := open; isName {
				if names[len(names)-1][text] {
					return problemf(http.StatusBadRequest, "malformed_request", "a name is twice in the object at octet %d", offset)
				}
				names[len(names)-1][text] = true
			}
		}
		nextIsName = len(open) > 0 && open[len(open)-1] != nil && !isName
	}
}

// maxDepth is how deeply JSON may be nested.
const maxDepth = 32

// isText reports whether a database takes s as text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// check holds a value, as json.Unmarshal gives it, against a schema.
func (s *specification) check(schema *openapi3.Schema, value any) error {
	options := append(slices.Clone(s.options), openapi3.MultiErrors(), openapi3.VisitAsRequest(), openapi3.EnableJSONSchema2020())
	return explainValidation(schema.VisitJSON(value, options...))
}

// explainValidation turns the validator's errors into a problem.
func explainValidation(err error) error {
	if err == nil {
		return nil
	}
	var fields []FieldError
	var malformed error
	collectValidation(err, "", func(field, message string) {
		fields = append(fields, FieldError{Field: field, Message: message})
	}, func(err error) { malformed = err })
	if malformed != nil || len(fields) == 0 {
		return problemf(http.StatusBadRequest, "malformed_request", "%v", errors.Join(malformed))
	}
	return invalid(fields...)
}

// collectValidation calls field for each broken rule, and other for what is no rule of
// a schema.
func collectValidation(err error, at string, field func(name, message string), other func(error)) {
	var requestError *openapi3filter.RequestError
	var several openapi3.MultiError
	var broken *openapi3.SchemaError
	switch {
	case errors.As(err, &several) && !isRequestError(err):
		for _, err := range several {
			collectValidation(err, at, field, other)
		}
	case isRequestError(err) && errors.As(err, &requestError):
		if requestError.Parameter != nil {
			at = requestError.Parameter.Name
		}
		if requestError.Err == nil {
			other(errors.New(requestError.Reason))
			return
		}
		if errors.Is(requestError.Err, openapi3filter.ErrInvalidRequired) && at == "" {
			other(errors.New("the body is missing"))
			return
		}
		if !errors.As(requestError.Err, &several) && !errors.As(requestError.Err, &broken) {
			field(at, plainReason(requestError.Err))
			return
		}
		collectValidation(requestError.Err, at, field, other)
	case errors.As(err, &broken):
		field(plainRule(fieldName(at, broken.JSONPointer()), broken.Reason))
	default:
		field(at, plainReason(err))
	}
}

func isRequestError(err error) bool {
	_, ok := err.(*openapi3filter.RequestError)
	return ok
}

// plainRule words a broken rule for people, and names the field that is missing.
func plainRule(name, reason string) (field, message string) {
	if rest, ok := strings.CutPrefix(reason, "at '"); ok {
		if _, text, ok := strings.Cut(rest, "': "); ok {
			reason = text
		}
	}
	if missing, ok := strings.CutPrefix(reason, "missing property '"); ok {
		return strings.TrimPrefix(name+"."+strings.TrimSuffix(missing, "'"), "."), "is missing"
	}
	return name, reason
}

// plainReason is the text of a parameter's error without its value.
func plainReason(err error) string {
	var parse *openapi3filter.ParseError
	if errors.As(err, &parse) {
		return parse.Reason
	}
	return err.Error()
}

// fieldName writes the path to a value as check_items[0].op.
func fieldName(at string, pointer []string) string {
	var b strings.Builder
	b.WriteString(at)
	for _, step := range pointer {
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
