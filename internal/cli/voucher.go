package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// voucherBatchColumns show a batch of vouchers.
var voucherBatchColumns = []column[billing.VoucherBatch]{
	{name: "name", value: func(b *billing.VoucherBatch) any { return b.Name }},
	{name: "number", value: func(b *billing.VoucherBatch) any { return b.Number }, detail: true},
	{name: "kind", value: func(b *billing.VoucherBatch) any { return string(b.Kind) }},
	{name: "plan", value: func(b *billing.VoucherBatch) any { return b.Plan }},
	{name: "validity", value: func(b *billing.VoucherBatch) any { return int64(b.Validity.Seconds()) },
		human: func(b *billing.VoucherBatch) string { return formatSpan(b.Validity) }},
	{name: "amount", value: func(b *billing.VoucherBatch) any {
		if b.Kind != billing.VoucherValue {
			return ""
		}
		return b.Currency.Format(b.Amount)
	}},
	{name: "currency", value: func(b *billing.VoucherBatch) any { return string(b.Currency) }},
	{name: "count", value: func(b *billing.VoucherBatch) any { return b.Count }},
	{name: "new", value: func(b *billing.VoucherBatch) any { return b.Counts.New }},
	{name: "used", value: func(b *billing.VoucherBatch) any { return b.Counts.Used }},
	{name: "expired", value: func(b *billing.VoucherBatch) any { return b.Counts.Expired }},
	{name: "revoked", value: func(b *billing.VoucherBatch) any { return b.Counts.Revoked }},
	{name: "redeem_before", value: func(b *billing.VoucherBatch) any { return b.RedeemBefore }},
	{name: "code_length", value: func(b *billing.VoucherBatch) any { return b.CodeLength }, detail: true},
	{name: "note", value: func(b *billing.VoucherBatch) any { return b.Note }, detail: true},
	{name: "created_by", value: func(b *billing.VoucherBatch) any { return b.CreatedBy }, detail: true},
	{name: "created_at", value: func(b *billing.VoucherBatch) any { return b.CreatedAt }, detail: true},
	{name: "id", value: func(b *billing.VoucherBatch) any { return b.ID }, detail: true},
}

// voucherColumns show a voucher as of now.
func (a *app) voucherColumns() []column[billing.Voucher] {
	return []column[billing.Voucher]{
		{name: "serial", value: func(v *billing.Voucher) any { return v.Serial }},
		{name: "batch", value: func(v *billing.Voucher) any { return v.Batch }},
		{name: "kind", value: func(v *billing.Voucher) any { return string(v.Kind) }},
		{name: "state", value: func(v *billing.Voucher) any { return string(v.StateAt(a.now())) }},
		{name: "username", value: func(v *billing.Voucher) any { return v.Username }},
		{name: "redeemed_at", value: func(v *billing.Voucher) any { return v.RedeemedAt }},
		{name: "redeemed_by", value: func(v *billing.Voucher) any { return v.RedeemedBy }, detail: true},
		{name: "expires_at", value: func(v *billing.Voucher) any { return v.ExpiresAt }},
		{name: "payment_id", value: func(v *billing.Voucher) any { return v.PaymentID }, detail: true},
		{name: "created_at", value: func(v *billing.Voucher) any { return v.CreatedAt }, detail: true},
		{name: "id", value: func(v *billing.Voucher) any { return v.ID }, detail: true},
	}
}

func (a *app) voucherCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "voucher",
		Short: "Make, print, list, revoke and redeem vouchers",
		Long: `A voucher has a code that cannot be guessed. One for a plan is good for the plan
for a time from its first use on: whoever has the code logs in with it, as name
and password. One of value is redeemed for a user as a payment. Codes are shown
when they are made and never again: only hashes of them are kept.`,
		Example: `  radiusd voucher create march --plan day --validity 24h --count 100 --pdf march.pdf
  radiusd voucher create gift --value 10.00 --currency EUR --count 20 -o csv
  radiusd voucher list
  echo 7K3M-9QXW-2RTH | radiusd voucher redeem alice`,
	}
	c.AddCommand(a.voucherCreateCommand(), a.voucherPrintCommand(), a.voucherListCommand(), a.voucherShowCommand(), a.voucherRevokeCommand(), a.voucherRedeemCommand())
	return c
}

// completeVoucherBatches completes the name of a batch.
func (a *app) completeVoucherBatches(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, func(ctx context.Context, s *store.Store) []string {
		list, _, _ := s.ListVoucherBatchesPage(ctx, billing.VoucherBatchFilter{Query: toComplete}, aaa.Page{Limit: completionLimit})
		return namesOf(list, func(b *billing.VoucherBatch) string { return b.Name })
	})
}

// batchNamed returns a batch, or an error that names those that may have been meant.
func batchNamed(ctx context.Context, s *store.Store, name string) (*billing.VoucherBatch, error) {
	batch, err := s.VoucherBatchByName(ctx, name)
	return batch, missing(err, name, func() []string {
		list, _, _ := s.ListVoucherBatchesPage(ctx, billing.VoucherBatchFilter{}, aaa.Page{Limit: completionLimit})
		return namesOf(list, func(b *billing.VoucherBatch) string { return b.Name })
	})
}

