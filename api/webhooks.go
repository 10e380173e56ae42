package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"radiusd/operator"
)

// WebhookStore keeps where events are posted to.
type WebhookStore interface {
	Webhooks(ctx context.Context) ([]operator.Webhook, error)
	WebhookByID(ctx context.Context, id uuid.UUID) (*operator.Webhook, error)
	CreateWebhook(ctx context.Context, w *operator.Webhook) error
	ChangeWebhook(ctx context.Context, id uuid.UUID, fn func(*operator.Webhook) error) error
	RemoveWebhook(ctx context.Context, id uuid.UUID, check func(*operator.Webhook) error) error
}

// DeliveryStore knows how the deliveries of events go.
type DeliveryStore interface {
	OutboxStatus(ctx context.Context) (consumers []operator.Consumer, last uint64, err error)
	ListDeliveries(ctx context.Context, webhookID uuid.UUID, before uint64, limit int) ([]operator.Delivery, error)
	RequestDelivery(ctx context.Context, webhookID, eventID uuid.UUID) (operator.Delivery, error)
}

// WebhookSender sends to webhooks, and says which URLs it would not send to.
type WebhookSender interface {
	operator.Sender
	CheckURL(url string) error
}

// webhooks is the resource /webhooks.
type webhooks struct {
	store      WebhookStore
	deliveries DeliveryStore
	sender     WebhookSender
	now        func() time.Time
}

func (h *webhooks) ListWebhooks(ctx context.Context, _ ListWebhooksRequestObject) (ListWebhooksResponseObject, error) {
	found, err := h.store.Webhooks(ctx)
	if err != nil {
		return nil, err
	}
	body := WebhookList{Items: []Webhook{}}
	progress, err := h.progress(ctx)
	if err != nil {
		return nil, err
	}
	for i := range found {
		body.Items = append(body.Items, progress.of(&found[i]))
	}
	return ListWebhooks200JSONResponse(body), nil
}

