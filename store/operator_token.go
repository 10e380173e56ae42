package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/operator"
)

var apiTokens = entity[operator.APIToken]{
	table: "api_tokens", kind: "API token",
	fields: func(_ *Store, t *operator.APIToken) []field {
		return []field{
			{"id", id{&t.ID}},
			{"operator_id", id{&t.OperatorID}},
			{"name", text{&t.Name}},
			{"hash", hidden{octets{&t.Hash}}},
			{"permissions", word[operator.PermissionSet]{&t.Permissions, operator.StoredPermissionSet}},
			{"sources", word[prefixes]{(*prefixes)(&t.Sources), parsePrefixes}},
			{"expires_at", moment{&t.ExpiresAt}},
			{"last_used_at", moment{&t.LastUsedAt}},
			{"last_used_from", address{&t.LastUsedFrom}},
			{"created_at", moment{&t.CreatedAt}},
			{"updated_at", moment{&t.UpdatedAt}},
		}
	},
	valid: func(t *operator.APIToken) error { return t.Validate() },
	head:  func(t *operator.APIToken) head { return head{&t.ID, t.Name, &t.CreatedAt, &t.UpdatedAt} },
}

// prefixes are written with a space between them.
type prefixes []netip.Prefix

func (p prefixes) String() string {
	texts := make([]string, len(p))
	for i := range p {
		texts[i] = p[i].String()
	}
	return strings.Join(texts, " ")
}

func parsePrefixes(s string) (list prefixes, err error) {
	for text := range strings.FieldsSeq(s) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// CreateAPIToken implements operator.TokenStore.
func (s *Store) CreateAPIToken(ctx context.Context, t *operator.APIToken) error {
	return operatorError(apiTokens.create(ctx, s, t))
}

// ChangeAPIToken implements operator.TokenStore.
func (s *Store) ChangeAPIToken(ctx context.Context, tokenID uuid.UUID, fn func(*operator.APIToken) error) error {
	return operatorError(apiTokens.change(ctx, s, "id", tokenID.String(), fn))
}

// RemoveAPIToken implements operator.TokenStore.
func (s *Store) RemoveAPIToken(ctx context.Context, tokenID uuid.UUID, check func(*operator.APIToken) error) error {
	e := apiTokens
	e.removing = func(_ context.Context, _ *writeTx, t *operator.APIToken) error { return check(t) }
	return operatorError(e.remove(ctx, s, "id", tokenID.String(), nil))
}

// APITokenByID implements operator.TokenStore.
func (s *Store) APITokenByID(ctx context.Context, tokenID uuid.UUID) (*operator.APIToken, error) {
	t, err := apiTokens.get(ctx, s, "id", tokenID.String())
	return t, operatorError(err)
}

// ListAPITokens implements operator.TokenStore.
func (s *Store) ListAPITokens(ctx context.Context, filter operator.TokenFilter) (list []operator.APIToken, err error) {
	var c conditions
	if filter.OperatorID != uuid.Nil {
		c.add("operator_id = $%d", filter.OperatorID.String())
	}
	if filter.After != uuid.Nil {
		c.add("id > $%d", filter.After.String())
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		list, err = apiTokens.list(ctx, s, tx, c.where()+" ORDER BY id LIMIT "+pageLimit(filter.Limit), c.args, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list API tokens: %w", s.explain(err))
	}
	return list, nil
}

// TouchAPIToken implements operator.TokenStore. It is not a change that anybody made.
func (s *Store) TouchAPIToken(ctx context.Context, tokenID uuid.UUID, at time.Time, addr netip.Addr) error {
	err := s.write(ctx, func(tx *writeTx) error {
		_, err := tx.ExecContext(ctx, "UPDATE api_tokens SET last_used_at = $2, last_used_from = $3 WHERE id = $1",
			tokenID.String(), moment{&at}, address{&addr})
		return err
	})
	if err != nil {
		return fmt.Errorf("note the use of an API token: %w", s.explain(err))
	}
	return nil
}
