package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// apiTokens is the resource /api-tokens.
type apiTokens struct {
	service *operator.Service
}

func (h *apiTokens) ListAPITokens(ctx context.Context, r ListAPITokensRequestObject) (ListAPITokensResponseObject, error) {
	const list, sort = "api-tokens", "created_at"
	filter := operator.TokenFilter{OperatorID: r.Params.OperatorID}
	if r.Params.Cursor != "" {
		keys, err := aaa.ParseCursor(r.Params.Cursor, list, sort, r.Params.OperatorID)
		if err != nil || len(keys) != 1 {
			return nil, aaa.ErrBadCursor
		}
		if filter.After, err = uuid.Parse(keys[0]); err != nil {
			return nil, aaa.ErrBadCursor
		}
	}
	limit := page(r.Params.Cursor, r.Params.Limit, "").Limit
	filter.Limit = limit + 1
	found, err := h.service.APITokens(ctx, principalOf(ctx), filter)
	if err != nil {
		return nil, err
	}
	body := APITokenList{Items: []APIToken{}, NextCursor: nextCursor("")}
	if len(found) > limit {
		found = found[:limit]
		body.NextCursor = nextCursor(aaa.FormatCursor(list, sort, r.Params.OperatorID, found[limit-1].ID.String()))
	}
	for i := range found {
		token, err := h.represent(ctx, &found[i])
		if err != nil {
			return nil, err
		}
		body.Items = append(body.Items, token)
	}
	return ListAPITokens200JSONResponse(body), nil
}

func (h *apiTokens) CreateAPIToken(ctx context.Context, r CreateAPITokenRequestObject) (CreateAPITokenResponseObject, error) {
	n := operator.NewAPIToken{Name: r.Body.Name, ExpiresAt: orZero(r.Body.ExpiresAt)}
	var err error
	if n.Permissions, err = permissionSet(r.Body.Permissions); err != nil {
		return nil, err
	}
	for i, text := range r.Body.Sources {
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, invalidField(fmt.Sprintf("sources[%d]", i), "%q is neither an address nor a prefix", text)
		}
		n.Sources = append(n.Sources, prefix)
	}
	made, text, err := h.service.CreateAPIToken(ctx, principalOf(ctx), n)
	if id, again := repeated(err); again {
		return nil, repeatedOnce(id)
	}
	if err != nil {
		return nil, err
	}
	body, err := h.represent(ctx, made)
	if err != nil {
		return nil, err
	}
	return CreateAPIToken201JSONResponse{
		Body:    APITokenMade{Token: text, APIToken: body},
		Headers: CreateAPIToken201ResponseHeaders{Location: location("api-tokens", made.ID)},
	}, nil
}

func (h *apiTokens) GetAPIToken(ctx context.Context, r GetAPITokenRequestObject) (GetAPITokenResponseObject, error) {
	token, err := h.service.APIToken(ctx, principalOf(ctx), r.TokenID)
	if err != nil {
		return nil, err
	}
	body, err := h.represent(ctx, token)
	if err != nil {
		return nil, err
	}
	return GetAPIToken200JSONResponse(body), nil
}

func (h *apiTokens) DeleteAPIToken(ctx context.Context, r DeleteAPITokenRequestObject) (DeleteAPITokenResponseObject, error) {
	if err := h.service.RevokeAPIToken(ctx, principalOf(ctx), r.TokenID, nil); err != nil {
		return nil, err
	}
	return DeleteAPIToken204Response{}, nil
}

// represent is a token as the API shows it: all but the token.
func (h *apiTokens) represent(ctx context.Context, t *operator.APIToken) (APIToken, error) {
	name, err := h.service.OperatorName(ctx, t.OperatorID)
	if err != nil && !errors.Is(err, operator.ErrNotFound) { // he was deleted meanwhile
		return APIToken{}, err
	}
	sources := make([]string, len(t.Sources))
	for i, prefix := range t.Sources {
		sources[i] = prefixText(prefix)
	}
	return APIToken{
		ID: t.ID, OperatorID: t.OperatorID, OperatorName: name, Name: t.Name, Permissions: permissionNames(t.Permissions), Sources: sources,
		CreatedAt: t.CreatedAt, ExpiresAt: timeOrNull(t.ExpiresAt), LastUsedAt: timeOrNull(t.LastUsedAt), LastUsedFrom: textOrNull(t.LastUsedFrom),
	}, nil
}
