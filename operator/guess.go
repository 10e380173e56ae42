package operator

import (
	"context"
	"net/netip"
)

// CheckGuess lets the principal have the password of somebody else checked. right does
// that, and reports whether it was right. Wrong ones are throttled as at sign-in, by
// the operator, whose API tokens count as he does, and for all passwords together; a
// right one does not make good for them, or one that he knows would let him try others
// for ever. It fails as right does, or with a *ThrottledError, and then right was not
// called.
func (s *Service) CheckGuess(ctx context.Context, by Principal, right func() (bool, error)) error {
	try, err := s.attempt(ctx, "guess:"+by.OperatorID.String(), netip.Addr{})
	if err != nil {
		return err
	}
	if ok, err := right(); ok || err != nil {
		try.cancelled(ctx)
		return err
	}
	return nil
}
