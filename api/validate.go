package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

// jsonType is the media type of bodies that are not files.
const jsonType = "application/json"

// validate holds a request against what the specification says of its operation. It
// leaves the body to be read again.
func (s *specification) validate(o *operation, r *http.Request) error {
	if r.ContentLength != 0 && r.Header.Get("Content-Encoding") != "" {
		return problemf(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the body as it is, without Content-Encoding")
	}
	query, err := parseQuery(o, r.URL.RawQuery)
	if err != nil {
		return err
	}
	var wrong broken
	for i := range o.parameters {
		if err := wrong.holdParameter(&o.parameters[i], r, query); err != nil {
			return err
		}
	}
	if o.body != nil {
		if err := checkContentType(o, r); err != nil {
			return err
		}
		body, err := readJSON(r)
		if err != nil {
			return err
		}
		wrong.hold(o.body, "", body)
	}
	return wrong.problem()
}

// parseQuery refuses parameters that the operation does not know, and what is no text.
func parseQuery(o *operation, text string) (url.Values, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "malformed_request", "the query is not one of name=value&name=value, percent-encoded")
	}
	for name, values := range query {
		known := slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.in == openapi3.ParameterInQuery && p.name == name })
		if !known && !o.ignores {
			return nil, problemf(http.StatusBadRequest, "malformed_request", "there is no parameter %q", name)
		}
		for _, value := range values {
			if !isText(value) {
				return nil, problemf(http.StatusBadRequest, "malformed_request", "parameter %s is not text", name)
			}
		}
		if len(values) > 1 && known {
			return nil, problemf(http.StatusBadRequest, "malformed_request", "parameter %s is given twice", name)
		}
	}
	return query, nil
}

// checkContentType refuses a body in another form than the operation takes.
func checkContentType(o *operation, r *http.Request) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if mediaType == "application/merge-patch+json" && o.method == http.MethodPatch {
		mediaType = jsonType
		r.Header.Set("Content-Type", mediaType)
	}
	if err != nil || mediaType != jsonType {
		return problemf(http.StatusUnsupportedMediaType, "unsupported_media_type", "want Content-Type: application/json")
	}
	return nil
}

// readJSON reads a body, which it leaves to be read again. It refuses one that is not one
// JSON value of text that a database can hold.
func readJSON(r *http.Request) (value any, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, problemf(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than %d octets", tooLarge.Limit)
		}
		return nil, problemf(http.StatusBadRequest, "malformed_request", "the body could not be read")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !utf8.Valid(body) {
		return nil, problemf(http.StatusBadRequest, "malformed_request", "the body is not UTF-8")
	}
	if err := checkTokens(json.NewDecoder(bytes.NewReader(body))); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &value); err != nil {
		return nil, problemf(http.StatusBadRequest, "malformed_request", "the body is not one JSON value")
	}
	return value, nil
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

// check holds a value, as json.Unmarshal gives it, against the schema of that name, which
// a PATCH is of.
func (s *specification) check(schema string, value any) error {
	var wrong broken
	wrong.hold(s.inputs[schema], "", value)
	return wrong.problem()
}
