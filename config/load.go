package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"radiusd/internal/spelling"
)

// Override is a setting given as a flag.
type Override struct {
	Key   string // "log.level"
	Value string
	Flag  string // "--log-level", for errors
}

// Load builds the configuration from the defaults, the file at path (none if
// empty), the environment (as [os.Environ] gives it) and the overrides, each
// over the ones before, and validates it.
//
// The error is a [Problems] with everything that is wrong. The configuration is
// returned in any case, so that it can be shown, but is to be used only without
// an error.
func Load(path string, environ []string, overrides ...Override) (*Config, error) {
	c := Default()
	c.path = path
	c.origins = map[string]Origin{}
	c.broken = map[string]bool{}
	all := fields()
	var problems Problems
	if path != "" {
		problems = c.loadFile(path, all)
	}
	problems = append(problems, c.loadEnv(environ, all)...)
	problems = append(problems, c.loadOverrides(overrides, all)...)
	var invalid Problems
	if errors.As(c.Validate(), &invalid) {
		problems = append(problems, invalid...)
	}
	slices.SortStableFunc(problems, func(a, b *Problem) int {
		return sortLine(a) - sortLine(b)
	})
	return c, problems.err()
}

// sortLine puts problems of the file first, in the order of its lines.
func sortLine(p *Problem) int {
	if p.Origin.Kind == FromFile {
		return p.Origin.Line
	}
	return maxFileBytes
}

func (c *Config) loadFile(path string, all []field) Problems {
	file, err := os.Open(path)
	if err != nil {
		return Problems{fileProblem(path, err)}
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return Problems{fileProblem(path, err)}
	}
	return c.apply(path, content, all)
}

// fileProblem says that the file could not be read, with its path once.
func fileProblem(path string, err error) *Problem {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &Problem{Origin: Origin{Kind: FromFile, Name: path}, Err: fmt.Errorf("cannot read the configuration: %w", err)}
}

// apply takes the file's content over.
func (c *Config) apply(path string, content []byte, all []field) Problems {
	reader := newFileReader(path, all)
	reader.read(content)
	problems := reader.problems
	for i := range all {
		f := &all[i]
		value, ok := reader.values[f.key]
		if !ok {
			continue
		}
		origin := Origin{Kind: FromFile, Name: path, Line: value.line}
		if !value.isList {
			problems = append(problems, c.set(f, value.text, origin)...)
			continue
		}
		leaf := f.value(c)
		list, isList := leaf.Addr().Interface().(*[]string)
		if !isList {
			c.broken[f.key] = true
			problems = append(problems, &Problem{Origin: origin, Key: f.key, Err: errors.New("want a single value, not a list")})
			continue
		}
		*list = value.list
		c.origins[f.key] = origin
	}
	return problems
}

func (c *Config) loadEnv(environ []string, all []field) Problems {
	var problems Problems
	byName := make(map[string]*field, len(all))
	var names []string
	for i := range all {
		byName[all[i].env()] = &all[i]
		names = append(names, all[i].env())
	}
	for _, entry := range environ {
		name, text, ok := strings.Cut(entry, "=")
		if !ok || !strings.HasPrefix(name, "RADIUSD_") {
			continue
		}
		if f := byName[name]; f != nil {
			problems = append(problems, c.set(f, text, Origin{Kind: FromEnv, Name: name})...)
			continue
		}
		// Not an error: a container platform makes variables like
		// RADIUSD_SERVICE_HOST for a service of that name.
		if near := spelling.Near(name, names); len(near) > 0 && !otherVariables[name] {
			c.warnings = append(c.warnings, fmt.Sprintf("environment variable %s is not a setting: did you mean %s?", name, near[0]))
		}
	}
	return problems
}

// otherVariables are read elsewhere.
var otherVariables = map[string]bool{"RADIUSD_CONFIG": true, "RADIUSD_TEST_SECRET": true}

func (c *Config) loadOverrides(overrides []Override, all []field) Problems {
	var problems Problems
	for _, o := range overrides {
		i := slices.IndexFunc(all, func(f field) bool { return f.key == o.Key })
		origin := Origin{Kind: FromFlag, Name: o.Flag}
		if i < 0 {
			problems = append(problems, &Problem{Origin: origin, Key: o.Key, Err: errors.New("unknown key")})
			continue
		}
		problems = append(problems, c.set(&all[i], o.Value, origin)...)
	}
	return problems
}

// set gives one leaf a text from somewhere.
func (c *Config) set(f *field, text string, origin Origin) Problems {
	var err error
	if f.oneOf != nil && !slices.Contains(f.oneOf, text) {
		err = fmt.Errorf("%q is not one of %s", text, strings.Join(f.oneOf, ", "))
	} else {
		err = setText(f.value(c), text)
	}
	c.origins[f.key] = origin
	if err != nil {
		c.broken[f.key] = true
		return Problems{{Origin: origin, Key: f.key, Err: err}}
	}
	delete(c.broken, f.key)
	return nil
}

// Path is the file that was read; empty if there was none.
func (c *Config) Path() string { return c.path }

// Origin says where the value of a key comes from.
func (c *Config) Origin(key string) Origin {
	if o, ok := c.origins[key]; ok {
		return o
	}
	return Origin{Kind: FromDefault}
}

// Warnings lists what is not wrong but probably not meant.
func (c *Config) Warnings() []string {
	return slices.Clone(c.warnings)
}

// Setting is one key with its effective value.
type Setting struct {
	Key    string
	Value  string // as text; passwords masked
	Origin Origin
	Env    string // its environment variable
}

// Settings lists every key with its effective value, secrets masked.
func (c *Config) Settings() []Setting {
	var list []Setting
	for _, f := range fields() {
		list = append(list, Setting{Key: f.key, Value: f.display(c), Origin: c.Origin(f.key), Env: f.env()})
	}
	return list
}

// Changed lists the keys whose values differ from those in old, except the given
// ones.
func (c *Config) Changed(old *Config, except ...string) []string {
	var keys []string
	for _, f := range fields() {
		if !slices.Contains(except, f.key) && formatValue(f.value(c)) != formatValue(f.value(old)) {
			keys = append(keys, f.key)
		}
	}
	return keys
}
