package api

import (
	"context"

	"github.com/oapi-codegen/nullable"

	"radiusd/aaa"
)

// SettingStore keeps the settings that can be changed while the servers run.
type SettingStore interface {
	Settings(ctx context.Context) (aaa.Settings, error)
	UpdateSettings(ctx context.Context, fn func(*aaa.Settings) error) (aaa.Settings, error)
}

// settings is the resource /settings.
type settings struct {
	spec  *specification
	store SettingStore
}

func (h *settings) GetSettings(ctx context.Context, _ GetSettingsRequestObject) (GetSettingsResponseObject, error) {
	s, err := h.store.Settings(ctx)
	if err != nil {
		return nil, err
	}
	body := settingsOf(&s)
	return GetSettings200JSONResponse{Body: body, Headers: GetSettings200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *settings) PatchSettings(ctx context.Context, r PatchSettingsRequestObject) (PatchSettingsResponseObject, error) {
	changed, err := h.store.UpdateSettings(ctx, func(s *aaa.Settings) error {
		present := settingsOf(s)
		if err := checkMatch(r.Params.IfMatch, present); err != nil {
			return err
		}
		input, err := patched(h.spec, "Settings", present, *r.Body)
		if err != nil {
			return err
		}
		for _, field := range []struct {
			days **int
			in   nullable.Nullable[int]
		}{
			{&s.AccountingRetentionDays, input.AccountingRetentionDays}, {&s.AuthRetentionDays, input.AuthRetentionDays},
			{&s.SessionPseudonymiseDays, input.SessionPseudonymiseDays}, {&s.AuditRetentionDays, input.AuditRetentionDays},
			{&s.EventRetentionDays, input.EventRetentionDays},
		} {
			*field.days = nil
			if days, err := field.in.Get(); err == nil {
				*field.days = &days
			}
		}
		return s.Validate()
	})
	if err != nil {
		return nil, err
	}
	body := settingsOf(&changed)
	return PatchSettings200JSONResponse{Body: body, Headers: PatchSettings200ResponseHeaders{ETag: etag(body)}}, nil
}

// settingsOf are the settings as the API shows them: null where the configuration or the
// program decides.
func settingsOf(s *aaa.Settings) Settings {
	days := func(p *int) nullable.Nullable[int] {
		if p == nil {
			return nullable.NewNullNullable[int]()
		}
		return nullable.NewNullableWithValue(*p)
	}
	return Settings{
		AccountingRetentionDays: days(s.AccountingRetentionDays), AuthRetentionDays: days(s.AuthRetentionDays),
		SessionPseudonymiseDays: days(s.SessionPseudonymiseDays), AuditRetentionDays: days(s.AuditRetentionDays),
		EventRetentionDays: days(s.EventRetentionDays),
	}
}
