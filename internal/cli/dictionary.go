package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/dictionary"
)

func (a *app) dictionaryCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dictionary",
		Short: "Look up attributes and vendors",
		Example: `  radiusd dictionary lookup Mikrotik-Rate-Limit
  radiusd dictionary lookup 26.14988.8`,
	}
	c.AddCommand(a.dictionaryLookupCommand(), a.dictionaryVendorsCommand())
	return c
}

// attributeColumns describe an attribute; values are left to the caller.
var attributeColumns = []column[dictionary.Attribute]{
	{name: "name", value: func(d *dictionary.Attribute) any { return d.Name }},
	{name: "oid", value: func(d *dictionary.Attribute) any { return d.OID }},
	{name: "vendor", value: func(d *dictionary.Attribute) any {
		if d.Vendor == nil {
			return nil
		}
		return d.Vendor.Name
	}},
	{name: "type", value: func(d *dictionary.Attribute) any {
		if d.Size > 0 {
			return fmt.Sprintf("%s[%d]", d.Type, d.Size)
		}
		return d.Type
	}},
	{name: "flags", value: func(d *dictionary.Attribute) any { return attributeFlags(d) }},
	{name: "values", value: func(d *dictionary.Attribute) any { return attributeValues(d) }, detail: true},
}

func attributeFlags(d *dictionary.Attribute) []string {
	flags := []string{}
	add := func(on bool, name string) {
		if on {
			flags = append(flags, name)
		}
	}
	add(d.Tagged, "tagged")
	add(d.Encrypt != 0, fmt.Sprintf("encrypt=%d", d.Encrypt))
	add(d.Array, "array")
	add(d.Concat, "concat")
	add(d.Internal, "internal")
	add(d.Unknown, "unknown")
	return flags
}

func attributeValues(d *dictionary.Attribute) []string {
	values := []string{}
	for _, v := range d.Values() {
		values = append(values, fmt.Sprintf("%s=%d", v.Name, v.Number))
	}
	return values
}

func (a *app) dictionaryLookupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lookup NAME|OID",
		Short: "Show an attribute: number, type, flags and enumerated values",
		Long: `Shows the attribute with the given name, in any case, or number, as in 26.14988.8
for Vendor-Specific, vendor and attribute. With a * in the name, lists all that
fit the pattern.`,
		Example: `  radiusd dictionary lookup Service-Type
  radiusd dictionary lookup 26.9.1
  radiusd dictionary lookup 'Mikrotik-*'`,
		Args:              arguments("NAME|OID"),
		ValidArgsFunction: first(a.completeAttributes),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := a.dictionary()
			if err != nil {
				return err
			}
			if strings.Contains(args[0], "*") {
				return a.listAttributes(d, args[0])
			}
			attribute, err := d.Resolve(args[0])
			if err != nil {
				return err
			}
			return writeOne(a, attributeColumns, attribute)
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) listAttributes(d *dictionary.Dictionary, pattern string) error {
	var found []*dictionary.Attribute
	for attribute := range d.Attributes() {
		if matchPattern(strings.ToLower(pattern), strings.ToLower(attribute.Name)) {
			found = append(found, attribute)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("no attribute fits %q", pattern)
	}
	slices.SortStableFunc(found, func(x, y *dictionary.Attribute) int {
		return slices.Compare(x.OID, y.OID)
	})
	return writeList(a, attributeColumns, func(yield func(*dictionary.Attribute, error) bool) {
		for _, attribute := range found {
			if !yield(attribute, nil) {
				return
			}
		}
	})
}

// matchPattern reports whether name fits a pattern whose * stands for any text.
func matchPattern(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

func (a *app) dictionaryVendorsCommand() *cobra.Command {
	type vendor struct {
		*dictionary.Vendor
		attributes int
	}
	c := &cobra.Command{
		Use:               "vendors",
		Short:             "List the vendors with their numbers",
		Example:           "  radiusd dictionary vendors -o csv",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			d, err := a.dictionary()
			if err != nil {
				return err
			}
			count := map[uint32]int{}
			for attribute := range d.Attributes() {
				if attribute.Vendor != nil {
					count[attribute.Vendor.ID]++
				}
			}
			var vendors []vendor
			for v := range d.Vendors() {
				vendors = append(vendors, vendor{v, count[v.ID]})
			}
			slices.SortFunc(vendors, func(x, y vendor) int { return cmp.Compare(x.ID, y.ID) })
			return writeList(a, []column[vendor]{
				{name: "id", value: func(v *vendor) any { return v.ID }},
				{name: "name", value: func(v *vendor) any { return v.Name }},
				{name: "attributes", value: func(v *vendor) any { return v.attributes }},
			}, sliceRows(vendors))
		},
	}
	a.outputFlag(c)
	return c
}

// dictionary loads the configuration and the dictionary it names.
func (a *app) dictionary() (*dictionary.Dictionary, error) {
	c, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	return openDictionary(c)
}

// completeAttributes completes the name of an attribute.
func (a *app) completeAttributes(_ *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	d, err := a.dictionary()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for attribute := range d.Attributes() {
		if len(attribute.Name) >= len(toComplete) && strings.EqualFold(attribute.Name[:len(toComplete)], toComplete) {
			names = append(names, attribute.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
