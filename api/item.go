package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/operator"
)

// itemsOf returns the items of one kind as the API shows them.
func itemsOf(items []aaa.Item, kind aaa.ItemKind) Items {
	list := Items{}
	for _, item := range items {
		if item.Kind == kind {
			list = append(list, Item{Attribute: item.Attribute, Op: ItemOp(item.Op), Value: item.Value})
		}
	}
	return list
}

// hidden stands for a value that is a secret.
const hidden = "(not shown)"

// hideSecrets hides the values of items that are secrets, such as the password of a tunnel
// or the key of a wireless network, from who may not change them.
func hideSecrets(ctx context.Context, dict *dictionary.Dictionary, write operator.Permission, lists ...Items) {
	if principalOf(ctx).Can(write) {
		return
	}
	for _, list := range lists {
		for i, item := range list {
			if (aaa.Item{Attribute: item.Attribute, Value: item.Value}).Secret(dict) {
				list[i].Value = hidden
			}
		}
	}
}

// toItems returns check and reply items as the domain has them: in one list.
func toItems(check, reply Items) []aaa.Item {
	var list []aaa.Item
	add := func(kind aaa.ItemKind, items Items) {
		for _, item := range items {
			list = append(list, aaa.Item{Kind: kind, Attribute: item.Attribute, Op: string(item.Op), Value: item.Value})
		}
	}
	add(aaa.CheckItem, check)
	add(aaa.ReplyItem, reply)
	return list
}

// nameItems words the errors of a list that toItems made by the lists that were sent:
// items[2] is reply_items[1] if there was one check item.
func nameItems(err error, check Items) error {
	wrong := aaa.FieldErrors(err)
	if len(wrong) == 0 {
		return err
	}
	errs := make([]error, len(wrong))
	for i, e := range wrong {
		renamed := *e
		if text, ok := strings.CutPrefix(e.Field, "items["); ok {
			number, rest, _ := strings.Cut(text, "]")
			if n, err := strconv.Atoi(number); err == nil && n < len(check) {
				renamed.Field = fmt.Sprintf("check_items[%d]%s", n, rest)
			} else if err == nil {
				renamed.Field = fmt.Sprintf("reply_items[%d]%s", n-len(check), rest)
			}
		}
		errs[i] = &renamed
	}
	return errors.Join(errs...)
}
