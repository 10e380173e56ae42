package config

import (
	"fmt"
	"strings"
)

// OriginKind says where a value comes from.
type OriginKind string

// The origins, in ascending precedence.
const (
	FromDefault OriginKind = "default"
	FromFile    OriginKind = "file"
	FromEnv     OriginKind = "env"
	FromFlag    OriginKind = "flag"
)

// Origin is where the value of one key comes from.
type Origin struct {
	Kind OriginKind
	Name string // the file's path, the variable or the flag; empty for a default
	Line int    // in the file, from 1
}

// String gives the place as it stands before an error: radiusd.yaml:12,
// RADIUSD_AUTH_LISTEN, --log-level or default.
func (o Origin) String() string {
	switch {
	case o.Kind == FromFile && o.Line > 0:
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	case o.Name != "":
		return o.Name
	default:
		return string(FromDefault)
	}
}

// Problem is one thing wrong with the configuration.
type Problem struct {
	Origin Origin
	Key    string // empty: the file as a whole
	Err    error
}

// Error gives the problem as one line: place, key, what is wrong.
func (p *Problem) Error() string {
	var parts []string
	if p.Origin.Name != "" {
		parts = append(parts, p.Origin.String())
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	return strings.Join(append(parts, p.Err.Error()), ": ")
}

// Unwrap returns what is wrong.
func (p *Problem) Unwrap() error { return p.Err }

// Problems is everything wrong with the configuration, the error of Load and
// Validate.
type Problems []*Problem

// Error gives one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single problems.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, problem := range p {
		errs[i] = problem
	}
	return errs
}

// err is p as an error; nil if there is no problem.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
