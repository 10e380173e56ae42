package userfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"radiusd/aaa"
)

// jsonSource reads an object from each line. Its fields have the names of columns.
type jsonSource struct {
	lines *bufio.Scanner
	line  int
}

func newJSONSource(r io.Reader) *jsonSource {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, csvBuffer), MaxRow)
	return &jsonSource{lines: lines}
}

func (s *jsonSource) next(cell func(column, text string)) (int, error) {
	for s.lines.Scan() {
		s.line++
		line := bytes.TrimSpace(s.lines.Bytes())
		if s.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(line, &fields); err != nil || fields == nil {
			return 0, &aaa.LineError{Line: s.line, Err: errors.New("is not an object of JSON")}
		}
		var errs []error
		texts := map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			text, given, err := jsonText(name, fields[name])
			switch {
			case !isColumn(name):
				errs = append(errs, &aaa.FieldError{Field: name, Message: fmt.Sprintf("unknown field %q%s", name, hint(name, Columns()))})
			case err != nil:
				errs = append(errs, wrong(name, err))
			case given:
				texts[name] = text
			}
		}
		if len(errs) > 0 {
			return 0, &aaa.LineError{Line: s.line, Err: errors.Join(errs...)}
		}
		for _, name := range Columns() {
			if text, given := texts[name]; given {
				cell(name, text)
			}
		}
		return s.line, nil
	}
	err := s.lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return 0, &aaa.LineError{Line: s.line + 1, Err: fmt.Errorf("%w: a row %w", errEnd, errTooLong)}
	case err != nil:
		return 0, err
	}
	return 0, io.EOF
}

// jsonText brings a value into the form it has in CSV; null is not given.
func jsonText(name string, raw json.RawMessage) (text string, given bool, err error) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return "", false, err
	}
	switch v := value.(type) {
	case nil:
		return "", false, nil
	case string:
		if name == "groups" {
			return "", false, errors.New("must be a list of names")
		}
		return v, true, nil
	case bool:
		if name == "mac" {
			return fmt.Sprint(v), true, nil
		}
	case json.Number:
		if name == "simultaneous_use" {
			return v.String(), true, nil
		}
	case []any:
		if name == "groups" {
			list := make([]string, len(v))
			for i, one := range v {
				group, ok := one.(string)
				if !ok || strings.ContainsAny(group, ";,") {
					return "", false, errors.New("must be a list of names, without ; and ,")
				}
				list[i] = group
			}
			return strings.Join(list, ";"), true, nil
		}
	}
	return "", false, errors.New("has a value of another kind")
}
