package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"radiusd/aaa"
	"radiusd/dictionary"
)

// A fact is what the audit log knows of a row: a column, or a list that another
// table holds.
type fact struct {
	name string
	// value is JSON, to compare.
	value []byte
	// shown is what the log may say of it; nil: only that it has changed.
	shown []byte
}

// hidden is a column whose value the audit log must not say: a hash of a password,
// a URL with a token in it. What is of the type secret is hidden by itself.
type hidden struct{ column }

// personal is a column with personal data, of which the audit log says no more than
// of a secret: an entry can never be deleted before its time.
type personal struct{ column }

// unaudited are the columns that change with every change, or never do.
var unaudited = []string{"id", "user_id", "created_at", "updated_at"}

// factsOf returns the facts of a row's columns.
func factsOf(fields []field) ([]fact, error) {
	facts := make([]fact, 0, len(fields))
	for _, f := range fields {
		if slices.Contains(unaudited, f.name) {
			continue
		}
		var value any
		var err error
		mask := false
		switch c := f.column.(type) {
		case secret:
			value, mask = *c.p, true // not Value, which seals it anew each time
		case hidden:
			value, err = c.Value()
			mask = true
		case personal:
			value, err = c.Value()
			mask = true
		default:
			value, err = c.Value()
		}
		if err != nil {
			return nil, err
		}
		shown := value
		if mask {
			shown = nil
		}
		made, err := newFact(f.name, value, shown)
		if err != nil {
			return nil, err
		}
		facts = append(facts, made)
	}
	return facts, nil
}

// newFact returns a fact of any value that has a JSON form. shown is what the log
// may say; nil, if value is not: nothing.
func newFact(name string, value, shown any) (f fact, err error) {
	f.name = name
	if f.value, err = json.Marshal(value); err != nil {
		return f, err
	}
	if shown != nil || value == nil {
		f.shown, err = json.Marshal(shown)
	}
	return f, err
}

// none reports whether a value is the one that a column has when nothing was said.
func none(value []byte) bool {
	switch string(value) {
	case "", "null", `""`, "0", "false", "[]":
		return true
	}
	return false
}

// changesOf returns what the audit log says of the difference, as in
// operator.AuditEntry; nil: there is none. Without before, a row was made; without
// after, one is gone; of these it says what was not empty.
func changesOf(before, after []fact) (json.RawMessage, error) {
	type difference struct {
		Before  *json.RawMessage `json:"before,omitempty"`
		After   *json.RawMessage `json:"after,omitempty"`
		Changed bool             `json:"changed,omitempty"`
	}
	list := before
	if before == nil {
		list = after
	}
	changes := make(map[string]difference)
	for i := range list {
		var d difference
		var values, shown [][]byte
		for _, side := range []struct {
			facts []fact
			place **json.RawMessage
		}{{before, &d.Before}, {after, &d.After}} {
			if side.facts == nil {
				continue
			}
			f := side.facts[i]
			values = append(values, f.value)
			if f.shown == nil {
				d.Changed = true
			} else {
				shown = append(shown, f.shown)
				*side.place = (*json.RawMessage)(&f.shown)
			}
		}
		switch {
		case len(values) == 1 && none(values[0]), len(values) == 2 && bytes.Equal(values[0], values[1]):
			continue
		case len(shown) == 2 && bytes.Equal(shown[0], shown[1]):
			d.Changed = true // in what is not shown
		}
		if d.Changed {
			d.Before, d.After = nil, nil
		}
		changes[list[i].name] = d
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return json.Marshal(changes)
}

// same reports whether nothing has changed.
func same(before, after []fact) bool {
	return slices.EqualFunc(before, after, func(a, b fact) bool { return a.name == b.name && bytes.Equal(a.value, b.value) })
}

// itemFact is the fact of check and reply items, in order. The values of secret ones
// are not shown.
func itemFact(items []aaa.Item) (fact, error) {
	values, shown := make([]string, 0, len(items)), make([]string, 0, len(items))
	for _, item := range items {
		head := item.Kind.String() + " " + item.Attribute + " " + item.Op + " "
		values = append(values, head+item.Value)
		if secretItem(item) {
			item.Value = "(not shown)"
		}
		shown = append(shown, head+item.Value)
	}
	return newFact("items", values, shown)
}

var (
	secretName  = regexp.MustCompile(`(?i)password|passwd|secret|key\b|key-`)
	secretValue = regexp.MustCompile(`(?i)(password|passwd|secret|psk|key)\S*?\s*[=:]`) // Cisco-AVPair and the like
)

// secretItem reports whether an item's value is a secret: of an attribute that is
// hidden in packets, or by what it is called.
func secretItem(item aaa.Item) bool {
	name, _, _ := strings.Cut(item.Attribute, ":") // a tag
	if _, err := dictionary.Embedded().Resolve(strings.TrimSpace(name)); err == nil && item.Secret(dictionary.Embedded()) {
		return true
	}
	return secretName.MatchString(name) || secretValue.MatchString(item.Value)
}

// membershipFact is the fact of a user's groups.
func membershipFact(memberships []aaa.Membership) (fact, error) {
	type membership struct {
		GroupID  string `json:"group_id"`
		Priority int    `json:"priority"`
	}
	list := make([]membership, len(memberships))
	memberships = slices.Clone(memberships)
	slices.SortFunc(memberships, func(a, b aaa.Membership) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), compareIDs(a.GroupID, b.GroupID))
	})
	for i, m := range memberships {
		list[i] = membership{m.GroupID.String(), m.Priority}
	}
	return newFact("groups", list, list)
}