func (a *app) voucherListCommand() *cobra.Command {
	var state, user string
	var limit int
	c := &cobra.Command{
		Use:   "list [BATCH]",
		Short: "List batches of vouchers, or the vouchers of one",
		Long:  "Lists the batches, the newest first; with BATCH, --state or --user, vouchers.",
		Example: `  radiusd voucher list
  radiusd voucher list march --state used -o csv
  radiusd voucher list --user alice`,
		Args:              arguments("[BATCH]"),
		ValidArgsFunction: first(a.completeVoucherBatches),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) (err error) {
				ctx := c.Context()
				if len(args) == 0 && state == "" && user == "" {
					return writeList(a, voucherBatchColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.VoucherBatch, string, error) {
						return s.ListVoucherBatchesPage(ctx, billing.VoucherBatchFilter{}, page)
					}))
				}
				filter := billing.VoucherFilter{State: billing.VoucherState(state), Now: a.now()}
				if len(args) > 0 {
					found, err := batchNamed(ctx, s, args[0])
					if err != nil {
						return err
					}
					filter.BatchID = found.ID
				}
				if filter.UserID, err = userFlag(ctx, s, user); err != nil {
					return err
				}
				return writeList(a, a.voucherColumns(), eachCursorPage(limit, func(page aaa.Page) ([]billing.Voucher, string, error) {
					return s.ListVouchersPage(ctx, filter, page)
				}))
			})
		},
	}
	wordFlag(c, &state, "state", "only vouchers in the `STATE`", "new", "used", "expired", "revoked")
	c.Flags().StringVar(&user, "user", "", "only those redeemed for the user `NAME`")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0: all")
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}

func (a *app) voucherShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show BATCH-OR-SERIAL",
		Short:             "Show a batch of vouchers, or one voucher",
		Example:           "  radiusd voucher show march\n  radiusd voucher show v1-00042",
		Args:              arguments("BATCH-OR-SERIAL"),
		ValidArgsFunction: first(a.completeVoucherBatches),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				voucher, err := s.VoucherBySerial(c.Context(), args[0])
				if err == nil {
					return writeOne(a, a.voucherColumns(), voucher)
				}
				if !errors.Is(err, store.ErrNotFound) {
					return err
				}
				batch, err := batchNamed(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				return writeOne(a, voucherBatchColumns, batch)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) voucherRevokeCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "revoke BATCH-OR-SERIAL",
		Short: "Revoke a voucher, or those of a batch that are new",
		Long: `Revokes one voucher by its serial, also one that is in use, or all vouchers of a
batch that nobody has used. Servers refuse them within a second; open sessions
are ended with radiusd session disconnect.`,
		Example:           "  radiusd voucher revoke march\n  radiusd voucher revoke v1-00042 --yes",
		Args:              arguments("BATCH-OR-SERIAL"),
		ValidArgsFunction: first(a.completeVoucherBatches),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				ctx := c.Context()
				voucher, err := s.VoucherBySerial(ctx, args[0])
				if err == nil {
					if err := a.confirm(yes, "Revoke voucher %s, which is %s?", voucher.Serial, voucher.StateAt(a.now())); err != nil {
						return err
					}
					if err := s.RevokeVoucher(ctx, voucher.ID, nil); err != nil {
						return err
					}
					fmt.Fprintf(a.stdout, "voucher %s revoked\n", voucher.Serial)
					return nil
				}
				if !errors.Is(err, store.ErrNotFound) {
					return err
				}
				batch, err := batchNamed(ctx, s, args[0])
				if err != nil {
					return err
				}
				if err := a.confirm(yes, "Revoke the %d new vouchers of batch %s?", batch.Counts.New, printable(batch.Name)); err != nil {
					return err
				}
				n, err := s.RevokeVoucherBatch(ctx, batch.ID, nil)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%d vouchers of batch %s revoked\n", n, printable(batch.Name))
				return nil
			})
		},
	}
	yesFlag(c, &yes)
	return c
}

func (a *app) voucherRedeemCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "redeem USER",
		Short: "Redeem a voucher for a user",
		Long: `Reads the code from standard input. A voucher of value is booked as a payment, to
the user's oldest open invoices first. A voucher for a plan gives the user the
plan: if the user has it already, its time is added to what is left; a user who
has another plan still, one that does not expire, or a subscription, is refused.`,
		Example:           "  echo 7K3M-9QXW-2RTH | radiusd voucher redeem alice",
		Args:              arguments("USER"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				user, err := userNamed(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				code, err := a.readSecret("voucher code")
				if err != nil {
					return err
				}
				r, err := s.RedeemVoucher(c.Context(), user.ID, strings.TrimSpace(code), netip.Addr{})
				if err != nil {
					return err
				}
				if r.Batch.Kind == billing.VoucherValue {
					fmt.Fprintf(a.stdout, "voucher %s redeemed: %s %s for %s\n", r.Voucher.Serial, r.Batch.Currency.Format(r.Batch.Amount), r.Batch.Currency, printable(user.Name))
				} else {
					fmt.Fprintf(a.stdout, "voucher %s redeemed: %s has %s until %s\n", r.Voucher.Serial, printable(user.Name), printable(r.Batch.Plan), tableTime(r.ExpiresAt))
				}
				return nil
			})
		},
	}
}
