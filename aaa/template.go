package aaa

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"radiusd/dictionary"
)

//go:embed templates/*.yaml
var templateFiles embed.FS

// Templates turn a plan's fields into the reply attributes of each kind of NAS.
// They do not change after they are loaded.
type Templates struct {
	byName map[string]*template // by name and alias, in lower case
	names  []string
}

// standardTemplate is for NASes whose vendor is not given or has no template.
const standardTemplate = "standard"

// template is one kind of NAS, compiled. Lines of the templates that it extends
// come first.
type template struct {
	name  string
	lines []templateLine
	coa   coaTemplate
}

// templateFile is the form of a template as text; see docs/policy.md.
type templateFile struct {
	Name     string             `yaml:"name"`
	Aliases  []string           `yaml:"aliases"`
	Extends  []string           `yaml:"extends"`
	Without  []string           `yaml:"without"`
	RateUnit string             `yaml:"rate_unit"`
	Reply    []templateLineText `yaml:"reply"`
	CoA      *coaText           `yaml:"coa"`
}

type templateLineText struct {
	Attribute string   `yaml:"attribute"`
	Op        string   `yaml:"op"`
	Value     string   `yaml:"value"`
	When      []string `yaml:"when"`
}

// templateLine is one attribute of a template. It is left out if a condition does
// not hold or a variable that it needs is empty.
type templateLine struct {
	pair       dictionary.Pair // without value
	parts      []templatePart
	when       []templateCondition
	unit       uint64 // bit/s that are one unit of a rate
	perRequest bool   // depends on more than the plan
}

type templatePart struct {
	literal  string
	variable templateVariable // zero: only the literal
	format   string
	optional bool // may be zero
}

// templateCondition holds if one of its alternatives does.
type templateCondition []templateComparison

type templateComparison struct {
	variable templateVariable
	negate   bool
	op       string // empty: is not empty
	limit    uint64
}

// templateInput is what the variables are taken from.
type templateInput struct {
	plan *Plan
	left *allowance
}

// allowance is what a session may use, as of one request.
type allowance struct {
	octets    uint64    // valid if hasOctets
	hasOctets bool      // a data quota applies
	until     time.Time // zero: without end
	now       time.Time
}

// seconds returns the time until the end, rounded down; zero: without end.
func (a *allowance) seconds() uint64 {
	if a.until.IsZero() {
		return 0
	}
	return uint64(max(a.until.Sub(a.now)/time.Second, 0))
}

// templateVariable is a place in templateVariables; zero is none.
type templateVariable int

type templateVariableKind uint8

const (
	rateVariable templateVariableKind = iota
	numberVariable
	textVariable
	timeVariable
)

type templateVariableInfo struct {
	name       string
	kind       templateVariableKind
	perRequest bool
	number     func(in *templateInput) uint64
	text       func(in *templateInput) string
}

// templateVariables are the ones there are; the first stands for none.
var templateVariables = listTemplateVariables()

func listTemplateVariables() []templateVariableInfo {
	rate := func(name string, f func(p *Plan) uint64) templateVariableInfo {
		return templateVariableInfo{name: name, kind: rateVariable, number: func(in *templateInput) uint64 { return f(in.plan) }}
	}
	seconds := func(name string, f func(p *Plan) time.Duration) templateVariableInfo {
		return templateVariableInfo{name: name, kind: numberVariable, number: func(in *templateInput) uint64 {
			return uint64(max(f(in.plan)/time.Second, 0))
		}}
	}
	text := func(name string, f func(p *Plan) string) templateVariableInfo {
		return templateVariableInfo{name: name, kind: textVariable, text: func(in *templateInput) string { return f(in.plan) }}
	}
	return []templateVariableInfo{
		{},
		rate("rate_up", func(p *Plan) uint64 { return p.RateUp }),
		rate("rate_down", func(p *Plan) uint64 { return p.RateDown }),
		rate("burst_up", func(p *Plan) uint64 { return p.BurstUp }),
		rate("burst_down", func(p *Plan) uint64 { return p.BurstDown }),
		rate("threshold_up", func(p *Plan) uint64 { return p.BurstThresholdUp }),
		rate("threshold_down", func(p *Plan) uint64 { return p.BurstThresholdDown }),
		seconds("burst_time", func(p *Plan) time.Duration { return p.BurstTime }),
		seconds("session_timeout", func(p *Plan) time.Duration { return p.SessionTimeout }),
		seconds("idle_timeout", func(p *Plan) time.Duration { return p.IdleTimeout }),
		seconds("interim_interval", func(p *Plan) time.Duration { return p.InterimInterval }),
		text("plan", func(p *Plan) string { return p.Name }),
		text("policy_up", func(p *Plan) string { return p.PolicyUp }),
		text("policy_down", func(p *Plan) string { return p.PolicyDown }),
		text("address_pool", func(p *Plan) string { return p.AddressPool }),
		text("ipv6_pool", func(p *Plan) string { return p.IPv6Pool }),
		text("delegated_ipv6_pool", func(p *Plan) string { return p.DelegatedIPv6Pool }),
		text("address_list", func(p *Plan) string { return p.AddressList }),
		text("filter_id", func(p *Plan) string { return p.FilterID }),
		{name: "octets_left", kind: numberVariable, perRequest: true,
			number: func(in *templateInput) uint64 { return in.left.octets }},
		{name: "seconds_left", kind: numberVariable, perRequest: true,
			number: func(in *templateInput) uint64 { return in.left.seconds() }},
		{name: "session_end", kind: timeVariable, perRequest: true,
			number: func(in *templateInput) uint64 { return in.left.seconds() }},
	}
}

