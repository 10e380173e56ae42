-- What plans cost, who has subscribed to them, what is charged, invoiced and paid, and a
-- ledger of it all. Money is in minor units of the currency beside it; rates are
-- decimals as text. Users are named by their ids without a reference: a bill outlives its
-- subscriber.

-- +goose Up

-- Versions of what a plan costs. They never change but for being retired.
CREATE TABLE rates (
    id         uuid PRIMARY KEY,
    plan_id    uuid NOT NULL REFERENCES plans (id) ON DELETE CASCADE, -- not while it has subscriptions
    version    bigint NOT NULL CHECK (version > 0),
    currency   text NOT NULL CHECK (length(currency) = 3),
    terms      text NOT NULL,                         -- JSON
    created_at timestamptz NOT NULL,
    retired_at timestamptz,                           -- NULL: offered to new subscribers
    UNIQUE (plan_id, version)
);
CREATE UNIQUE INDEX rates_offered ON rates (plan_id) WHERE retired_at IS NULL;
CREATE INDEX rates_created_at ON rates (created_at, id);

CREATE TABLE tax_rates (
    id               uuid PRIMARY KEY,
    class            text COLLATE "C" NOT NULL CHECK (class <> ''),
    name             text COLLATE "C" NOT NULL CHECK (name <> ''),
    percent          text NOT NULL,
    category         text NOT NULL,
    exemption_reason text NOT NULL,
    valid_from       date NOT NULL,                   -- until another one of the class and name begins
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    UNIQUE (class, name, valid_from)
);

