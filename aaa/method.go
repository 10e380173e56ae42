package aaa

import (
	"fmt"
	"strings"
)

// Method is how a user proves who they are.
type Method uint8

// The authentication methods.
const (
	MethodNone Method = iota // the request carries nothing to check
	MethodPAP
	MethodCHAP
	MethodMSCHAP
	MethodMSCHAPv2
	MethodMAC
	MethodEAP
	methodCount
)

var methodNames = [methodCount]string{"none", "pap", "chap", "mschap", "mschapv2", "mac", "eap"}

// String returns the method as it stands in auth_records and settings.
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return fmt.Sprintf("method(%d)", uint8(m))
}

// ParseMethod reads a method as String writes it; MethodNone is none.
func ParseMethod(s string) (Method, error) {
	for m, name := range methodNames {
		if m != 0 && s == name {
			return Method(m), nil
		}
	}
	return MethodNone, fmt.Errorf("unknown method %q: want %s", s, strings.Join(methodNames[1:], ", "))
}

// MethodSet is a set of methods; the zero value means all of them.
type MethodSet uint16

// Has reports whether m is allowed.
func (s MethodSet) Has(m Method) bool { return s == 0 || s&(1<<m) != 0 }

// String lists the methods separated by commas; empty for all.
func (s MethodSet) String() string {
	var names []string
	for m, name := range methodNames {
		if s&(1<<m) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseMethodSet reads a list as String writes it.
func ParseMethodSet(text string) (MethodSet, error) {
	var set MethodSet
	for field := range strings.SplitSeq(text, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		known := false
		for m, name := range methodNames {
			if m != 0 && strings.EqualFold(field, name) {
				set |= 1 << m
				known = true
			}
		}
		if !known {
			return 0, fmt.Errorf("unknown method %q: want %s", field, strings.Join(methodNames[1:], ", "))
		}
	}
	return set, nil
}