// LoadTemplates compiles the templates that are built in and those in the given
// files, where a template of the same name replaces the one built in.
func LoadTemplates(dict *dictionary.Dictionary, files ...string) (*Templates, error) {
	texts := map[string]templateFile{}
	names, err := fs.Glob(templateFiles, "templates/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := templateFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := readTemplate(texts, name, text); err != nil {
			return nil, err
		}
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read reply template: %w", err)
		}
		if err := readTemplate(texts, name, text); err != nil {
			return nil, err
		}
	}
	t := &Templates{byName: map[string]*template{}}
	var errs []error
	for name := range texts {
		c, err := compileTemplate(dict, texts, name, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("reply template %s: %w", name, err))
			continue
		}
		for _, key := range append([]string{name}, texts[name].Aliases...) {
			key = strings.ToLower(key)
			if other := t.byName[key]; other != nil {
				errs = append(errs, fmt.Errorf("reply templates %s and %s are both called %s", other.name, name, key))
				continue
			}
			t.byName[key] = c
			t.names = append(t.names, key)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if t.byName[standardTemplate] == nil {
		return nil, fmt.Errorf("there is no reply template %s", standardTemplate)
	}
	slices.Sort(t.names)
	return t, nil
}

// Names lists the names and aliases that a NAS's vendor can have, sorted.
func (t *Templates) Names() []string { return slices.Clone(t.names) }

// ValidateVendor refuses, with a [FieldError], the vendor of a NAS that no template is for: its
// users would get standard attributes only. Empty is standard.
func (t *Templates) ValidateVendor(vendor string) error {
	if vendor == "" || t.byName[strings.ToLower(vendor)] != nil {
		return nil
	}
	return fieldErrorf("vendor", "there are no reply templates %q, only %s", vendor, strings.Join(t.names, ", "))
}

// forNAS returns the template for a NAS.
func (t *Templates) forNAS(nas *NAS) *template {
	if nas != nil {
		if found := t.byName[nas.Vendor]; found != nil {
			return found
		}
		if nas.Vendor != "" {
			if found := t.byName[strings.ToLower(nas.Vendor)]; found != nil {
				return found
			}
		}
	}
	return t.byName[standardTemplate]
}

func readTemplate(texts map[string]templateFile, name string, text []byte) error {
	var file templateFile
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return fmt.Errorf("reply template %s: %w", name, err)
	}
	if file.Name == "" {
		return fmt.Errorf("reply template %s: no name", name)
	}
	texts[strings.ToLower(file.Name)] = file
	return nil
}

// compileTemplate compiles a template and those it extends; within names those
// that are being compiled, to find circles.
func compileTemplate(dict *dictionary.Dictionary, texts map[string]templateFile, name string, within []string) (*template, error) {
	text, ok := texts[name]
	if !ok {
		return nil, fmt.Errorf("unknown template %q", name)
	}
	if slices.Contains(within, name) {
		return nil, fmt.Errorf("extends itself: %s", strings.Join(append(within, name), " extends "))
	}
	t := &template{name: name}
	for _, base := range text.Extends {
		extended, err := compileTemplate(dict, texts, strings.ToLower(base), append(within, name))
		if err != nil {
			return nil, err
		}
		t.lines = append(t.lines, extended.lines...)
		t.coa.extend(&extended.coa)
	}
	for _, attribute := range text.Without {
		before := len(t.lines)
		t.lines = slices.DeleteFunc(t.lines, func(l templateLine) bool { return strings.EqualFold(l.pair.Attr.Name, attribute) })
		if len(t.lines) == before {
			return nil, fmt.Errorf("without %s: no extended template has it", attribute)
		}
	}
	unit, err := parseRateUnit(text.RateUnit)
	if err != nil {
		return nil, err
	}
	for i, lineText := range text.Reply {
		line, err := compileTemplateLine(dict, lineText, unit)
		if err != nil {
			return nil, fmt.Errorf("line %d, %s: %w", i+1, lineText.Attribute, err)
		}
		t.lines = append(t.lines, line)
	}
	return t, t.compileCoA(dict, text.CoA)
}

