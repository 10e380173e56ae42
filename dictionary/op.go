package dictionary

import "fmt"

// Op is an operator between an attribute and a value, as in FreeRADIUS's
// check and reply items.
type Op uint8

// The operators.
const (
	OpEq         Op = iota + 1 // "=": add, if there is none
	OpSet                      // ":=": replace
	OpAdd                      // "+=": add another
	OpCmpEq                    // "==": is equal
	OpNe                       // "!=": is not equal
	OpLt                       // "<"
	OpGt                       // ">"
	OpLe                       // "<="
	OpGe                       // ">="
	OpReMatch                  // "=~": matches a regular expression
	OpReNotMatch               // "!~": does not match
	OpAny                      // "=*": is there
	OpNone                     // "!*": is not there
)

var opNames = [...]string{
	OpEq: "=", OpSet: ":=", OpAdd: "+=", OpCmpEq: "==", OpNe: "!=", OpLt: "<", OpGt: ">",
	OpLe: "<=", OpGe: ">=", OpReMatch: "=~", OpReNotMatch: "!~", OpAny: "=*", OpNone: "!*",
}

// String gives the operator as written.
func (o Op) String() string {
	if o > 0 && int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// ParseOp reads an operator as written.
func ParseOp(text string) (Op, error) {
	for o, name := range opNames {
		if name == text && o > 0 {
			return Op(o), nil
		}
	}
	return 0, fmt.Errorf("unknown operator %q, not one of = := += == != < > <= >= =~ !~ =* !*", text)
}

// pattern reports whether the operator's right side is a regular expression.
func (o Op) pattern() bool { return o == OpReMatch || o == OpReNotMatch }

// presence reports whether the operator has no right side.
func (o Op) presence() bool { return o == OpAny || o == OpNone }
