package aaa

import (
	"context"
	"fmt"
)

// NASOf implements [ActionNASes]: the NAS that the session came from, by its id, or
// by its address if the entry of then is gone.
func (d *Directory) NASOf(_ context.Context, s *Session) (*NAS, error) {
	table := d.catalog.Load().nas
	entry := table.byID[s.NASID]
	if entry == nil && s.NASAddr.IsValid() {
		entry = table.lookup(s.NASAddr.Unmap())
	}
	if entry == nil {
		return nil, noNAS(s)
	}
	nas, ok := entry.Owner.(*NAS)
	if !ok {
		return nil, noNAS(s)
	}
	return nas, nil
}

// NASList is [ActionNASes] on a list of NASes, for who has no directory.
type NASList []NAS

// NASOf implements [ActionNASes] as [Directory.NASOf] does.
func (l NASList) NASOf(_ context.Context, s *Session) (*NAS, error) {
	var best *NAS
	for i := range l {
		nas := &l[i]
		if nas.ID == s.NASID {
			return nas, nil
		}
		if nas.Prefix.Contains(s.NASAddr) && (best == nil || nas.Prefix.Bits() > best.Prefix.Bits()) {
			best = nas
		}
	}
	if best == nil {
		return nil, noNAS(s)
	}
	return best, nil
}

func noNAS(s *Session) error {
	return fmt.Errorf("no NAS with the address %s is known any more, so there is no secret for it", s.NASAddr)
}
