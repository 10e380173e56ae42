package api

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestEveryOperationIsImplemented finds operations that nobody wrote a handler for.
func TestEveryOperationIsImplemented(t *testing.T) {
	missing := map[string]bool{}
	wanted := reflect.TypeFor[StrictServerInterface]()
	for i := range wanted.NumMethod() {
		missing[wanted.Method(i).Name] = true
	}
	resources := reflect.TypeFor[server]()
	for i := range resources.NumField() {
		field := resources.Field(i)
		if field.Type == reflect.TypeFor[unimplemented]() {
			continue
		}
		methods := reflect.PointerTo(field.Type)
		for i := range methods.NumMethod() {
			delete(missing, methods.Method(i).Name)
		}
	}
	for name := range missing {
		assert.Fail(t, "not implemented", name)
	}
}
