package api

import (
	"encoding/json"
	"fmt"
)

// patched returns the input that a merge patch (RFC 7396) makes of the present one. The
// result is held against the schema, as if it had been sent whole.
func patched[T any](s *specification, schema string, present T, patch MergePatch) (result T, err error) {
	for name := range patch {
		if s.schema(schema).Properties[name] == nil { // null would hide it from the schema
			return result, invalidField(name, "there is no such property")
		}
	}
	text, err := json.Marshal(present)
	if err != nil {
		return result, fmt.Errorf("patch %s: %w", schema, err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		return result, fmt.Errorf("patch %s: %w", schema, err)
	}
	document = merge(document, patch)
	if err := s.check(schema, document); err != nil {
		return result, err
	}
	if text, err = json.Marshal(document); err != nil {
		return result, fmt.Errorf("patch %s: %w", schema, err)
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return result, invalidField("", "%v", err)
	}
	return result, nil
}

// merge applies a merge patch to an object (RFC 7396 section 2).
func merge(target, patch map[string]any) map[string]any {
	if target == nil {
		target = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case map[string]any:
			inner, _ := target[name].(map[string]any)
			target[name] = merge(inner, value)
		default:
			target[name] = value
		}
	}
	return target
}
