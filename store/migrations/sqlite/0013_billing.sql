-- What plans cost, who has subscribed to them, what is charged, invoiced and paid, and a
-- ledger of it all. Money is in minor units of the currency beside it; rates are
-- decimals as text. Users are named by their ids without a reference: a bill outlives its
-- subscriber.

-- +goose Up

-- Versions of what a plan costs. They never change but for being retired.
CREATE TABLE rates (
    id         TEXT PRIMARY KEY,
    plan_id    TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE, -- not while it has subscriptions
    version    INTEGER NOT NULL CHECK (version > 0),
    currency   TEXT NOT NULL CHECK (length(currency) = 3),
    terms      TEXT NOT NULL,                         -- JSON
    created_at TEXT NOT NULL,
    retired_at TEXT,                                  -- NULL: offered to new subscribers
    UNIQUE (plan_id, version)
) STRICT;
CREATE UNIQUE INDEX rates_offered ON rates (plan_id) WHERE retired_at IS NULL;
CREATE INDEX rates_created_at ON rates (created_at, id);

CREATE TABLE tax_rates (
    id               TEXT PRIMARY KEY,
    class            TEXT NOT NULL CHECK (class <> ''),
    name             TEXT NOT NULL CHECK (name <> ''),
    percent          TEXT NOT NULL,
    category         TEXT NOT NULL,
    exemption_reason TEXT NOT NULL,
    valid_from       TEXT NOT NULL,                   -- until another one of the class and name begins
    created_at       TEXT NOT NULL,
    updated_at       TEXT NOT NULL,
    UNIQUE (class, name, valid_from)
) STRICT;

CREATE TABLE subscriptions (
    id            TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL,
    rate_id       TEXT NOT NULL REFERENCES rates (id),
    state         TEXT NOT NULL CHECK (state IN ('trial', 'active', 'grace', 'suspended', 'ended')),
    start_day     TEXT NOT NULL,
    end_day       TEXT,                               -- the day after the last one; NULL: it goes on
    anchor_day    TEXT NOT NULL,
    past_rates    TEXT NOT NULL,                      -- JSON: those it had before
    charged_until TEXT,
    rated_until   TEXT,
    next_rate_id  TEXT REFERENCES rates (id),
    next_from     TEXT,
    revision      INTEGER NOT NULL,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
) STRICT;
CREATE INDEX subscriptions_user_id ON subscriptions (user_id, id);
CREATE INDEX subscriptions_rate_id ON subscriptions (rate_id, created_at, id);
CREATE INDEX subscriptions_next_rate_id ON subscriptions (next_rate_id) WHERE next_rate_id IS NOT NULL;
CREATE INDEX subscriptions_state ON subscriptions (state, created_at, id);
CREATE INDEX subscriptions_created_at ON subscriptions (created_at, id);

-- What somebody has asked for. Paying completes it.
CREATE TABLE orders (
    id              TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('plan', 'change', 'top_up', 'voucher')),
    state           TEXT NOT NULL CHECK (state IN ('open', 'paid', 'completed', 'cancelled')),
    currency        TEXT NOT NULL CHECK (length(currency) = 3),
    amount          INTEGER NOT NULL CHECK (amount >= 0),
    details         TEXT NOT NULL,                    -- JSON
    subscription_id TEXT,                             -- that it made or changed
    payment_id      TEXT,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL
) STRICT;
CREATE INDEX orders_user_id ON orders (user_id, created_at, id);
CREATE INDEX orders_state ON orders (state, created_at, id);
CREATE INDEX orders_created_at ON orders (created_at, id);

CREATE TABLE order_history (
    order_id TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    entry    INTEGER NOT NULL,                        -- 1, 2, …
    at       TEXT NOT NULL,
    state    TEXT NOT NULL,
    actor    TEXT NOT NULL,
    note     TEXT NOT NULL,
    PRIMARY KEY (order_id, entry)
) STRICT;

CREATE TABLE billing_runs (
    id          TEXT PRIMARY KEY,
    as_of       TEXT NOT NULL,
    position    TEXT,                                 -- the last user who is done
    accounts    INTEGER NOT NULL,
    charges     INTEGER NOT NULL,
    invoices    INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT                                  -- NULL: unfinished
) STRICT;
CREATE UNIQUE INDEX billing_runs_unfinished ON billing_runs (as_of) WHERE finished_at IS NULL;
CREATE INDEX billing_runs_started_at ON billing_runs (started_at, id);

