package api

import (
	"context"
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/radius"
)

// NASStore keeps NASes; see PlanStore for what is the same.
type NASStore interface {
	// ListNASPage and NASRowByID do not open secrets.
	ListNASPage(ctx context.Context, filter aaa.NASFilter, page aaa.Page) (nases []aaa.NASRow, next string, err error)
	NASRowByID(ctx context.Context, id uuid.UUID) (*aaa.NASRow, error)
	CountNASes(ctx context.Context, filter aaa.NASFilter) (aaa.Count, error)
	CreateNAS(ctx context.Context, nas *aaa.NAS) error
	ChangeNAS(ctx context.Context, id uuid.UUID, fn func(*aaa.NAS) error) error
	RemoveNAS(ctx context.Context, id uuid.UUID, check func(*aaa.NAS) error) error
}

// nases is the resource /nas.
type nases struct {
	spec      *specification
	store     NASStore
	templates *aaa.Templates
}

func (h *nases) ListNAS(ctx context.Context, r ListNASRequestObject) (ListNASResponseObject, error) {
	filter := aaa.NASFilter{Query: r.Params.Q}
	if r.Params.Vendor != "" {
		filter.Vendor = &r.Params.Vendor
	}
	var err error
	if filter.Contains, err = addressParameter("contains", r.Params.Contains); err != nil {
		return nil, err
	}
	found, next, err := h.store.ListNASPage(ctx, filter, page(r.Params.Cursor, r.Params.Limit, r.Params.Sort))
	if err != nil {
		return nil, err
	}
	list := NASList{Items: make([]NAS, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = nasOf(&found[i])
	}
	if r.Params.Count {
		if list.Total, err = total(h.store.CountNASes(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListNAS200JSONResponse(list), nil
}

func (h *nases) CreateNAS(ctx context.Context, r CreateNASRequestObject) (CreateNASResponseObject, error) {
	nas := aaa.NAS{}
	if r.Body.Secret == "" {
		return nil, invalidField("secret", "a NAS needs a secret")
	}
	if err := h.fill(&nas, *r.Body); err != nil {
		return nil, err
	}
	err := h.store.CreateNAS(ctx, &nas)
	id, again := repeated(err)
	if !again && err != nil {
		return nil, err
	}
	if !again {
		id = nas.ID
	}
	body, err := h.read(ctx, id)
	if err != nil {
		return nil, err
	}
	return CreateNAS201JSONResponse{Body: body, Headers: CreateNAS201ResponseHeaders{ETag: etag(body), Location: location("nas", body.ID)}}, nil
}

func (h *nases) GetNAS(ctx context.Context, r GetNASRequestObject) (GetNASResponseObject, error) {
	body, err := h.read(ctx, r.NasID)
	if err != nil {
		return nil, err
	}
	return GetNAS200JSONResponse{Body: body, Headers: GetNAS200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *nases) ReplaceNAS(ctx context.Context, r ReplaceNASRequestObject) (ReplaceNASResponseObject, error) {
	body, err := h.change(ctx, r.NasID, r.Params.IfMatch, func(NASInput) (NASInput, error) { return *r.Body, nil })
	if err != nil {
		return nil, err
	}
	return ReplaceNAS200JSONResponse{Body: body, Headers: ReplaceNAS200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *nases) PatchNAS(ctx context.Context, r PatchNASRequestObject) (PatchNASResponseObject, error) {
	body, err := h.change(ctx, r.NasID, r.Params.IfMatch, func(present NASInput) (NASInput, error) {
		return patched(h.spec, "NASInput", present, *r.Body)
	})
	if err != nil {
		return nil, err
	}
	return PatchNAS200JSONResponse{Body: body, Headers: PatchNAS200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *nases) DeleteNAS(ctx context.Context, r DeleteNASRequestObject) (DeleteNASResponseObject, error) {
	err := h.store.RemoveNAS(ctx, r.NasID, func(nas *aaa.NAS) error { return checkMatch(r.Params.IfMatch, nasOf(nasRowOf(nas))) })
	if err != nil {
		return nil, err
	}
	return DeleteNAS204Response{}, nil
}

// change makes a NAS what edit makes of its present input.
func (h *nases) change(ctx context.Context, id uuid.UUID, ifMatch string, edit func(NASInput) (NASInput, error)) (NAS, error) {
	err := h.store.ChangeNAS(ctx, id, func(nas *aaa.NAS) error {
		present := nasOf(nasRowOf(nas))
		if err := checkMatch(ifMatch, present); err != nil {
			return err
		}
		input, err := edit(NASInput{
			Name: present.Name, Address: present.Address, Vendor: present.Vendor, CoaPort: present.CoaPort,
			RequireMessageAuthenticator: present.RequireMessageAuthenticator, LimitProxyState: &present.LimitProxyState,
		})
		if err != nil {
			return err
		}
		return h.fill(nas, input)
	})
	if err != nil {
		return NAS{}, err
	}
	return h.read(ctx, id)
}

func (h *nases) read(ctx context.Context, id uuid.UUID) (NAS, error) {
	nas, err := h.store.NASRowByID(ctx, id)
	if err != nil {
		return NAS{}, err
	}
	return nasOf(nas), nil
}

// fill makes the NAS what the input says. Secrets that it does not name stay.
func (h *nases) fill(nas *aaa.NAS, in NASInput) error {
	prefix, err := parsePrefix(in.Address)
	if err != nil {
		return invalidField("address", "%q is neither an address nor a prefix", in.Address)
	}
	if in.Vendor != nas.Vendor { // templates may have gone since
		if err := h.templates.ValidateVendor(in.Vendor); err != nil {
			return err
		}
	}
	require := radius.RequireYes
	if in.RequireMessageAuthenticator != "" {
		if require, err = radius.ParseRequirement(string(in.RequireMessageAuthenticator)); err != nil {
			return invalidField("require_message_authenticator", "%v", err)
		}
	}
	nas.Name, nas.Prefix, nas.Vendor, nas.CoAPort = in.Name, prefix, in.Vendor, uint16(in.CoaPort)
	nas.RequireMessageAuthenticator = require
	nas.LimitProxyState = in.LimitProxyState == nil || *in.LimitProxyState
	keep := in.KeepPreviousSecret
	switch {
	case in.Secret != "" && keep != nil && *keep:
		nas.PreviousSecret = nas.Secret
	case in.Secret != "" || keep != nil && !*keep:
		nas.PreviousSecret = nil
	}
	if in.Secret != "" {
		nas.Secret = []byte(in.Secret)
	}
	return nas.Validate()
}

// nasRowOf is a NAS without its secrets.
func nasRowOf(n *aaa.NAS) *aaa.NASRow {
	return &aaa.NASRow{
		ID: n.ID, Name: n.Name, Prefix: n.Prefix, HasPreviousSecret: len(n.PreviousSecret) > 0,
		Vendor: n.Vendor, CoAPort: n.CoAPort,
		RequireMessageAuthenticator: n.RequireMessageAuthenticator, LimitProxyState: n.LimitProxyState,
		CreatedAt: n.CreatedAt, UpdatedAt: n.UpdatedAt,
	}
}

// nasOf is a NAS as the API shows it.
func nasOf(n *aaa.NASRow) NAS {
	return NAS{
		ID: n.ID, Name: n.Name, Address: prefixText(n.Prefix), HasPreviousSecret: n.HasPreviousSecret,
		Vendor: n.Vendor, CoaPort: int(n.CoAPort),
		RequireMessageAuthenticator: Requirement(n.RequireMessageAuthenticator.String()), LimitProxyState: n.LimitProxyState,
		CreatedAt: n.CreatedAt, UpdatedAt: n.UpdatedAt,
	}
}

// prefixText writes what parsePrefix reads.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// parsePrefix reads an address or a prefix.
func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// addressParameter reads an address of a filter; empty: none.
func addressParameter(name, text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, invalidField(name, "%q is not an address", text)
	}
	return addr, nil
}
