package api

import (
	"context"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/operator"
)

// GroupStore keeps groups; see PlanStore for what is the same.
type GroupStore interface {
	ListGroupsPage(ctx context.Context, filter aaa.GroupFilter, page aaa.Page) (groups []aaa.Group, next string, err error)
	CountGroups(ctx context.Context, filter aaa.GroupFilter) (aaa.Count, error)
	GroupByID(ctx context.Context, id uuid.UUID) (*aaa.Group, error)
	CreateGroup(ctx context.Context, group *aaa.Group) error
	ChangeGroup(ctx context.Context, id uuid.UUID, fn func(*aaa.Group) error) error
	RemoveGroup(ctx context.Context, id uuid.UUID, check func(*aaa.Group) error) error
}

// groups is the resource /groups.
type groups struct {
	spec  *specification
	dict  *dictionary.Dictionary
	store GroupStore
}

func (h *groups) ListGroups(ctx context.Context, r ListGroupsRequestObject) (ListGroupsResponseObject, error) {
	filter := aaa.GroupFilter{Query: r.Params.Q}
	found, next, err := h.store.ListGroupsPage(ctx, filter, page(r.Params.Cursor, r.Params.Limit, r.Params.Sort))
	if err != nil {
		return nil, err
	}
	list := GroupList{Items: make([]Group, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = h.show(ctx, &found[i])
	}
	if r.Params.Count {
		if list.Total, err = total(h.store.CountGroups(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListGroups200JSONResponse(list), nil
}

func (h *groups) CreateGroup(ctx context.Context, r CreateGroupRequestObject) (CreateGroupResponseObject, error) {
	group := &aaa.Group{}
	if err := h.fill(group, *r.Body); err != nil {
		return nil, err
	}
	err := h.store.CreateGroup(ctx, group)
	if id, again := repeated(err); again {
		group, err = h.store.GroupByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	body := groupOf(group)
	return CreateGroup201JSONResponse{Body: body, Headers: CreateGroup201ResponseHeaders{ETag: etag(body), Location: location("groups", body.ID)}}, nil
}

func (h *groups) GetGroup(ctx context.Context, r GetGroupRequestObject) (GetGroupResponseObject, error) {
	group, err := h.store.GroupByID(ctx, r.GroupID)
	if err != nil {
		return nil, err
	}
	body := h.show(ctx, group)
	return GetGroup200JSONResponse{Body: body, Headers: GetGroup200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *groups) ReplaceGroup(ctx context.Context, r ReplaceGroupRequestObject) (ReplaceGroupResponseObject, error) {
	body, err := h.change(ctx, r.GroupID, r.Params.IfMatch, func(GroupInput) (GroupInput, error) { return *r.Body, nil })
	if err != nil {
		return nil, err
	}
	return ReplaceGroup200JSONResponse{Body: body, Headers: ReplaceGroup200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *groups) PatchGroup(ctx context.Context, r PatchGroupRequestObject) (PatchGroupResponseObject, error) {
	body, err := h.change(ctx, r.GroupID, r.Params.IfMatch, func(present GroupInput) (GroupInput, error) {
		return patched(h.spec, "GroupInput", present, *r.Body)
	})
	if err != nil {
		return nil, err
	}
	return PatchGroup200JSONResponse{Body: body, Headers: PatchGroup200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *groups) DeleteGroup(ctx context.Context, r DeleteGroupRequestObject) (DeleteGroupResponseObject, error) {
	err := h.store.RemoveGroup(ctx, r.GroupID, func(group *aaa.Group) error { return checkMatch(r.Params.IfMatch, groupOf(group)) })
	if err != nil {
		return nil, err
	}
	return DeleteGroup204Response{}, nil
}

// change makes a group what edit makes of its present input.
func (h *groups) change(ctx context.Context, id uuid.UUID, ifMatch string, edit func(GroupInput) (GroupInput, error)) (Group, error) {
	err := h.store.ChangeGroup(ctx, id, func(group *aaa.Group) error {
		present := groupOf(group)
		if err := checkMatch(ifMatch, present); err != nil {
			return err
		}
		input, err := edit(GroupInput{Name: present.Name, CheckItems: present.CheckItems, ReplyItems: present.ReplyItems})
		if err != nil {
			return err
		}
		return h.fill(group, input)
	})
	if err != nil {
		return Group{}, err
	}
	group, err := h.store.GroupByID(ctx, id)
	if err != nil {
		return Group{}, err
	}
	return groupOf(group), nil
}

// fill makes the group what the input says.
func (h *groups) fill(group *aaa.Group, in GroupInput) error {
	group.Name, group.Items = in.Name, toItems(in.CheckItems, in.ReplyItems)
	return nameItems(group.Validate(h.dict), in.CheckItems)
}

// show is groupOf without what the caller may not see.
func (h *groups) show(ctx context.Context, g *aaa.Group) Group {
	body := groupOf(g)
	hideSecrets(ctx, h.dict, operator.GroupsWrite, body.CheckItems, body.ReplyItems)
	return body
}

// groupOf is a group as the API shows it.
func groupOf(g *aaa.Group) Group {
	return Group{
		ID: g.ID, Name: g.Name, CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt,
		CheckItems: itemsOf(g.Items, aaa.CheckItem), ReplyItems: itemsOf(g.Items, aaa.ReplyItem),
	}
}
