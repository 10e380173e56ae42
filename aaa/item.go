package aaa

import "fmt"

// ItemKind tells check items from reply items.
type ItemKind uint8

// The kinds of an item.
const (
	CheckItem ItemKind = iota // must hold for the request, or sets a control attribute
	ReplyItem                 // goes into the Access-Accept
)

var itemKindNames = [...]string{"check", "reply"}

// String returns the kind as it stands in the attributes table.
func (k ItemKind) String() string {
	if int(k) < len(itemKindNames) {
		return itemKindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseItemKind reads a kind as String writes it.
func ParseItemKind(s string) (ItemKind, error) {
	for i, name := range itemKindNames {
		if s == name {
			return ItemKind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown item kind %q: want check or reply", s)
}

// Item is one line of policy of a user, group or plan: an attribute, one of
// FreeRADIUS's operators and a value, all as text. The directory compiles items
// against the dictionary when it takes them in.
type Item struct {
	Kind      ItemKind
	Attribute string // dictionary name, with an optional :tag
	Op        string // ==, :=, =, +=, !=, <, >, <=, >=, =~, !~, =*, !*
	Value     string
}
