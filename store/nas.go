package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/radius"
)

var nases = entity[aaa.NAS]{
	table: "nas", kind: "NAS",
	fields: func(s *Store, n *aaa.NAS) []field {
		return []field{
			{"id", id{&n.ID}},
			{"name", text{&n.Name}},
			{"address", network{&n.Prefix}},
			{"secret", secret{p: &n.Secret, owner: &n.ID, column: "nas.secret", sealer: s.sealer}},
			{"previous_secret", secret{p: &n.PreviousSecret, owner: &n.ID, column: "nas.previous_secret", sealer: s.sealer}},
			{"vendor", text{&n.Vendor}},
			{"coa_port", whole[uint16]{&n.CoAPort}},
			{"require_message_authenticator", word[radius.Requirement]{&n.RequireMessageAuthenticator, radius.ParseRequirement}},
			{"limit_proxy_state", flag{&n.LimitProxyState}},
			{"created_at", moment{&n.CreatedAt}},
			{"updated_at", moment{&n.UpdatedAt}},
		}
	},
	valid: func(n *aaa.NAS) error {
		n.Prefix = aaa.NormalizePrefix(n.Prefix)
		return n.Validate()
	},
	unique: map[string]uniqueIndex{"name": {"nas_name", "nas.name"}},
	head:   func(n *aaa.NAS) head { return head{&n.ID, nasLabel(n.Prefix), &n.CreatedAt, &n.UpdatedAt} },
}

// nasLabel is how the address column holds the prefix.
func nasLabel(prefix netip.Prefix) string {
	value, _ := network{&prefix}.Value()
	label, _ := value.(string)
	return label
}

// CreateNAS adds a NAS, normalises its prefix and sets its times, and its ID if
// that is zero. It fails with ErrExists if the prefix or the name is taken.
func (s *Store) CreateNAS(ctx context.Context, nas *aaa.NAS) error {
	return nases.create(ctx, s, nas)
}

// UpdateNAS lets fn change the NAS and writes it whole. fn may be called more
// than once. It may change the prefix, but not the ID.
func (s *Store) UpdateNAS(ctx context.Context, prefix netip.Prefix, fn func(*aaa.NAS) error) error {
	return nases.change(ctx, s, "address", nasLabel(aaa.NormalizePrefix(prefix)), fn)
}

// ChangeNAS is UpdateNAS of the NAS of that id. An error of fn leaves it as it was.
func (s *Store) ChangeNAS(ctx context.Context, nasID uuid.UUID, fn func(*aaa.NAS) error) error {
	return nases.change(ctx, s, "id", nasID.String(), fn)
}

// RemoveNAS removes the NAS of that id. An error of check, which sees it
// in the same transaction, leaves it; nil checks nothing.
func (s *Store) RemoveNAS(ctx context.Context, nasID uuid.UUID, check func(*aaa.NAS) error) error {
	return nases.remove(ctx, s, "id", nasID.String(), check)
}

// DeleteNAS removes the NAS of exactly this prefix.
func (s *Store) DeleteNAS(ctx context.Context, prefix netip.Prefix) error {
	return nases.remove(ctx, s, "address", nasLabel(aaa.NormalizePrefix(prefix)), nil)
}

// NASByPrefix returns the NAS of exactly this prefix.
func (s *Store) NASByPrefix(ctx context.Context, prefix netip.Prefix) (*aaa.NAS, error) {
	return nases.get(ctx, s, "address", nasLabel(aaa.NormalizePrefix(prefix)))
}

// NASByID returns the NAS of that id.
func (s *Store) NASByID(ctx context.Context, nasID uuid.UUID) (*aaa.NAS, error) {
	return nases.get(ctx, s, "id", nasID.String())
}

// NASByName returns the NAS of this name.
func (s *Store) NASByName(ctx context.Context, name string) (*aaa.NAS, error) {
	if name == "" {
		return nil, notFound("NAS", name)
	}
	return nases.get(ctx, s, "name", name)
}

// NASes returns all NASes by address. One whose secret cannot be opened is
// logged and left out: it cannot be served.
func (s *Store) NASes(ctx context.Context) ([]aaa.NAS, error) {
	list, err := nases.list(ctx, s, s.reader, "", nil, s.logDamage)
	if err != nil {
		return nil, fmt.Errorf("list NASes: %w", s.explain(err))
	}
	served := list[:0]
	for _, nas := range list {
		if nas.Secret != nil {
			served = append(served, nas)
		}
	}
	slices.SortFunc(served, func(a, b aaa.NAS) int { return a.Prefix.Compare(b.Prefix) })
	return served, nil
}

func (s *Store) logDamage(err error) { s.logger.Error("a stored secret cannot be read", "err", err) }
