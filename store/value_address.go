package store

import (
	"database/sql/driver"
	"net/netip"
)

// address is an IP address; the zero Addr is NULL. IPv4-mapped addresses are
// stored as IPv4.
type address struct{ p *netip.Addr }

func (c address) Value() (driver.Value, error) {
	if !c.p.IsValid() {
		return nil, nil
	}
	return c.p.Unmap().WithZone("").String(), nil
}
func (c address) appendBinary(b []byte) []byte {
	if !c.p.IsValid() {
		return appendNull(b)
	}
	a := c.p.Unmap()
	return appendInet(b, a, a.BitLen())
}
func (c address) Scan(src any) error {
	switch v := src.(type) {
	case string:
		a, err := netip.ParseAddr(v)
		if err != nil {
			return err
		}
		*c.p = a
	case nil:
		*c.p = netip.Addr{}
	default:
		return mismatch(src, "address")
	}
	return nil
}

func (c address) scanBinary(b []byte) error {
	p, err := binaryInet(b)
	if err == nil && p.Addr().BitLen() != p.Bits() && p.IsValid() {
		err = mismatch(b, "address")
	}
	*c.p = p.Addr()
	return err
}

// binaryInet reads what appendInet writes; NULL is the zero Prefix.
func binaryInet(b []byte) (netip.Prefix, error) {
	if b == nil {
		return netip.Prefix{}, nil
	}
	if len(b) >= 4 {
		if addr, ok := netip.AddrFromSlice(b[4:]); ok && int(b[1]) <= addr.BitLen() {
			return netip.PrefixFrom(addr, int(b[1])), nil
		}
	}
	return netip.Prefix{}, mismatch(b, "inet")
}

// addressTexts writes addresses as the databases do.
func addressTexts(list []netip.Addr) []string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.Unmap().WithZone("").String()
	}
	return texts
}

// network is a prefix; the zero Prefix is NULL. A prefix of full length is
// stored as a plain address. Bits past the length are kept.
type network struct{ p *netip.Prefix }

func (c network) Value() (driver.Value, error) {
	if !c.p.IsValid() {
		return nil, nil
	}
	if c.p.IsSingleIP() {
		return c.p.Addr().String(), nil
	}
	return c.p.String(), nil
}
func (c network) appendBinary(b []byte) []byte {
	if !c.p.IsValid() {
		return appendNull(b)
	}
	return appendInet(b, c.p.Addr(), c.p.Bits())
}
func (c network) Scan(src any) error {
	switch v := src.(type) {
	case string:
		if a, err := netip.ParseAddr(v); err == nil {
			*c.p = netip.PrefixFrom(a, a.BitLen())
			return nil
		}
		prefix, err := netip.ParsePrefix(v)
		if err != nil {
			return err
		}
		*c.p = prefix
	case nil:
		*c.p = netip.Prefix{}
	default:
		return mismatch(src, "prefix")
	}
	return nil
}
func (c network) scanBinary(b []byte) (err error) {
	*c.p, err = binaryInet(b)
	return err
}
