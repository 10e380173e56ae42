package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
)

// missing adds the names that may have been meant to an error about a thing that
// does not exist.
func missing(err error, name string, names func() []string) error {
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w%s", err, hint(name, names()))
}

// nearUsers returns names that may have been meant by a misspelt one, without
// reading all of a large store: those that one slip of the finger makes of it, and
// some of those that begin as it does.
func nearUsers(ctx context.Context, s *store.Store, name string) []string {
	var names []string
	for _, slip := range slips(name) {
		if user, err := s.UserByName(ctx, slip); err == nil {
			names = append(names, user.Name)
		}
	}
	for end := len(name); end > 0 && len(names) < 100; end-- {
		if end < len(name) && !utf8.RuneStart(name[end]) {
			continue
		}
		list, err := s.ListUsers(ctx, store.UserFilter{Prefix: name[:end], Limit: 1000})
		if err != nil {
			break
		}
		names = append(names, namesOf(list, func(u *aaa.User) string { return u.Name })...)
	}
	return names
}

// maxSlips bounds the queries for one misspelt name.
const maxSlips = 32

// slips returns what a name becomes with one character less, two neighbours
// swapped, or in lower case.
func slips(name string) []string {
	runes := []rune(name)
	if len(runes) < 3 || 2*len(runes) > maxSlips {
		return []string{strings.ToLower(name)}
	}
	list := []string{strings.ToLower(name)}
	for i := range runes {
		list = append(list, string(slices.Concat(runes[:i], runes[i+1:])))
		if i > 0 {
			swapped := slices.Clone(runes)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			list = append(list, string(swapped))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func planNames(ctx context.Context, s *store.Store) []string {
	list, _ := s.Plans(ctx) // only for a hint
	return namesOf(list, func(p *aaa.Plan) string { return p.Name })
}

func groupNames(ctx context.Context, s *store.Store) []string {
	list, _ := s.Groups(ctx)
	return namesOf(list, func(g *aaa.Group) string { return g.Name })
}

func namesOf[T any](list []T, name func(*T) string) []string {
	names := make([]string, 0, len(list))
	for i := range list {
		if n := name(&list[i]); n != "" {
			names = append(names, n)
		}
	}
	return names
}

// directoryNames gives plans and groups by id and by name.
type directoryNames struct {
	plans, groups map[uuid.UUID]string
}

func readNames(ctx context.Context, s *store.Store) (directoryNames, error) {
	n := directoryNames{plans: map[uuid.UUID]string{}, groups: map[uuid.UUID]string{}}
	plans, err := s.Plans(ctx)
	if err != nil {
		return n, err
	}
	for i := range plans {
		n.plans[plans[i].ID] = plans[i].Name
	}
	groups, err := s.Groups(ctx)
	for i := range groups {
		n.groups[groups[i].ID] = groups[i].Name
	}
	return n, err
}

// eachUser gives the users that the filter selects, by name.
func eachUser(ctx context.Context, s *store.Store, filter store.UserFilter) iter.Seq2[*aaa.User, error] {
	return eachPage(filter.Limit, func(limit int, last *aaa.User) ([]aaa.User, error) {
		page := filter
		if page.Limit = limit; last != nil {
			page.After = last.Name
		}
		return s.ListUsers(ctx, page)
	})
}

// eachPage gives what list returns page by page, at most limit of them (0: all). A page
// comes after the last one of the page before; of the first page that is nil.
func eachPage[T any](limit int, list func(limit int, last *T) ([]T, error)) iter.Seq2[*T, error] {
	const pageSize = 1000
	return func(yield func(*T, error) bool) {
		var last *T
		for left := limit; limit == 0 || left > 0; {
			size := pageSize
			if limit > 0 {
				size = min(size, left)
			}
			page, err := list(size, last)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page {
				if !yield(&page[i], nil) {
					return
				}
			}
			if len(page) < size {
				return
			}
			left -= len(page)
			last = &page[len(page)-1]
		}
	}
}

// itemFlags are the flags for the check and reply items of a user, group or plan.
type itemFlags struct {
	check, reply, addCheck, addReply []string
	clearCheck, clearReply           bool
}

// register adds the flags; changing adds those that only make sense on what exists.
func (f *itemFlags) register(a *app, c *cobra.Command, changing bool) {
	flags := c.Flags()
	flags.StringArrayVar(&f.check, "check", nil, "check item `'ATTRIBUTE OP VALUE'` (repeated)")
	flags.StringArrayVar(&f.reply, "reply", nil, "reply item `'ATTRIBUTE OP VALUE'` (repeated)")
	names := []string{"check", "reply"}
	if changing {
		flags.Lookup("check").Usage += ", replacing all check items"
		flags.Lookup("reply").Usage += ", replacing all reply items"
		flags.StringArrayVar(&f.addCheck, "add-check", nil, "further check `ITEM`")
		flags.StringArrayVar(&f.addReply, "add-reply", nil, "further reply `ITEM`")
		flags.BoolVar(&f.clearCheck, "clear-check", false, "remove all check items")
		flags.BoolVar(&f.clearReply, "clear-reply", false, "remove all reply items")
		names = append(names, "add-check", "add-reply")
	}
	for _, name := range names {
		completeFlagFunc(c, name, a.completeAttributes)
	}
}

// apply returns the items after what the flags change, in the order check, reply.
func (f *itemFlags) apply(items []aaa.Item) ([]aaa.Item, error) {
	var result []aaa.Item
	for _, k := range []struct {
		kind         aaa.ItemKind
		replace, add []string
		clear        bool
	}{
		{aaa.CheckItem, f.check, f.addCheck, f.clearCheck},
		{aaa.ReplyItem, f.reply, f.addReply, f.clearReply},
	} {
		if !k.clear && len(k.replace) == 0 {
			for _, item := range items {
				if item.Kind == k.kind {
					result = append(result, item)
				}
			}
		}
		for _, text := range slices.Concat(k.replace, k.add) {
			item, err := parseItem(k.kind, text)
			if err != nil {
				return nil, err
			}
			result = append(result, item)
		}
	}
	return result, nil
}

var itemPattern = regexp.MustCompile(`^\s*([A-Za-z0-9_./-]+(?::[0-9]+)?)\s*(==|:=|\+=|!=|<=|>=|=~|!~|=\*|!\*|=|<|>)\s*(.*?)\s*$`)

// parseItem reads an item as people write it: Attribute op value. Whether the
// dictionary knows the attribute is checked with the other items.
func parseItem(kind aaa.ItemKind, text string) (aaa.Item, error) {
	m := itemPattern.FindStringSubmatch(text)
	if m == nil {
		return aaa.Item{}, usagef("%s item %q is not 'ATTRIBUTE OP VALUE', like 'Framed-IP-Address := 192.0.2.7'", kind, text)
	}
	return aaa.Item{Kind: kind, Attribute: m[1], Op: m[2], Value: m[3]}, nil
}

// itemTexts lists the items of a kind as parseItem reads them.
func itemTexts(items []aaa.Item, kind aaa.ItemKind) []string {
	texts := []string{}
	for _, item := range items {
		if item.Kind == kind {
			texts = append(texts, strings.TrimSpace(item.Attribute+" "+item.Op+" "+item.Value))
		}
	}
	return texts
}

// validateItems checks items against the configured dictionary.
func validateItems(c *config.Config, items []aaa.Item) error {
	if len(items) == 0 {
		return nil
	}
	d, err := openDictionary(c)
	if err != nil {
		return err
	}
	return invalid(aaa.ValidateItems(d, items))
}

// invalid marks an error as one of the command line.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return usagef("%s", oneLine(err))
}

// anyChanged reports whether one of the command's own flags was given.
func anyChanged(c *cobra.Command) bool {
	changed := false
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { changed = changed || f.Changed })
	return changed
}

// tableTime writes a time for people; empty for none.
func tableTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