// parseRateUnit returns how many bit/s one unit is.
func parseRateUnit(s string) (uint64, error) {
	switch s {
	case "", "bit/s":
		return 1, nil
	case "octet/s":
		return 8, nil
	case "kbit/s":
		return 1000, nil
	case "koctet/s":
		return 8000, nil
	case "mbit/s":
		return 1000000, nil
	}
	return 0, fmt.Errorf("unknown rate_unit %q: want bit/s, octet/s, kbit/s, koctet/s or mbit/s", s)
}

func compileTemplateLine(dict *dictionary.Dictionary, text templateLineText, unit uint64) (templateLine, error) {
	line := templateLine{unit: unit}
	op := text.Op
	if op == "" {
		op = "="
	}
	parsed, err := dictionary.ParseOp(op)
	if err != nil {
		return line, err
	}
	if parsed != dictionary.OpEq && parsed != dictionary.OpSet && parsed != dictionary.OpAdd {
		return line, fmt.Errorf("operator %s does not reply: want =, := or +=", op)
	}
	if line.pair, err = dict.ParsePair(text.Attribute, dictionary.OpAny.String(), ""); err != nil {
		return line, err
	}
	if err := replyAllowed(line.pair.Attr); err != nil {
		return line, err
	}
	line.pair.Op = parsed
	if line.parts, err = parseTemplateValue(text.Value); err != nil {
		return line, err
	}
	for _, condition := range text.When {
		c, err := parseTemplateCondition(condition)
		if err != nil {
			return line, err
		}
		line.when = append(line.when, c)
	}
	for _, part := range line.parts {
		line.perRequest = line.perRequest || templateVariables[part.variable].perRequest
	}
	for _, condition := range line.when {
		for _, c := range condition {
			line.perRequest = line.perRequest || templateVariables[c.variable].perRequest
		}
	}
	return line, nil
}

// parseTemplateValue splits a value into its parts: text, and variables in braces.
func parseTemplateValue(text string) ([]templatePart, error) {
	var parts []templatePart
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			return append(parts, templatePart{literal: text}), nil
		}
		end := strings.IndexByte(text[open:], '}')
		if end < 0 {
			return nil, fmt.Errorf("%q: missing }", text)
		}
		name, format, _ := strings.Cut(text[open+1:open+end], ":")
		part := templatePart{literal: text[:open], format: format}
		name, part.optional = strings.CutSuffix(name, "?")
		var err error
		if part.variable, err = findTemplateVariable(name); err != nil {
			return nil, err
		}
		if err := checkTemplateFormat(part); err != nil {
			return nil, err
		}
		parts = append(parts, part)
		text = text[open+end+1:]
	}
	if len(parts) == 0 {
		return nil, errors.New("no value")
	}
	return parts, nil
}

func checkTemplateFormat(part templatePart) error {
	v := templateVariables[part.variable]
	switch part.format {
	case "":
		return nil
	case "k":
		if v.kind == rateVariable {
			return nil
		}
	case "low32", "high32":
		if v.kind == numberVariable {
			return nil
		}
	default:
		return fmt.Errorf("{%s:%s}: unknown format: want k, low32 or high32", v.name, part.format)
	}
	return fmt.Errorf("{%s:%s}: the format does not suit the variable", v.name, part.format)
}

func findTemplateVariable(name string) (templateVariable, error) {
	var known []string
	for i, v := range templateVariables {
		if i > 0 && v.name == name {
			return templateVariable(i), nil
		}
		if i > 0 {
			known = append(known, v.name)
		}
	}
	return 0, fmt.Errorf("unknown variable %q: want one of %s", name, strings.Join(known, ", "))
}

// parseTemplateCondition reads alternatives separated by |, each a variable (not
// empty), !variable (empty) or a comparison of a variable with a number.
func parseTemplateCondition(text string) (templateCondition, error) {
	var condition templateCondition
	for alternative := range strings.SplitSeq(text, "|") {
		fields := strings.Fields(alternative)
		var c templateComparison
		var name string
		switch {
		case len(fields) == 1:
			name, c.negate = strings.CutPrefix(fields[0], "!")
		case len(fields) == 3 && (fields[1] == "<=" || fields[1] == ">"):
			c.op = fields[1]
			name = fields[0]
			limit, err := strconv.ParseUint(fields[2], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("condition %q: %q is not a number", text, fields[2])
			}
			c.limit = limit
		default:
			return nil, fmt.Errorf("condition %q: want VARIABLE, !VARIABLE, VARIABLE <= NUMBER or VARIABLE > NUMBER", text)
		}
		var err error
		if c.variable, err = findTemplateVariable(name); err != nil {
			return nil, err
		}
		if c.op != "" && templateVariables[c.variable].number == nil {
			return nil, fmt.Errorf("condition %q: %s is not a number", text, name)
		}
		condition = append(condition, c)
	}
	return condition, nil
}
