-- What banks say that came in and went out. An entry has one row for good, by what names
-- it in every statement that has it.

-- +goose Up
CREATE TABLE bank_statements (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,                        -- of the file
    format      text NOT NULL CHECK (format IN ('camt', 'csv')),
    entries     bigint NOT NULL,
    booked      bigint NOT NULL,
    proposed    bigint NOT NULL,
    unmatched   bigint NOT NULL,
    ignored     bigint NOT NULL,
    pending     bigint NOT NULL,                      -- not booked by the bank, so not kept
    known       bigint NOT NULL,                      -- imported before
    wrong       bigint NOT NULL,                      -- could not be read
    started_at  timestamptz NOT NULL,
    finished_at timestamptz                           -- NULL: it goes on, or was cut off
);
CREATE INDEX bank_statements_started_at ON bank_statements (started_at, id);

CREATE TABLE bank_entries (
    id                  uuid PRIMARY KEY,             -- made of the reference
    reference           text COLLATE "C" NOT NULL UNIQUE CHECK (reference <> ''),
    statement_id        uuid NOT NULL REFERENCES bank_statements (id), -- the first one that had it
    line                bigint NOT NULL,              -- in that file
    account             text NOT NULL,                -- ours
    booked_on           date NOT NULL,
    value_on            date,
    currency            text NOT NULL CHECK (length(currency) = 3),
    amount              bigint NOT NULL CHECK (amount <> 0), -- positive: it came in
    reversal            boolean NOT NULL,
    name                text NOT NULL,                -- of the other side
    iban                text NOT NULL,
    creditor_references text NOT NULL,                -- JSON
    remittance          text NOT NULL,
    end_to_end_id       text NOT NULL,
    state               text NOT NULL CHECK (state IN ('booked', 'proposed', 'unmatched', 'ignored')),
    reason              text NOT NULL,
    user_id             uuid,
    payment_id          uuid REFERENCES payments (id),
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    CHECK ((state = 'booked') = (payment_id IS NOT NULL)),
    CHECK (state NOT IN ('booked', 'proposed') OR user_id IS NOT NULL)
);
CREATE INDEX bank_entries_booked_on ON bank_entries (booked_on, id);
CREATE INDEX bank_entries_waiting ON bank_entries (booked_on, id) WHERE state IN ('proposed', 'unmatched');
CREATE INDEX bank_entries_statement_id ON bank_entries (statement_id, booked_on, id);
CREATE INDEX bank_entries_user_id ON bank_entries (user_id, booked_on, id) WHERE user_id IS NOT NULL;
CREATE INDEX bank_entries_payment_id ON bank_entries (payment_id) WHERE payment_id IS NOT NULL;

-- For money that names no invoice.
CREATE INDEX invoices_open_amount ON invoices (currency, (total - paid)) WHERE state = 'issued' AND kind = 'invoice';

-- Pages on which customers pay at a provider, and what the provider told of them.
CREATE TABLE checkouts (
    id          uuid PRIMARY KEY,                     -- the reference at the provider
    provider    text COLLATE "C" NOT NULL,
    session_id  text COLLATE "C" NOT NULL,            -- the provider's name for it; empty: not answered yet
    user_id     uuid NOT NULL,
    invoice_id  uuid REFERENCES invoices (id),        -- what is paid: either of them
    order_id    uuid REFERENCES orders (id),
    currency    text NOT NULL CHECK (length(currency) = 3),
    amount      bigint NOT NULL CHECK (amount > 0),
    state       text NOT NULL CHECK (state IN ('open', 'pending', 'paid', 'failed', 'expired')),
    reason      text NOT NULL,                        -- why it is not as it was asked for
    url         text NOT NULL,
    payment_id  uuid REFERENCES payments (id),
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CHECK (invoice_id IS NULL OR order_id IS NULL),
    CHECK ((state = 'paid') = (payment_id IS NOT NULL))
);
CREATE INDEX checkouts_created_at ON checkouts (created_at, id);
CREATE INDEX checkouts_user_id ON checkouts (user_id, created_at, id);
CREATE INDEX checkouts_invoice_id ON checkouts (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX checkouts_order_id ON checkouts (order_id) WHERE order_id IS NOT NULL;

-- Events that came: one that comes again is not acted on again. What is about a payment
-- that is not known yet waits for it.
CREATE TABLE checkout_events (
    provider    text COLLATE "C" NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    type        text NOT NULL,                        -- the provider's word
    kind        text NOT NULL,
    payment     text COLLATE "C" NOT NULL,            -- the provider's name for it; empty: none yet
    subject     text COLLATE "C" NOT NULL,            -- its name for the refund or dispute; empty: of neither
    event       text NOT NULL,                        -- JSON: what was read of it
    outcome     text NOT NULL,                        -- in words
    received_at timestamptz NOT NULL,
    handled_at  timestamptz,                          -- NULL: it waits
    PRIMARY KEY (provider, event_id)
);
CREATE INDEX checkout_events_received_at ON checkout_events (received_at);
CREATE INDEX checkout_events_payment ON checkout_events (provider, payment) WHERE payment <> '';

-- +goose Down
DROP TABLE checkout_events;
DROP TABLE checkouts;
DROP INDEX invoices_open_amount;
DROP TABLE bank_entries;
DROP TABLE bank_statements;
