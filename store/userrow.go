package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// userRowFields are what a list shows of users and of what each has one of.
func userRowFields(u *aaa.UserRow) []field {
	return []field{
		{"users.id", id{&u.ID}},
		{"users.username", text{&u.Name}},
		{"users.status", word[aaa.UserStatus]{&u.Status, aaa.ParseUserStatus}},
		{"users.suspension", word[aaa.Suspension]{&u.Suspension, aaa.ParseSuspension}},
		{"users.credential_scheme", word[aaa.Scheme]{&u.Scheme, aaa.ParseScheme}},
		{"users.plan_id", nullID{&u.PlanID}},
		{"plans.name", text{&u.Plan}},
		{"users.batch_id", nullID{&u.BatchID}},
		{"users.expires_at", moment{&u.ExpiresAt}},
		{"users.simultaneous_use", whole[int]{&u.SimultaneousUse}},
		{"users.created_at", moment{&u.CreatedAt}},
		{"users.updated_at", moment{&u.UpdatedAt}},
		{"user_profiles.full_name", text{&u.Profile.FullName}},
		{"user_profiles.email", text{&u.Profile.Email}},
		{"user_profiles.phone", text{&u.Profile.Phone}},
		{"user_profiles.address", text{&u.Profile.Address}},
		{"user_profiles.note", text{&u.Profile.Note}},
	}
}

// userRowJoins follows users where the fields are asked for.
const userRowJoins = " LEFT JOIN user_profiles ON user_profiles.user_id = users.id LEFT JOIN plans ON plans.id = users.plan_id"

// readUserRows reads users with all that belongs to them, in one statement, which is one
// state of the database. from is what is called users, rest what follows; asked is read
// with each of them.
func (s *Store) readUserRows(ctx context.Context, q querier, from, rest string, args []any, asked ...field) (rows []aaa.UserRow, err error) {
	var u aaa.UserRow
	var groups []listedGroup
	var items []listedItem
	fields := append(userRowFields(&u), asked...)
	query := "SELECT " + names(fields) + ", " +
		s.jsonList("user_groups JOIN groups ON groups.id = user_groups.group_id WHERE user_groups.user_id = users.id",
			"user_groups.priority, user_groups.group_id", "user_groups.group_id", "user_groups.priority", "groups.name") + ", " +
		s.jsonList("attributes WHERE attributes.user_id = users.id",
			"attributes.id", "attributes.kind", "attributes.attribute", "attributes.op", "attributes.value") +
		" FROM " + from + userRowJoins + rest
	err = eachRow(ctx, q, query, args, append(targets(fields), jsonList[listedGroup]{&groups}, jsonList[listedItem]{&items}), func() error {
		u.Groups, u.GroupNames, u.Items = nil, nil, nil
		for _, g := range groups {
			u.Groups = append(u.Groups, aaa.Membership{GroupID: g.GroupID, Priority: g.Priority})
			u.GroupNames = append(u.GroupNames, g.Name)
		}
		for _, i := range items {
			kind, err := aaa.ParseItemKind(i.Kind)
			if err != nil {
				return err
			}
			u.Items = append(u.Items, aaa.Item{Kind: kind, Attribute: i.Attribute, Op: i.Op, Value: i.Value})
		}
		rows = append(rows, u)
		return nil
	})
	return rows, err
}

// listedGroup and listedItem are what a user has several of.
type listedGroup struct {
	GroupID  uuid.UUID `json:"group_id"`
	Priority int       `json:"priority"`
	Name     string    `json:"name"`
}

type listedItem struct {
	Kind      string `json:"kind"`
	Attribute string `json:"attribute"`
	Op        string `json:"op"`
	Value     string `json:"value"`
}

// jsonList is an expression for columns of rows: a JSON array with an object for each row
// that there is in from. The columns are named as in table.column.
func (s *Store) jsonList(from, order string, columns ...string) string {
	array, object := "json_group_array", "json_object"
	if s.pool != nil {
		array, object = "json_agg", "json_build_object"
	}
	members := make([]string, len(columns))
	for i, column := range columns {
		_, name, _ := strings.Cut(column, ".")
		members[i] = "'" + name + "', " + column
	}
	return "(SELECT " + array + "(" + object + "(" + strings.Join(members, ", ") + ") ORDER BY " + order + ") FROM " + from + ")"
}

// jsonList takes what the expression selects; no rows are nil.
type jsonList[T any] struct{ p *[]T }

func (c jsonList[T]) Scan(src any) error {
	*c.p = nil
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), c.p)
	case []byte:
		return json.Unmarshal(v, c.p)
	}
	return mismatch(src, "JSON")
}

// userRows reads users in the order of the ids; those that do not exist are missing.
func (s *Store) userRows(ctx context.Context, q querier, ids []uuid.UUID) ([]aaa.UserRow, error) {
	place := make(map[uuid.UUID]int, len(ids))
	for i, userID := range ids {
		place[userID] = i
	}
	var rows []aaa.UserRow
	for chunk := range slices.Chunk(ids, inListSize) {
		which, args := s.isOneOf(chunk)
		found, err := s.readUserRows(ctx, q, "users", " WHERE users.id "+which, args)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	slices.SortFunc(rows, func(a, b aaa.UserRow) int { return place[a.ID] - place[b.ID] })
	return rows, nil
}
