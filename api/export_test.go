package api

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Unimplemented returns the operations, by operationId, that no resource of server has a
// handler for, and those of the specification that the generated server does not know
// by this name, which would be a mistake of the tests.
func Unimplemented(operationIDs []string) (missing map[string]bool, unknown []string) {
	implemented := map[string]bool{}
	resources := reflect.TypeFor[server]()
	for i := range resources.NumField() {
		field := resources.Field(i)
		if field.Type == reflect.TypeFor[unimplemented]() {
			continue
		}
		methods := reflect.PointerTo(field.Type)
		for i := range methods.NumMethod() {
			implemented[methods.Method(i).Name] = true
		}
	}
	wanted := reflect.TypeFor[StrictServerInterface]()
	missing = map[string]bool{}
	for _, id := range operationIDs {
		first, size := utf8.DecodeRuneInString(id)
		name := strings.ToUpper(string(unicode.ToUpper(first))) + id[size:]
		if _, ok := wanted.MethodByName(name); !ok {
			unknown = append(unknown, id)
		}
		if !implemented[name] {
			missing[id] = true
		}
	}
	return missing, unknown
}
