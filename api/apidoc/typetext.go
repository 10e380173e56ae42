package apidoc

import (
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"
)

// typeOf words a schema in a line, with links to the schemas it names.
func (r *reader) typeOf(t tree) (template.HTML, error) {
	_, name, err := r.resolve(t)
	if err != nil {
		return "", err
	}
	if name != "" {
		return template.HTML(fmt.Sprintf(`<a href="#schema-%s">%[1]s</a>`, html.EscapeString(name))), nil
	}
	kinds := t.at("type").texts()
	if len(kinds) == 0 {
		kinds = []string{t.at("type").text()}
	}
	var words []string
	for _, kind := range kinds {
		word, err := r.kind(kind, t)
		if err != nil {
			return "", err
		}
		words = append(words, word)
	}
	text := strings.Join(words, " or ")
	if limits := limitsOf(t); limits != "" {
		text += ` <span class="limits">` + html.EscapeString(limits) + `</span>`
	}
	return template.HTML(text), nil
}

// kind words one of the types of a schema, as HTML.
func (r *reader) kind(kind string, t tree) (string, error) {
	format := t.at("format").text()
	switch {
	case kind == "array":
		of, err := r.typeOf(t.at("items"))
		return "list of " + string(of), err
	case kind == "object" && t.at("additionalProperties", "type").there():
		of, err := r.typeOf(t.at("additionalProperties"))
		return "object of " + string(of), err
	case kind == "":
		return "anything", nil
	case kind == "null", kind != "string" && kind != "integer", format == "":
		return html.EscapeString(kind), nil
	case format == "binary":
		return "file", nil
	}
	return html.EscapeString(kind + " (" + format + ")"), nil
}

// limitsOf words what a value must keep to.
func limitsOf(t tree) string {
	var parts []string
	if values := t.at("enum").texts(); len(values) > 0 {
		parts = append(parts, strings.Join(values, " | "))
	}
	for _, limit := range []struct{ key, text string }{
		{"minLength", "at least %s characters"}, {"maxLength", "at most %s characters"},
		{"minimum", "from %s"}, {"maximum", "to %s"},
		{"minItems", "at least %s items"}, {"maxItems", "at most %s items"},
		{"pattern", "matches %s"}, {"default", "default %s"},
	} {
		if value := t.at(limit.key); limit.key == "minLength" && value.text() == "1" {
			parts = append(parts, "not empty")
		} else if value.there() {
			parts = append(parts, fmt.Sprintf(limit.text, value.text()))
		}
	}
	if t.at("writeOnly").yes() {
		parts = append(parts, "never answered")
	}
	if t.at("readOnly").yes() {
		parts = append(parts, "set by the server")
	}
	return strings.Join(parts, ", ")
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	boldSpan = regexp.MustCompile(`\*\*([^*]+)\*\*`)
)

// prose turns the little Markdown of descriptions into HTML: paragraphs, `code` and
// **bold**.
func prose(text string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph == "" {
			continue
		}
		escaped := html.EscapeString(strings.ReplaceAll(paragraph, "\n", " "))
		escaped = codeSpan.ReplaceAllString(escaped, "<code>$1</code>")
		escaped = boldSpan.ReplaceAllString(escaped, "<strong>$1</strong>")
		b.WriteString("<p>" + escaped + "</p>")
	}
	return template.HTML(b.String())
}
