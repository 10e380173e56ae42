package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/api"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/config"
	"radiusd/operator"
	"radiusd/store"
)

// checkoutWebhook is where the payment provider posts its events.
const checkoutWebhook = api.BasePath + "/checkout/webhook"

// cardProvider is the provider that the configuration names; nil: none.
func cardProvider(cfg *config.Config) (checkout.Provider, error) {
	c := cfg.Billing.Checkout
	if c.Provider == "" {
		return nil, nil
	}
	key, err := os.ReadFile(c.SecretKeyFile)
	if err != nil {
		return nil, fmt.Errorf("billing.checkout.secret_key_file: %w", err)
	}
	secrets, err := os.ReadFile(c.WebhookSecretFile)
	if err != nil {
		return nil, fmt.Errorf("billing.checkout.webhook_secret_file: %w", err)
	}
	provider, err := checkout.NewStripe(checkout.StripeOptions{
		SecretKey: strings.TrimSpace(string(key)), WebhookSecrets: strings.Fields(string(secrets)), URL: c.URL,
	})
	if err != nil {
		return nil, fmt.Errorf("billing.checkout: %w", err)
	}
	return provider, nil
}

// newDesk makes what asks for payments by card.
func newDesk(cfg *config.Config, provider checkout.Provider, s *store.Store, now func() time.Time) *checkout.Desk {
	zone := cfg.Location()
	return &checkout.Desk{
		Provider: provider, Book: s, SuccessURL: cfg.Billing.Checkout.SuccessURL, CancelURL: cfg.Billing.Checkout.CancelURL, Zone: zone, Now: now,
		Rules: func(ctx context.Context, day billing.Date) (billing.RunOptions, error) {
			return runOptions(ctx, s, day, zone, now())
		},
	}
}

// webhookHandler takes what the provider tells. It has no token: what is not signed is
// refused. Any other failure is answered with 500, and the provider sends it again.
func webhookHandler(desk *checkout.Desk, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, checkout.MaxWebhookBytes))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			http.Error(w, "the body broke off", http.StatusBadRequest)
			return
		}
		ctx := operator.WithActor(r.Context(), operator.Actor{Kind: operator.ActorSystem, Name: desk.Provider.Name()})
		outcome, err := desk.Take(ctx, r.Header, body)
		switch {
		case errors.Is(err, checkout.ErrSignature):
			log.WarnContext(ctx, "a webhook was refused", "error", err)
			http.Error(w, "not signed by the provider", http.StatusBadRequest)
		case err != nil:
			log.ErrorContext(ctx, "a webhook could not be taken", "error", err)
			http.Error(w, "try again later", http.StatusInternalServerError)
		default:
			log.InfoContext(ctx, "the payment provider told of a payment", "outcome", outcome)
			w.WriteHeader(http.StatusNoContent)
		}
	})
}

// checkoutColumns show a page on which something is paid.
var checkoutColumns = []column[checkout.Request]{
	{name: "url", value: func(r *checkout.Request) any { return r.URL }},
	{name: "amount", value: func(r *checkout.Request) any { return r.Currency.Format(r.Amount) }},
	{name: "currency", value: func(r *checkout.Request) any { return string(r.Currency) }},
	{name: "expires_at", value: func(r *checkout.Request) any { return r.ExpiresAt }},
	{name: "state", value: func(r *checkout.Request) any { return string(r.State) }},
	{name: "id", value: func(r *checkout.Request) any { return r.ID }},
}

// askForPayment makes a page on which an invoice or an order is paid.
func (a *app) askForPayment(c *cobra.Command, cfg *config.Config, s *store.Store, invoiceID, orderID uuid.UUID) error {
	provider, err := cardProvider(cfg)
	if err != nil {
		return err
	}
	if provider == nil {
		return errors.New("the configuration names no provider of card payments (billing.checkout)")
	}
	r, err := newDesk(cfg, provider, s, a.now).Ask(c.Context(), invoiceID, orderID)
	if err != nil {
		return err
	}
	return writeOne(a, checkoutColumns, r)
}

func (a *app) invoiceCheckoutCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "checkout NUMBER",
		Short: "Make a page on which an invoice is paid by card",
		Long: `Asks the provider of card payments (billing.checkout) for a page on which what is
open of an invoice can be paid, and prints its URL. The payment is booked when the
provider tells of it.`,
		Example:           "  radiusd invoice checkout INV-000001",
		Args:              arguments("NUMBER"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(cfg *config.Config, s *store.Store, invoice *billing.Invoice) error {
				return a.askForPayment(c, cfg, s, invoice.ID, uuid.Nil)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) orderCheckoutCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "checkout ID",
		Short:             "Make a page on which an order is paid by card",
		Example:           "  radiusd order checkout 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withOrder(c, args[0], func(cfg *config.Config, s *store.Store, x *billing.Order) error {
				return a.askForPayment(c, cfg, s, uuid.Nil, x.ID)
			})
		},
	}
	a.outputFlag(c)
	return c
}