CREATE TABLE billing_run_failures (
    run_id  TEXT NOT NULL REFERENCES billing_runs (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    at      TEXT NOT NULL,
    error   TEXT NOT NULL,
    PRIMARY KEY (run_id, user_id)
) STRICT;

-- The last number of each series of invoices.
CREATE TABLE invoice_series (
    series TEXT PRIMARY KEY CHECK (series <> ''),
    last   INTEGER NOT NULL CHECK (last >= 0)
) STRICT;

CREATE TABLE invoices (
    id              TEXT PRIMARY KEY,
    number          TEXT UNIQUE,          -- NULL: a draft
    series          TEXT NOT NULL,
    sequence        INTEGER,                          -- of the number in its series
    kind            TEXT NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    state           TEXT NOT NULL CHECK (state IN ('draft', 'issued', 'paid', 'void')),
    user_id         TEXT NOT NULL,
    currency        TEXT NOT NULL CHECK (length(currency) = 3),
    issued_on       TEXT,
    due_on          TEXT,
    period_from     TEXT,
    period_to       TEXT,
    corrects        TEXT REFERENCES invoices (id),
    corrects_number TEXT NOT NULL,
    net             INTEGER NOT NULL,
    tax             INTEGER NOT NULL,
    total           INTEGER NOT NULL,
    paid            INTEGER NOT NULL,
    seller          TEXT NOT NULL,                    -- JSON
    buyer           TEXT NOT NULL,                    -- JSON
    note            TEXT NOT NULL,
    run_id          TEXT,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    UNIQUE (series, sequence),
    CHECK ((number IS NULL) = (state = 'draft')),
    CHECK ((number IS NULL) = (sequence IS NULL)),
    CHECK (number IS NULL OR issued_on IS NOT NULL AND due_on IS NOT NULL),
    CHECK (net + tax = total)
) STRICT;
CREATE INDEX invoices_user_id ON invoices (user_id, created_at, id);
CREATE INDEX invoices_created_at ON invoices (created_at, id);
CREATE INDEX invoices_state ON invoices (state, created_at, id);
CREATE INDEX invoices_issued_on ON invoices (issued_on, id) WHERE issued_on IS NOT NULL;
CREATE INDEX invoices_due_on ON invoices (due_on, id) WHERE due_on IS NOT NULL;
CREATE INDEX invoices_open ON invoices (user_id, due_on, id) WHERE state = 'issued';
CREATE INDEX invoices_overdue ON invoices (due_on, id) WHERE state = 'issued' AND kind = 'invoice';
CREATE INDEX invoices_corrects ON invoices (corrects) WHERE corrects IS NOT NULL;
CREATE INDEX invoices_run_id ON invoices (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE invoice_lines (
    invoice_id   TEXT NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    line         INTEGER NOT NULL,                    -- 1, 2, …
    charge_id    TEXT,
    description  TEXT NOT NULL,
    period_from  TEXT,
    period_to    TEXT,
    quantity     TEXT NOT NULL,
    unit         TEXT NOT NULL,
    unit_price   TEXT NOT NULL,
    net          INTEGER NOT NULL,
    gross        INTEGER NOT NULL,
    tax_included INTEGER NOT NULL,
    tax_class    TEXT NOT NULL,
    tax_category TEXT NOT NULL,
    tax_percent  TEXT NOT NULL,
    PRIMARY KEY (invoice_id, line)
) STRICT;

CREATE TABLE invoice_taxes (
    invoice_id       TEXT NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    position         INTEGER NOT NULL,                -- 1, 2, …
    name             TEXT NOT NULL,
    category         TEXT NOT NULL,
    percent          TEXT NOT NULL,
    net              INTEGER NOT NULL,
    tax              INTEGER NOT NULL,
    exemption_reason TEXT NOT NULL,
    PRIMARY KEY (invoice_id, position)
) STRICT;

CREATE TABLE charges (
    id              TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL,
    subscription_id TEXT,
    kind            TEXT NOT NULL,
    description     TEXT NOT NULL,
    period_from     TEXT,
    period_to       TEXT,
    currency        TEXT NOT NULL CHECK (length(currency) = 3),
    quantity        TEXT NOT NULL,
    unit            TEXT NOT NULL,
    unit_price      TEXT NOT NULL,
    amount          INTEGER NOT NULL,
    tax_class       TEXT NOT NULL,
    tax_included    INTEGER NOT NULL,
    inputs          TEXT NOT NULL,                    -- JSON: what it was computed from
    invoice_id      TEXT REFERENCES invoices (id),    -- NULL: on none yet
    created_at      TEXT NOT NULL
) STRICT;
CREATE INDEX charges_pending ON charges (user_id, id) WHERE invoice_id IS NULL;
CREATE INDEX charges_rated ON charges (user_id, period_to) WHERE kind IN ('usage', 'adjustment');
CREATE INDEX charges_user_id ON charges (user_id, created_at, id);
CREATE INDEX charges_invoice_id ON charges (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX charges_subscription_id ON charges (subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX charges_created_at ON charges (created_at, id);

CREATE TABLE payments (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL,
    method      TEXT NOT NULL CHECK (method IN ('cash', 'bank', 'card', 'voucher')),
    currency    TEXT NOT NULL CHECK (length(currency) = 3),
    amount      INTEGER NOT NULL CHECK (amount > 0),
    rest        INTEGER NOT NULL CHECK (rest BETWEEN 0 AND amount), -- what is on no invoice and was not given back
    refunds     TEXT REFERENCES payments (id),        -- NULL: money that came in
    provider    TEXT NOT NULL,
    reference   TEXT NOT NULL,            -- in the provider's system
    received_on TEXT NOT NULL,
    note        TEXT NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX payments_reference ON payments (provider, reference) WHERE reference <> '';
CREATE INDEX payments_user_id ON payments (user_id, created_at, id);
CREATE INDEX payments_created_at ON payments (created_at, id);
CREATE INDEX payments_rest ON payments (user_id, created_at, id) WHERE rest > 0;
CREATE INDEX payments_received_on ON payments (received_on, id);
CREATE INDEX payments_refunds ON payments (refunds) WHERE refunds IS NOT NULL;

-- What of a payment, credit note or write-off went to an invoice. Rows stay; what is
-- taken back from an invoice is a negative one.
CREATE TABLE payment_allocations (
    subject_id   TEXT NOT NULL,                       -- the payment, the credit note, the write-off's transaction
    entry        INTEGER NOT NULL,                     -- 1, 2, … of the subject
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('payment', 'credit_note', 'write_off')),
    invoice_id   TEXT NOT NULL REFERENCES invoices (id),
    amount       INTEGER NOT NULL CHECK (amount <> 0),
    at           TEXT NOT NULL,
    PRIMARY KEY (subject_id, entry)
) STRICT;
CREATE INDEX payment_allocations_invoice_id ON payment_allocations (invoice_id);

CREATE TABLE ledger_transactions (
    id         TEXT PRIMARY KEY,
    at         TEXT NOT NULL,
    kind       TEXT NOT NULL,
    currency   TEXT NOT NULL CHECK (length(currency) = 3),
    subject_id TEXT,
    memo       TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_transactions_at ON ledger_transactions (at, id);
CREATE INDEX ledger_transactions_subject_id ON ledger_transactions (subject_id) WHERE subject_id IS NOT NULL;

-- at and currency are those of the transaction.
CREATE TABLE ledger_postings (
    transaction_id TEXT NOT NULL REFERENCES ledger_transactions (id),
    posting        INTEGER NOT NULL,                  -- 1, 2, …
    account        TEXT NOT NULL,
    user_id        TEXT,                              -- of the account customer
    amount         INTEGER NOT NULL,                  -- a debit is positive, a credit negative
    currency       TEXT NOT NULL,
    at             TEXT NOT NULL,
    PRIMARY KEY (transaction_id, posting),
    CHECK ((account = 'customer') = (user_id IS NOT NULL))
) STRICT;
CREATE INDEX ledger_postings_user_id ON ledger_postings (user_id, at, transaction_id, posting) WHERE user_id IS NOT NULL;
CREATE INDEX ledger_postings_account ON ledger_postings (account, currency, at);

-- The sums of the postings of the account customer.
CREATE TABLE ledger_balances (
    user_id  TEXT NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    balance  INTEGER NOT NULL,                        -- positive: owed; negative: credit
    PRIMARY KEY (user_id, currency)
) STRICT;

-- The ledger is not changed. What was wrong is reversed.
-- +goose StatementBegin
CREATE TRIGGER ledger_transactions_update BEFORE UPDATE ON ledger_transactions BEGIN
    SELECT RAISE(ABORT, 'ledger_transactions is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_transactions_delete BEFORE DELETE ON ledger_transactions BEGIN
    SELECT RAISE(ABORT, 'ledger_transactions is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_postings_update BEFORE UPDATE ON ledger_postings BEGIN
    SELECT RAISE(ABORT, 'ledger_postings is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_postings_delete BEFORE DELETE ON ledger_postings BEGIN
    SELECT RAISE(ABORT, 'ledger_postings is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE ledger_balances;
DROP TABLE ledger_postings;
DROP TABLE ledger_transactions;
DROP TABLE payment_allocations;
DROP TABLE payments;
DROP TABLE charges;
DROP TABLE invoice_taxes;
DROP TABLE invoice_lines;
DROP TABLE invoices;
DROP TABLE invoice_series;
DROP TABLE billing_run_failures;
DROP TABLE billing_runs;
DROP TABLE order_history;
DROP TABLE orders;
DROP TABLE subscriptions;
DROP TABLE tax_rates;
DROP TABLE rates;
