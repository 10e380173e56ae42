package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"radiusd/aaa"
	"radiusd/radius"
)

var nases = entity[aaa.NAS]{
	table: "nas", kind: "NAS", name: "address",
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
	head: func(n *aaa.NAS) head { return head{&n.ID, nasLabel(n.Prefix), &n.CreatedAt, &n.UpdatedAt} },
}

// nasLabel is how the address column holds the prefix.
func nasLabel(prefix netip.Prefix) string {
	value, _ := network{&prefix}.Value()
	label, _ := value.(string)
	return label
}

// normalPrefix is the one form in which a NAS's prefix is stored: masked, and
// never IPv4-mapped.
func normalPrefix(prefix netip.Prefix) netip.Prefix {
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked()
}

func checkNAS(nas *aaa.NAS) error {
	nas.Prefix = normalPrefix(nas.Prefix)
	if !nas.Prefix.IsValid() {
		return fmt.Errorf("a NAS needs an address or a prefix")
	}
	if len(nas.Secret) == 0 {
		return fmt.Errorf("NAS %s needs a secret", nasLabel(nas.Prefix))
	}
	if nas.Name != "" {
		return checkName("NAS", nas.Name)
	}
	return nil
}

// CreateNAS adds a NAS, normalises its prefix and sets its times, and its ID if
// that is zero. It fails with ErrExists if the prefix or the name is taken.
func (s *Store) CreateNAS(ctx context.Context, nas *aaa.NAS) error {
	if err := checkNAS(nas); err != nil {
		return err
	}
	return nases.create(ctx, s, nas)
}

// UpdateNAS lets fn change the NAS and writes it whole. fn may be called more
// than once. It may change the prefix, but not the ID.
func (s *Store) UpdateNAS(ctx context.Context, prefix netip.Prefix, fn func(*aaa.NAS) error) error {
	return nases.change(ctx, s, nasLabel(normalPrefix(prefix)), func(nas *aaa.NAS) error {
		if err := fn(nas); err != nil {
			return err
		}
		return checkNAS(nas)
	})
}

// DeleteNAS removes the NAS of exactly this prefix.
func (s *Store) DeleteNAS(ctx context.Context, prefix netip.Prefix) error {
	return nases.remove(ctx, s, nasLabel(normalPrefix(prefix)))
}

// NASByPrefix returns the NAS of exactly this prefix.
func (s *Store) NASByPrefix(ctx context.Context, prefix netip.Prefix) (*aaa.NAS, error) {
	return nases.get(ctx, s, "address", nasLabel(normalPrefix(prefix)))
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