CREATE TABLE subscriptions (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL,
    rate_id       uuid NOT NULL REFERENCES rates (id),
    state         text NOT NULL CHECK (state IN ('trial', 'active', 'grace', 'suspended', 'ended')),
    start_day     date NOT NULL,
    end_day       date,                               -- the day after the last one; NULL: it goes on
    anchor_day    date NOT NULL,
    past_rates    text NOT NULL,                      -- JSON: those it had before
    charged_until date,
    rated_until   date,
    next_rate_id  uuid REFERENCES rates (id),
    next_from     date,
    revision      bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
CREATE INDEX subscriptions_user_id ON subscriptions (user_id, id);
CREATE INDEX subscriptions_rate_id ON subscriptions (rate_id, created_at, id);
CREATE INDEX subscriptions_next_rate_id ON subscriptions (next_rate_id) WHERE next_rate_id IS NOT NULL;
CREATE INDEX subscriptions_state ON subscriptions (state, created_at, id);
CREATE INDEX subscriptions_created_at ON subscriptions (created_at, id);

-- What somebody has asked for. Paying completes it.
CREATE TABLE orders (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('plan', 'change', 'top_up', 'voucher')),
    state           text NOT NULL CHECK (state IN ('open', 'paid', 'completed', 'cancelled')),
    currency        text NOT NULL CHECK (length(currency) = 3),
    amount          bigint NOT NULL CHECK (amount >= 0),
    details         text NOT NULL,                    -- JSON
    subscription_id uuid,                             -- that it made or changed
    payment_id      uuid,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX orders_user_id ON orders (user_id, created_at, id);
CREATE INDEX orders_state ON orders (state, created_at, id);
CREATE INDEX orders_created_at ON orders (created_at, id);

CREATE TABLE order_history (
    order_id uuid NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    entry    bigint NOT NULL,                         -- 1, 2, …
    at       timestamptz NOT NULL,
    state    text NOT NULL,
    actor    text NOT NULL,
    note     text NOT NULL,
    PRIMARY KEY (order_id, entry)
);

CREATE TABLE billing_runs (
    id          uuid PRIMARY KEY,
    as_of       date NOT NULL,
    position    uuid,                                 -- the last user who is done
    accounts    bigint NOT NULL,
    charges     bigint NOT NULL,
    invoices    bigint NOT NULL,
    failed      bigint NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz                           -- NULL: unfinished
);
CREATE UNIQUE INDEX billing_runs_unfinished ON billing_runs (as_of) WHERE finished_at IS NULL;
CREATE INDEX billing_runs_started_at ON billing_runs (started_at, id);

CREATE TABLE billing_run_failures (
    run_id  uuid NOT NULL REFERENCES billing_runs (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    at      timestamptz NOT NULL,
    error   text NOT NULL,
    PRIMARY KEY (run_id, user_id)
);

-- The last number of each series of invoices.
CREATE TABLE invoice_series (
    series text COLLATE "C" PRIMARY KEY CHECK (series <> ''),
    last   bigint NOT NULL CHECK (last >= 0)
);

CREATE TABLE invoices (
    id              uuid PRIMARY KEY,
    number          text COLLATE "C" UNIQUE,          -- NULL: a draft
    series          text COLLATE "C" NOT NULL,
    sequence        bigint,                           -- of the number in its series
    kind            text NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    state           text NOT NULL CHECK (state IN ('draft', 'issued', 'paid', 'void')),
    user_id         uuid NOT NULL,
    currency        text NOT NULL CHECK (length(currency) = 3),
    issued_on       date,
    due_on          date,
    period_from     date,
    period_to       date,
    corrects        uuid REFERENCES invoices (id),
    corrects_number text COLLATE "C" NOT NULL,
    net             bigint NOT NULL,
    tax             bigint NOT NULL,
    total           bigint NOT NULL,
    paid            bigint NOT NULL,
    seller          text NOT NULL,                    -- JSON
    buyer           text NOT NULL,                    -- JSON
    note            text NOT NULL,
    run_id          uuid,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    UNIQUE (series, sequence),
    CHECK ((number IS NULL) = (state = 'draft')),
    CHECK ((number IS NULL) = (sequence IS NULL)),
    CHECK (number IS NULL OR issued_on IS NOT NULL AND due_on IS NOT NULL),
    CHECK (net + tax = total)
);
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
    invoice_id   uuid NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    line         bigint NOT NULL,                     -- 1, 2, …
    charge_id    uuid,
    description  text NOT NULL,
    period_from  date,
    period_to    date,
    quantity     text NOT NULL,
    unit         text NOT NULL,
    unit_price   text NOT NULL,
    net          bigint NOT NULL,
    gross        bigint NOT NULL,
    tax_included boolean NOT NULL,
    tax_class    text NOT NULL,
    tax_category text NOT NULL,
    tax_percent  text NOT NULL,
    PRIMARY KEY (invoice_id, line)
);

CREATE TABLE invoice_taxes (
    invoice_id       uuid NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    position         bigint NOT NULL,                 -- 1, 2, …
    name             text NOT NULL,
    category         text NOT NULL,
    percent          text NOT NULL,
    net              bigint NOT NULL,
    tax              bigint NOT NULL,
    exemption_reason text NOT NULL,
    PRIMARY KEY (invoice_id, position)
);

CREATE TABLE charges (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL,
    subscription_id uuid,
    kind            text NOT NULL,
    description     text NOT NULL,
    period_from     date,
    period_to       date,
    currency        text NOT NULL CHECK (length(currency) = 3),
    quantity        text NOT NULL,
    unit            text NOT NULL,
    unit_price      text NOT NULL,
    amount          bigint NOT NULL,
    tax_class       text NOT NULL,
    tax_included    boolean NOT NULL,
    inputs          text NOT NULL,                    -- JSON: what it was computed from
    invoice_id      uuid REFERENCES invoices (id),    -- NULL: on none yet
    created_at      timestamptz NOT NULL
);
CREATE INDEX charges_pending ON charges (user_id, id) WHERE invoice_id IS NULL;
CREATE INDEX charges_rated ON charges (user_id, period_to) WHERE kind IN ('usage', 'adjustment');
CREATE INDEX charges_user_id ON charges (user_id, created_at, id);
CREATE INDEX charges_invoice_id ON charges (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX charges_subscription_id ON charges (subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX charges_created_at ON charges (created_at, id);

CREATE TABLE payments (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL,
    method      text NOT NULL CHECK (method IN ('cash', 'bank', 'card', 'voucher')),
    currency    text NOT NULL CHECK (length(currency) = 3),
    amount      bigint NOT NULL CHECK (amount > 0),
    rest        bigint NOT NULL CHECK (rest BETWEEN 0 AND amount), -- what is on no invoice and was not given back
    refunds     uuid REFERENCES payments (id),        -- NULL: money that came in
    provider    text COLLATE "C" NOT NULL,
    reference   text COLLATE "C" NOT NULL,            -- in the provider's system
    received_on date NOT NULL,
    note        text NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX payments_reference ON payments (provider, reference) WHERE reference <> '';
CREATE INDEX payments_user_id ON payments (user_id, created_at, id);
CREATE INDEX payments_created_at ON payments (created_at, id);
CREATE INDEX payments_rest ON payments (user_id, created_at, id) WHERE rest > 0;
CREATE INDEX payments_received_on ON payments (received_on, id);
CREATE INDEX payments_refunds ON payments (refunds) WHERE refunds IS NOT NULL;

-- What of a payment, credit note or write-off went to an invoice. Rows stay; what is
-- taken back from an invoice is a negative one.
CREATE TABLE payment_allocations (
    subject_id   uuid NOT NULL,                       -- the payment, the credit note, the write-off's transaction
    entry        bigint NOT NULL,                     -- 1, 2, … of the subject
    subject_kind text NOT NULL CHECK (subject_kind IN ('payment', 'credit_note', 'write_off')),
    invoice_id   uuid NOT NULL REFERENCES invoices (id),
    amount       bigint NOT NULL CHECK (amount <> 0),
    at           timestamptz NOT NULL,
    PRIMARY KEY (subject_id, entry)
);
CREATE INDEX payment_allocations_invoice_id ON payment_allocations (invoice_id);

CREATE TABLE ledger_transactions (
    id         uuid PRIMARY KEY,
    at         timestamptz NOT NULL,
    kind       text NOT NULL,
    currency   text NOT NULL CHECK (length(currency) = 3),
    subject_id uuid,
    memo       text NOT NULL
);
CREATE INDEX ledger_transactions_at ON ledger_transactions (at, id);
CREATE INDEX ledger_transactions_subject_id ON ledger_transactions (subject_id) WHERE subject_id IS NOT NULL;

-- at and currency are those of the transaction.
CREATE TABLE ledger_postings (
    transaction_id uuid NOT NULL REFERENCES ledger_transactions (id),
    posting        bigint NOT NULL,                   -- 1, 2, …
    account        text COLLATE "C" NOT NULL,
    user_id        uuid,                              -- of the account customer
    amount         bigint NOT NULL,                   -- a debit is positive, a credit negative
    currency       text NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (transaction_id, posting),
    CHECK ((account = 'customer') = (user_id IS NOT NULL))
);
CREATE INDEX ledger_postings_user_id ON ledger_postings (user_id, at, transaction_id, posting) WHERE user_id IS NOT NULL;
CREATE INDEX ledger_postings_account ON ledger_postings (account, currency, at);

-- The sums of the postings of the account customer.
CREATE TABLE ledger_balances (
    user_id  uuid NOT NULL,
    currency text NOT NULL CHECK (length(currency) = 3),
    balance  bigint NOT NULL,                         -- positive: owed; negative: credit
    PRIMARY KEY (user_id, currency)
);

-- The postings of a transaction are written at once, and their sum is zero.
-- +goose StatementBegin
CREATE FUNCTION check_ledger_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM added GROUP BY transaction_id HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'the postings of a transaction do not add up to zero';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_postings_balance AFTER INSERT ON ledger_postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_ledger_postings();

-- The ledger is not changed. What was wrong is reversed.
-- +goose StatementBegin
CREATE FUNCTION guard_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_transactions_guard BEFORE UPDATE OR DELETE ON ledger_transactions FOR EACH ROW EXECUTE FUNCTION guard_ledger();
CREATE TRIGGER ledger_postings_guard BEFORE UPDATE OR DELETE ON ledger_postings FOR EACH ROW EXECUTE FUNCTION guard_ledger();

-- +goose Down
DROP TABLE ledger_balances;
DROP TABLE ledger_postings;
DROP TABLE ledger_transactions;
DROP FUNCTION guard_ledger();
DROP FUNCTION check_ledger_postings();
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