func (h *webhooks) CreateWebhook(ctx context.Context, r CreateWebhookRequestObject) (CreateWebhookResponseObject, error) {
	w := &operator.Webhook{Secret: operator.NewWebhookSecret()}
	if err := h.fill(w, *r.Body); err != nil {
		return nil, err
	}
	err := h.store.CreateWebhook(ctx, w)
	if id, again := repeated(err); again {
		return nil, repeatedOnce(id)
	}
	if err != nil {
		return nil, err
	}
	body, err := h.read(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	return CreateWebhook201JSONResponse{
		Body:    WebhookMade{Secret: operator.FormatWebhookSecret(w.Secret), Webhook: body},
		Headers: CreateWebhook201ResponseHeaders{ETag: etag(settled(body)), Location: location("webhooks", w.ID)},
	}, nil
}

func (h *webhooks) GetWebhook(ctx context.Context, r GetWebhookRequestObject) (GetWebhookResponseObject, error) {
	body, err := h.read(ctx, r.WebhookID)
	if err != nil {
		return nil, err
	}
	return GetWebhook200JSONResponse{Body: body, Headers: GetWebhook200ResponseHeaders{ETag: etag(settled(body))}}, nil
}

func (h *webhooks) ReplaceWebhook(ctx context.Context, r ReplaceWebhookRequestObject) (ReplaceWebhookResponseObject, error) {
	err := h.store.ChangeWebhook(ctx, r.WebhookID, func(w *operator.Webhook) error {
		if err := checkMatch(r.Params.IfMatch, settled(webhookOf(w))); err != nil {
			return err
		}
		return h.fill(w, *r.Body)
	})
	if err != nil {
		return nil, err
	}
	body, err := h.read(ctx, r.WebhookID)
	if err != nil {
		return nil, err
	}
	return ReplaceWebhook200JSONResponse{Body: body, Headers: ReplaceWebhook200ResponseHeaders{ETag: etag(settled(body))}}, nil
}

func (h *webhooks) DeleteWebhook(ctx context.Context, r DeleteWebhookRequestObject) (DeleteWebhookResponseObject, error) {
	err := h.store.RemoveWebhook(ctx, r.WebhookID, func(w *operator.Webhook) error {
		return checkMatch(r.Params.IfMatch, settled(webhookOf(w)))
	})
	if err != nil {
		return nil, err
	}
	return DeleteWebhook204Response{}, nil
}

func (h *webhooks) RotateWebhookSecret(ctx context.Context, r RotateWebhookSecretRequestObject) (RotateWebhookSecretResponseObject, error) {
	secret := operator.NewWebhookSecret()
	err := h.store.ChangeWebhook(ctx, r.WebhookID, func(w *operator.Webhook) error {
		w.Secret, w.PreviousSecret = secret, w.Secret
		return nil
	})
	if err != nil {
		return nil, err
	}
	body, err := h.read(ctx, r.WebhookID)
	if err != nil {
		return nil, err
	}
	return RotateWebhookSecret200JSONResponse{Secret: operator.FormatWebhookSecret(secret), Webhook: body}, nil
}

func (h *webhooks) ListWebhookDeliveries(ctx context.Context, r ListWebhookDeliveriesRequestObject) (ListWebhookDeliveriesResponseObject, error) {
	const list = "deliveries"
	before, err := numberCursor(r.Params.Cursor, list, r.WebhookID)
	if err != nil {
		return nil, err
	}
	if _, err := h.store.WebhookByID(ctx, r.WebhookID); err != nil {
		return nil, err
	}
	limit := page(r.Params.Cursor, r.Params.Limit, "").Limit
	found, err := h.deliveries.ListDeliveries(ctx, r.WebhookID, before, limit+1)
	if err != nil {
		return nil, err
	}
	body := WebhookDeliveryList{Items: []WebhookDelivery{}, NextCursor: nextCursor("")}
	if len(found) > limit {
		found = found[:limit]
		body.NextCursor = nextCursor(formatNumberCursor(found[limit-1].ID, list, r.WebhookID))
	}
	for i := range found {
		body.Items = append(body.Items, deliveryOf(&found[i]))
	}
	return ListWebhookDeliveries200JSONResponse(body), nil
}

func (h *webhooks) RedeliverWebhook(ctx context.Context, r RedeliverWebhookRequestObject) (RedeliverWebhookResponseObject, error) {
	if _, err := h.store.WebhookByID(ctx, r.WebhookID); err != nil {
		return nil, err
	}
	requested, err := h.deliveries.RequestDelivery(ctx, r.WebhookID, r.Body.EventID)
	if err != nil {
		return nil, err
	}
	return RedeliverWebhook202JSONResponse(deliveryOf(&requested)), nil
}

func (h *webhooks) TestWebhook(ctx context.Context, r TestWebhookRequestObject) (TestWebhookResponseObject, error) {
	w, err := h.store.WebhookByID(ctx, r.WebhookID)
	if err != nil {
		return nil, err
	}
	code, err := h.sender.Send(ctx, w, &operator.Event{
		ID: uuid.Must(uuid.NewV7()), At: h.now().UTC(), Kind: "webhook.test", EntityKind: "webhook", EntityID: w.ID, Payload: []byte("{}"),
	})
	body := WebhookTest{Delivered: err == nil, Status: code}
	var failed *operator.DeliveryError
	if errors.As(err, &failed) {
		body.Detail = failed.Error()
	} else if err != nil {
		return nil, err
	}
	return TestWebhook200JSONResponse(body), nil
}

// fill takes over what was sent. One that is disabled may keep a URL that is refused by now.
func (h *webhooks) fill(w *operator.Webhook, in WebhookInput) error {
	enabled := in.Enabled == nil || *in.Enabled
	check := enabled || in.URL != w.URL
	w.Name, w.URL, w.Events, w.Enabled = in.Name, in.URL, in.Events, enabled
	if enabled {
		w.DisabledReason = ""
	}
	if err := w.Validate(); err != nil || !check {
		return err
	}
	return h.sender.CheckURL(w.URL)
}

func (h *webhooks) read(ctx context.Context, id uuid.UUID) (Webhook, error) {
	w, err := h.store.WebhookByID(ctx, id)
	if err != nil {
		return Webhook{}, err
	}
	progress, err := h.progress(ctx)
	if err != nil {
		return Webhook{}, err
	}
	return progress.of(w), nil
}

// deliveryProgress is how far the events have come.
type deliveryProgress struct {
	consumers map[string]operator.Consumer
	last      uint64
}

func (h *webhooks) progress(ctx context.Context) (deliveryProgress, error) {
	consumers, last, err := h.deliveries.OutboxStatus(ctx)
	p := deliveryProgress{consumers: map[string]operator.Consumer{}, last: last}
	for _, c := range consumers {
		p.consumers[c.Name] = c
	}
	return p, err
}

// of is a webhook as the API shows it, with how its deliveries go.
func (p deliveryProgress) of(w *operator.Webhook) Webhook {
	body := webhookOf(w)
	if c, ok := p.consumers[operator.WebhookConsumer(w.ID)]; ok && w.Enabled {
		body.Pending = count(max(p.last, c.Position) - c.Position)
		body.Failures, body.LastError, body.NextAttemptAt = c.Attempts, c.LastError, timeOrNull(c.NextAttemptAt)
	}
	return body
}

// webhookOf is a webhook as the API shows it, without its secrets.
func webhookOf(w *operator.Webhook) Webhook {
	events := w.Events
	if events == nil {
		events = []string{}
	}
	return Webhook{
		ID: w.ID, Name: w.Name, URL: w.URL, Events: events, Enabled: w.Enabled, DisabledReason: w.DisabledReason,
		NextAttemptAt: timeOrNull(time.Time{}), CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt,
	}
}

// settled is a webhook without how its deliveries go, which is no change of it.
func settled(w Webhook) Webhook {
	w.Pending, w.Failures, w.LastError, w.NextAttemptAt = 0, 0, "", timeOrNull(time.Time{})
	return w
}

func deliveryOf(d *operator.Delivery) WebhookDelivery {
	return WebhookDelivery{
		ID: strconv.FormatUint(d.ID, 10), EventID: d.EventID, EventType: d.EventKind, State: WebhookDeliveryState(d.State),
		Attempt: d.Attempt, Status: d.Status, Error: d.Error, DurationMs: d.Duration.Milliseconds(), At: d.At,
	}
}
