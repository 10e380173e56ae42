package store

import (
	"context"
	"database/sql"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/radius"
)

var planLists = lister[aaa.Plan]{
	name: "plans", sorts: aaa.PlanSorts(),
	keys: map[string]sortKey[aaa.Plan]{
		"name":       uniqueKey(textKey("name", func(p *aaa.Plan) string { return p.Name })),
		"created_at": timeKey("created_at", func(p *aaa.Plan) time.Time { return p.CreatedAt }),
	},
	id: idKey("id", func(p *aaa.Plan) uuid.UUID { return p.ID }),
}

var groupLists = lister[aaa.Group]{
	name: "groups", sorts: aaa.GroupSorts(),
	keys: map[string]sortKey[aaa.Group]{
		"name":       uniqueKey(textKey("name", func(g *aaa.Group) string { return g.Name })),
		"created_at": timeKey("created_at", func(g *aaa.Group) time.Time { return g.CreatedAt }),
	},
	id: idKey("id", func(g *aaa.Group) uuid.UUID { return g.ID }),
}

var nasLists = lister[aaa.NASRow]{
	name: "nas", sorts: aaa.NASSorts(),
	keys: map[string]sortKey[aaa.NASRow]{
		"address":    prefixKey("address", func(n *aaa.NASRow) netip.Prefix { return n.Prefix }),
		"name":       textKey("name", func(n *aaa.NASRow) string { return n.Name }),
		"created_at": timeKey("created_at", func(n *aaa.NASRow) time.Time { return n.CreatedAt }),
	},
	id: idKey("id", func(n *aaa.NASRow) uuid.UUID { return n.ID }),
}

func nameConditions(query string) (c conditions) {
	c.prefix("name", query)
	return c
}

// listOwners reads a page of plans or groups with their items, which owner names the
// column of.
func listOwners[T any](ctx context.Context, s *Store, e entity[T], p *listing[T], c conditions, owner string, items func(*T) *[]aaa.Item) (list []T, next string, err error) {
	rest, args := p.rest(c)
	err = s.read(ctx, func(tx *sql.Tx) error {
		if list, err = e.list(ctx, s, tx, rest, args, nil); err != nil || len(list) == 0 {
			return err
		}
		ids, byID := make([]uuid.UUID, len(list)), make(map[uuid.UUID]*T, len(list))
		for i := range list {
			ids[i] = *e.head(&list[i]).id
			byID[ids[i]] = &list[i]
		}
		which, args := s.isOneOf(ids)
		return eachItem(ctx, tx, owner, owner+" "+which, args, func(ownerID uuid.UUID, item aaa.Item) {
			if v := byID[ownerID]; v != nil {
				*items(v) = append(*items(v), item)
			}
		})
	})
	if err != nil {
		return nil, "", s.listFailed(p.list.name, err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// ListPlansPage returns a page of plans with their items, and the cursor of the next
// page; empty: there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListPlansPage(ctx context.Context, filter aaa.PlanFilter, page aaa.Page) ([]aaa.Plan, string, error) {
	p, err := planLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("plans", err)
	}
	return listOwners(ctx, s, plans, p, nameConditions(filter.Query), "plan_id", func(p *aaa.Plan) *[]aaa.Item { return &p.Items })
}

// CountPlans counts the plans that the filter selects.
func (s *Store) CountPlans(ctx context.Context, filter aaa.PlanFilter) (aaa.Count, error) {
	return s.count(ctx, "plans", "plans", nameConditions(filter.Query))
}

// CountPlanUsers tells how many users have each of the plans; one without users is
// missing.
func (s *Store) CountPlanUsers(ctx context.Context, planIDs []uuid.UUID) (map[uuid.UUID]int, error) {
	return s.countBy(ctx, "users of plans", "users", "plan_id", planIDs)
}

// ListGroupsPage returns a page of groups with their items, and the cursor of the next
// page; empty: there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListGroupsPage(ctx context.Context, filter aaa.GroupFilter, page aaa.Page) ([]aaa.Group, string, error) {
	p, err := groupLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("groups", err)
	}
	return listOwners(ctx, s, groups, p, nameConditions(filter.Query), "group_id", func(g *aaa.Group) *[]aaa.Item { return &g.Items })
}

