package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"radiusd/operator"
)

// guard lets a request in if its bearer may call the operation, before anything else of
// the request is looked at.
func (rt *router) guard(o *operation, r *http.Request) (context.Context, error) {
	ctx := r.Context()
	addr := clientAddr(r)
	if o.access == public {
		return operator.WithActor(ctx, operator.Actor{Kind: operator.ActorSystem, RequestID: RequestID(ctx), Addr: addr}), nil
	}
	if len(r.Header.Values("Authorization")) > 1 { // whose request is it?
		return nil, operator.ErrUnauthenticated
	}
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return nil, operator.ErrUnauthenticated
	}
	principal, err := rt.auth.Authenticate(ctx, bearer, addr)
	if err != nil {
		return nil, err
	}
	principal.Actor.RequestID, principal.Actor.Addr = RequestID(ctx), addr
	rt.tell(ctx, principal.Actor)
	if o.access == byPermission {
		if err := principal.Require(o.permission); err != nil {
			return nil, err
		}
	}
	ctx = context.WithValue(ctx, principalKey{}, principal)
	return operator.WithActor(ctx, principal.Actor), nil
}

type principalKey struct{}

// principalOf returns who calls. There is somebody in every operation that is not
// public.
func principalOf(ctx context.Context) operator.Principal {
	principal, _ := ctx.Value(principalKey{}).(operator.Principal)
	return principal
}

type clientAddrKey struct{}

// WithClientAddr returns a context of a request that came from addr, through a proxy
// that is trusted. Without it, it is the connection's other end.
func WithClientAddr(ctx context.Context, addr netip.Addr) context.Context {
	return context.WithValue(ctx, clientAddrKey{}, addr)
}

// clientAddr returns where a request came from; invalid if that is not known.
func clientAddr(r *http.Request) netip.Addr {
	if addr, ok := r.Context().Value(clientAddrKey{}).(netip.Addr); ok {
		return addr
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap().WithZone("")
}

type requestIDKey struct{}

// WithRequestID returns a context of the request with this id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id of the request; empty if it has none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
