-- What banks say that came in and went out. An entry has one row for good, by what names
-- it in every statement that has it.

-- +goose Up
CREATE TABLE bank_statements (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,                        -- of the file
    format      TEXT NOT NULL CHECK (format IN ('camt', 'csv')),
    entries     INTEGER NOT NULL,
    booked      INTEGER NOT NULL,
    proposed    INTEGER NOT NULL,
    unmatched   INTEGER NOT NULL,
    ignored     INTEGER NOT NULL,
    pending     INTEGER NOT NULL,                     -- not booked by the bank, so not kept
    known       INTEGER NOT NULL,                     -- imported before
    wrong       INTEGER NOT NULL,                     -- could not be read
    started_at  TEXT NOT NULL,
    finished_at TEXT                                  -- NULL: it goes on, or was cut off
) STRICT;
CREATE INDEX bank_statements_started_at ON bank_statements (started_at, id);

CREATE TABLE bank_entries (
    id                  TEXT PRIMARY KEY,             -- made of the reference
    reference           TEXT NOT NULL UNIQUE CHECK (reference <> ''),
    statement_id        TEXT NOT NULL REFERENCES bank_statements (id), -- the first one that had it
    line                INTEGER NOT NULL,             -- in that file
    account             TEXT NOT NULL,                -- ours
    booked_on           TEXT NOT NULL,
    value_on            TEXT,
    currency            TEXT NOT NULL CHECK (length(currency) = 3),
    amount              INTEGER NOT NULL CHECK (amount <> 0), -- positive: it came in
    reversal            INTEGER NOT NULL,
    name                TEXT NOT NULL,                -- of the other side
    iban                TEXT NOT NULL,
    creditor_references TEXT NOT NULL,                -- JSON
    remittance          TEXT NOT NULL,
    end_to_end_id       TEXT NOT NULL,
    state               TEXT NOT NULL CHECK (state IN ('booked', 'proposed', 'unmatched', 'ignored')),
    reason              TEXT NOT NULL,
    user_id             TEXT,
    payment_id          TEXT REFERENCES payments (id),
    created_at          TEXT NOT NULL,
    updated_at          TEXT NOT NULL,
    CHECK ((state = 'booked') = (payment_id IS NOT NULL)),
    CHECK (state NOT IN ('booked', 'proposed') OR user_id IS NOT NULL)
) STRICT;
CREATE INDEX bank_entries_booked_on ON bank_entries (booked_on, id);
CREATE INDEX bank_entries_waiting ON bank_entries (booked_on, id) WHERE state IN ('proposed', 'unmatched');
CREATE INDEX bank_entries_statement_id ON bank_entries (statement_id, booked_on, id);
CREATE INDEX bank_entries_user_id ON bank_entries (user_id, booked_on, id) WHERE user_id IS NOT NULL;
CREATE INDEX bank_entries_payment_id ON bank_entries (payment_id) WHERE payment_id IS NOT NULL;

-- For money that names no invoice.
CREATE INDEX invoices_open_amount ON invoices (currency, (total - paid)) WHERE state = 'issued' AND kind = 'invoice';

-- Pages on which customers pay at a provider, and what the provider told of them.
CREATE TABLE checkouts (
    id          TEXT PRIMARY KEY,                     -- the reference at the provider
    provider    TEXT NOT NULL,
    session_id  TEXT NOT NULL,                        -- the provider's name for it; empty: not answered yet
    user_id     TEXT NOT NULL,
    invoice_id  TEXT REFERENCES invoices (id),        -- what is paid: either of them
    order_id    TEXT REFERENCES orders (id),
    currency    TEXT NOT NULL CHECK (length(currency) = 3),
    amount      INTEGER NOT NULL CHECK (amount > 0),
    state       TEXT NOT NULL CHECK (state IN ('open', 'pending', 'paid', 'failed', 'expired')),
    reason      TEXT NOT NULL,                        -- why it is not as it was asked for
    url         TEXT NOT NULL,
    payment_id  TEXT REFERENCES payments (id),
    expires_at  TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    CHECK (invoice_id IS NULL OR order_id IS NULL),
    CHECK ((state = 'paid') = (payment_id IS NOT NULL))
) STRICT;
CREATE INDEX checkouts_created_at ON checkouts (created_at, id);
CREATE INDEX checkouts_user_id ON checkouts (user_id, created_at, id);
CREATE INDEX checkouts_invoice_id ON checkouts (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX checkouts_order_id ON checkouts (order_id) WHERE order_id IS NOT NULL;

-- Events that came: one that comes again is not acted on again. What is about a payment
-- that is not known yet waits for it.
CREATE TABLE checkout_events (
    provider    TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    type        TEXT NOT NULL,                        -- the provider's word
    kind        TEXT NOT NULL,
    payment     TEXT NOT NULL,                        -- the provider's name for it; empty: none yet
    subject     TEXT NOT NULL,                        -- its name for the refund or dispute; empty: of neither
    event       TEXT NOT NULL,                        -- JSON: what was read of it
    outcome     TEXT NOT NULL,                        -- in words
    received_at TEXT NOT NULL,
    handled_at  TEXT,                                 -- NULL: it waits
    PRIMARY KEY (provider, event_id)
) STRICT;
CREATE INDEX checkout_events_received_at ON checkout_events (received_at);
CREATE INDEX checkout_events_payment ON checkout_events (provider, payment) WHERE payment <> '';

-- +goose Down
DROP TABLE checkout_events;
DROP TABLE checkouts;
DROP INDEX invoices_open_amount;
DROP TABLE bank_entries;
DROP TABLE bank_statements;