// CountGroups counts the groups that the filter selects.
func (s *Store) CountGroups(ctx context.Context, filter aaa.GroupFilter) (aaa.Count, error) {
	return s.count(ctx, "groups", "groups", nameConditions(filter.Query))
}

// CountGroupMembers tells how many members each of the groups has; one without any is
// missing.
func (s *Store) CountGroupMembers(ctx context.Context, groupIDs []uuid.UUID) (map[uuid.UUID]int, error) {
	return s.countBy(ctx, "members of groups", "user_groups", "group_id", groupIDs)
}

// countBy counts a table's rows by a column of ids, of no more than a page of them.
func (s *Store) countBy(ctx context.Context, what, table, column string, ids []uuid.UUID) (map[uuid.UUID]int, error) {
	counts := make(map[uuid.UUID]int, len(ids))
	if len(ids) == 0 {
		return counts, nil
	}
	which, args := s.isOneOf(ids)
	var of uuid.UUID
	var n int
	err := eachRow(ctx, s.reader, "SELECT "+column+", count(*) FROM "+table+" WHERE "+column+" "+which+" GROUP BY "+column, args,
		[]any{id{&of}, &n}, func() error {
			counts[of] = n
			return nil
		})
	if err != nil {
		return nil, s.listFailed(what, err)
	}
	return counts, nil
}

func nasConditions(f aaa.NASFilter) (c conditions) {
	c.prefix("name", f.Query)
	if f.Vendor != nil {
		c.add("vendor = $%d", cleanText(*f.Vendor))
	}
	if f.Contains.IsValid() {
		c.in("address", coveringTexts(f.Contains))
	}
	return c
}

// coveringTexts are all the prefixes that contain the address, the address first, as the
// databases hold them.
func coveringTexts(addr netip.Addr) []string {
	addr = addr.Unmap().WithZone("")
	texts := make([]string, 0, addr.BitLen()+1)
	for bits := addr.BitLen(); bits >= 0; bits-- {
		prefix, _ := addr.Prefix(bits) // it fits
		texts = append(texts, nasLabel(prefix))
	}
	return texts
}

// ListNASPage returns a page of NASes, and the cursor of the next page; empty: there is
// none. It opens no secret. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListNASPage(ctx context.Context, filter aaa.NASFilter, page aaa.Page) (rows []aaa.NASRow, next string, err error) {
	p, err := nasLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("NASes", err)
	}
	rest, args := p.rest(nasConditions(filter))
	if rows, err = s.nasRows(ctx, rest, args); err != nil {
		return nil, "", s.listFailed("NASes", err)
	}
	rows, next = p.page(rows)
	return rows, next, nil
}

// NASRowByID returns a NAS as a list has it, without a look at its secrets.
func (s *Store) NASRowByID(ctx context.Context, nasID uuid.UUID) (*aaa.NASRow, error) {
	rows, err := s.nasRows(ctx, "WHERE id = $1", []any{nasID.String()})
	if err == nil && len(rows) == 0 {
		err = notFound("NAS", nasID.String())
	}
	if err != nil {
		return nil, nases.failed(s, "read", nasID.String(), err)
	}
	return &rows[0], nil
}

func (s *Store) nasRows(ctx context.Context, rest string, args []any) (rows []aaa.NASRow, err error) {
	var n aaa.NASRow
	fields := []field{
		{"id", id{&n.ID}},
		{"name", text{&n.Name}},
		{"address", network{&n.Prefix}},
		{"previous_secret IS NOT NULL", flag{&n.HasPreviousSecret}},
		{"vendor", text{&n.Vendor}},
		{"coa_port", whole[uint16]{&n.CoAPort}},
		{"require_message_authenticator", word[radius.Requirement]{&n.RequireMessageAuthenticator, radius.ParseRequirement}},
		{"limit_proxy_state", flag{&n.LimitProxyState}},
		{"created_at", moment{&n.CreatedAt}},
		{"updated_at", moment{&n.UpdatedAt}},
	}
	err = s.eachListed(ctx, "SELECT "+names(fields)+" FROM nas "+rest, args, targets(fields), func() error {
		rows = append(rows, n)
		return nil
	})
	return rows, err
}

// CountNASes counts the NASes that the filter selects.
func (s *Store) CountNASes(ctx context.Context, filter aaa.NASFilter) (aaa.Count, error) {
	return s.count(ctx, "NASes", "nas", nasConditions(filter))
}
