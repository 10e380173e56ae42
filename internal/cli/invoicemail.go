package cli

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// mailingColumns show a mail about an invoice.
var mailingColumns = []column[billing.Mailing]{
	{name: "number", value: func(m *billing.Mailing) any { return m.Number }},
	{name: "username", value: func(m *billing.Mailing) any { return m.Username }},
	{name: "purpose", value: func(m *billing.Mailing) any { return m.Purpose }},
	{name: "recipient", value: func(m *billing.Mailing) any { return m.Recipient }},
	{name: "state", value: func(m *billing.Mailing) any { return string(m.State) }},
	{name: "attempts", value: func(m *billing.Mailing) any { return m.Attempts }},
	{name: "created_at", value: func(m *billing.Mailing) any { return m.CreatedAt }},
	{name: "next_at", value: func(m *billing.Mailing) any { return m.NextAt }},
	{name: "sent_at", value: func(m *billing.Mailing) any { return m.SentAt }},
	{name: "error", value: func(m *billing.Mailing) any { return m.Error }},
	{name: "id", value: func(m *billing.Mailing) any { return m.ID }, detail: true},
}

func (a *app) invoiceSendCommand() *cobra.Command {
	var unsent, again bool
	c := &cobra.Command{
		Use:   "send [NUMBER…]",
		Short: "Send invoices and credit notes by mail",
		Long: `Has invoices sent to the address of the user's profile, with the PDF and, where it
has one, the XML. The process that runs background jobs sends them, and tries again
while the mail server is away; radiusd invoice mails shows what became of them. One
that was sent, or refused, is sent again only with --again.`,
		Example: `  radiusd invoice send INV-000001 INV-000002
  radiusd invoice send --unsent
  radiusd invoice send INV-000001 --again`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if unsent == (len(args) > 0) {
				return usagef("want the numbers of invoices, or --unsent")
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				ctx := c.Context()
				if cfg.Mail.URL == "" {
					fmt.Fprintln(a.stderr, "mail.url is empty: the mails wait until there is a server")
				}
				var list []billing.Mailing
				add := func(invoiceID uuid.UUID) error {
					m, err := s.SendInvoice(ctx, invoiceID, again)
					if err == nil {
						list = append(list, *m)
					}
					return err
				}
				for _, number := range args {
					invoice, err := s.InvoiceByNumber(ctx, number)
					if err == nil {
						err = add(invoice.ID)
					}
					if err != nil {
						return err
					}
				}
				for last := uuid.Nil; unsent; {
					ids, err := s.UnsentInvoices(ctx, last, 500)
					if err != nil {
						return err
					}
					for _, invoiceID := range ids {
						if err := add(invoiceID); err != nil {
							return err
						}
						last = invoiceID
					}
					unsent = len(ids) > 0
				}
				return writeList(a, mailingColumns, sliceRows(list))
			})
		},
	}
	c.Flags().BoolVar(&unsent, "unsent", false, "all that were issued and never sent")
	c.Flags().BoolVar(&again, "again", false, "also those that were sent or refused before")
	a.outputFlag(c)
	return c
}

func (a *app) invoiceMailsCommand() *cobra.Command {
	var state, user string
	var limit int
	words := make([]string, 0, len(billing.MailingStates()))
	for _, s := range billing.MailingStates() {
		words = append(words, string(s))
	}
	c := &cobra.Command{
		Use:   "mails",
		Short: "List mails about invoices, the latest first",
		Long: `Lists invoices and reminders that were sent, or are to be, and what the mail server
said: next_at is when one is tried next. The state no_address is of users whose
profile has no address.`,
		Example: `  radiusd invoice mails --user alice
  radiusd invoice mails --state no_address
  radiusd invoice mails --state refused -o csv`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				userID, err := userFlag(c.Context(), s, user)
				if err != nil {
					return err
				}
				return writeList(a, mailingColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.Mailing, string, error) {
					return s.ListMailsPage(c.Context(), billing.MailingFilter{UserID: userID, State: billing.MailingState(state)}, page)
				}))
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those to the user `NAME`")
	c.Flags().IntVar(&limit, "limit", 1000, "at most `N`; 0: all")
	wordFlag(c, &state, "state", "only those in the `STATE`", words...)
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}
