package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"radiusd/aaa"
	"radiusd/dictionary"
)

// dictionaries is the resource /dictionary.
type dictionaries struct {
	dict       *dictionary.Dictionary
	templates  *aaa.Templates
	attributes []*dictionary.Attribute // by name
}

func newDictionaries(dict *dictionary.Dictionary, templates *aaa.Templates) dictionaries {
	return dictionaries{
		dict: dict, templates: templates,
		attributes: slices.SortedFunc(dict.Attributes(), func(a, b *dictionary.Attribute) int { return cmp.Compare(a.Name, b.Name) }),
	}
}

// standardSpace is what the attributes without a vendor are called.
const standardSpace = "standard"

func (h *dictionaries) ListAttributes(_ context.Context, r ListAttributesRequestObject) (ListAttributesResponseObject, error) {
	const list = "attributes"
	filter := [2]string{r.Params.Q, r.Params.Vendor}
	first := 0
	if r.Params.Cursor != "" {
		keys, err := aaa.ParseCursor(r.Params.Cursor, list, "name", filter)
		if err != nil || len(keys) != 1 {
			return nil, aaa.ErrBadCursor
		}
		first, _ = slices.BinarySearchFunc(h.attributes, keys[0]+"\x00", func(a *dictionary.Attribute, key string) int { return cmp.Compare(a.Name, key) })
	}
	limit, q := page(r.Params.Cursor, r.Params.Limit, "").Limit, strings.ToLower(r.Params.Q)
	found := AttributeList{Items: []Attribute{}, NextCursor: nextCursor("")}
	for _, a := range h.attributes[first:] {
		if !strings.Contains(strings.ToLower(a.Name), q) || r.Params.Vendor != "" && !strings.EqualFold(r.Params.Vendor, vendorOf(a)) {
			continue
		}
		if len(found.Items) == limit {
			found.NextCursor = nextCursor(aaa.FormatCursor(list, "name", filter, found.Items[limit-1].Name))
			break
		}
		found.Items = append(found.Items, attributeOf(a))
	}
	return ListAttributes200JSONResponse(found), nil
}

func (h *dictionaries) GetAttribute(_ context.Context, r GetAttributeRequestObject) (GetAttributeResponseObject, error) {
	a, ok := h.dict.ByName(r.AttributeName)
	if !ok {
		return nil, problemf(http.StatusNotFound, "not_found", "the dictionary has no attribute %q", r.AttributeName)
	}
	body := attributeOf(a)
	body.Values = []AttributeValue{}
	for _, v := range a.Values() {
		body.Values = append(body.Values, AttributeValue{Name: v.Name, Number: count(v.Number)})
	}
	return GetAttribute200JSONResponse(body), nil
}

func (h *dictionaries) ListVendors(context.Context, ListVendorsRequestObject) (ListVendorsResponseObject, error) {
	return ListVendors200JSONResponse{Items: h.templates.Names()}, nil
}

func attributeOf(a *dictionary.Attribute) Attribute {
	return Attribute{
		Name: a.Name, Oid: a.OID.String(), Type: a.Type.String(), Vendor: vendorOf(a),
		Tagged: a.Tagged, Encrypted: a.Encrypt != dictionary.EncryptNone,
	}
}

func vendorOf(a *dictionary.Attribute) string {
	if a.Vendor == nil {
		return standardSpace
	}
	return a.Vendor.Name
}
