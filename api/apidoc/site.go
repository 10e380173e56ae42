package apidoc

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
)

// Where things are served.
const (
	Path     = "/api/docs"
	YAMLPath = "/api/openapi.yaml"
	JSONPath = "/api/v1/openapi.json"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// Site is a specification and the page made of it, ready to be served.
type Site struct{ files []file }

// file is something that is served as it is.
type file struct {
	path, mediaType string
	content         []byte
	tag             string // ETag
	policy          string // Content-Security-Policy; empty: the server's
}

// New makes the site of a specification in YAML.
func New(spec []byte) (*Site, error) {
	d, err := read(spec)
	if err != nil {
		return nil, err
	}
	page, err := render(d)
	if err != nil {
		return nil, err
	}
	asJSON, err := JSON(spec)
	if err != nil {
		return nil, err
	}
	return &Site{[]file{
		newFile(Path, "text/html; charset=utf-8", page, policy()),
		newFile(YAMLPath, "application/yaml; charset=utf-8", spec, ""),
		newFile(JSONPath, "application/json", asJSON, ""),
	}}, nil
}

func newFile(path, mediaType string, content []byte, policy string) file {
	sum := sha256.Sum256(content)
	// Weak: what is sent may be compressed.
	return file{path, mediaType, content, `W/"` + hex.EncodeToString(sum[:12]) + `"`, policy}
}

// policy lets the page run its one script and use its one style, and nothing else.
func policy() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
		hash(pageScript), hash(pageStyle))
}

func render(d *document) ([]byte, error) {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		*document
		Style              template.CSS
		Script             template.JS
		YAMLPath, JSONPath string
	}{d, template.CSS(pageStyle), template.JS(pageScript), YAMLPath, JSONPath})
	return b.Bytes(), err
}

// Register serves the site at its paths.
func (s *Site) Register(mux *http.ServeMux) {
	for _, f := range s.files {
		mux.HandleFunc("GET "+f.path, func(w http.ResponseWriter, _ *http.Request) {
			header := w.Header()
			header.Set("Content-Type", f.mediaType)
			header.Set("Cache-Control", "no-cache") // ask whether it is still the same
			header.Set("ETag", f.tag)
			if f.policy != "" {
				header.Set("Content-Security-Policy", f.policy)
			}
			_, _ = w.Write(f.content) // the client has hung up
		})
	}
}
