package config

import (
	"reflect"
	"strings"
)

// field is one leaf of Config.
type field struct {
	key    string // "auth.listen"
	index  []int  // for reflect.Value.FieldByIndex
	typ    reflect.Type
	secret string   // "url": hide the password
	oneOf  []string // the allowed texts; nil: not restricted
}

// env is the field's environment variable.
func (f *field) env() string { return EnvName(f.key) }

// EnvName returns the environment variable of a key.
func EnvName(key string) string {
	return "RADIUSD_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// fields lists the leaves of Config in their order in the struct.
func fields() []field {
	var list []field
	var walk func(t reflect.Type, prefix string, index []int)
	walk = func(t reflect.Type, prefix string, index []int) {
		for i := range t.NumField() {
			sf := t.Field(i)
			name := sf.Tag.Get("yaml")
			if name == "" {
				continue
			}
			at := append(append([]int(nil), index...), i)
			if sf.Type.Kind() == reflect.Struct {
				walk(sf.Type, prefix+name+".", at)
				continue
			}
			f := field{key: prefix + name, index: at, typ: sf.Type, secret: sf.Tag.Get("secret")}
			if names := sf.Tag.Get("oneof"); names != "" {
				f.oneOf = strings.Split(names, ",")
			}
			list = append(list, f)
		}
	}
	walk(reflect.TypeFor[Config](), "", nil)
	return list
}

// value returns the leaf within c, settable.
func (f *field) value(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(f.index)
}

// display returns the leaf's text with secrets masked.
func (f *field) display(c *Config) string {
	text := formatValue(f.value(c))
	if f.secret != "" {
		return maskURL(text)
	}
	return text
}

// Keys lists the keys of all settings in the order of the reference.
func Keys() []string {
	var keys []string
	for _, f := range fields() {
		keys = append(keys, f.key)
	}
	return keys
}
