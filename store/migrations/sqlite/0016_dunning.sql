-- What is done about invoices that are not paid, and which mails were sent.

-- +goose Up

-- Who suspended a user: nothing for an operator.
ALTER TABLE users ADD COLUMN suspension TEXT NOT NULL DEFAULT '' CHECK (suspension IN ('', 'overdue', 'balance'));
CREATE INDEX users_suspension ON users (suspension, id) WHERE suspension <> '';

-- The steps that were taken about each invoice. The user's effects last while a step is
-- 'done' and its invoice is open: 'lifted' has been paid, 'waived' an operator has undone.
CREATE TABLE dunning_steps (
    invoice_id   TEXT NOT NULL REFERENCES invoices (id),
    action       TEXT NOT NULL CHECK (action IN ('remind', 'restrict', 'suspend', 'end')),
    after_days   INTEGER NOT NULL,
    user_id      TEXT NOT NULL,
    step         INTEGER NOT NULL,                     -- 1, 2, … of the settings then
    days_overdue INTEGER NOT NULL,
    done_on      TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('done', 'lifted', 'waived')),
    created_at   TEXT NOT NULL,
    PRIMARY KEY (invoice_id, action, after_days)
) STRICT;
CREATE INDEX dunning_steps_user_id ON dunning_steps (user_id, invoice_id);
CREATE INDEX dunning_steps_in_force ON dunning_steps (user_id) WHERE state = 'done' AND action IN ('restrict', 'suspend');

-- Who is in a group because of dunning, and leaves it with the payment.
CREATE TABLE dunning_restrictions (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id   TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    PRIMARY KEY (user_id, group_id)
) STRICT;
CREATE INDEX dunning_restrictions_group_id ON dunning_restrictions (group_id);

-- Mails about invoices: one of each purpose and to each address. A mail that is neither
-- sent, refused, dropped nor without an address waits.
CREATE TABLE billing_mails (
    id         TEXT PRIMARY KEY,
    invoice_id TEXT NOT NULL REFERENCES invoices (id),
    user_id    TEXT NOT NULL,
    purpose    TEXT NOT NULL,                       -- invoice, credit_note, reminder_1, …
    recipient  TEXT NOT NULL,                       -- an address; empty: there was none
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'refused', 'dropped', 'no_address')),
    attempts   INTEGER NOT NULL,
    error      TEXT NOT NULL,
    details    TEXT NOT NULL,                       -- JSON: of a reminder
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    sent_at    TEXT,
    UNIQUE (invoice_id, purpose, recipient)
) STRICT;
CREATE INDEX billing_mails_state ON billing_mails (state, created_at, id);
CREATE INDEX billing_mails_created_at ON billing_mails (created_at, id);
CREATE INDEX billing_mails_user_id ON billing_mails (user_id, created_at, id);

-- +goose Down
DROP TABLE billing_mails;
DROP TABLE dunning_restrictions;
DROP TABLE dunning_steps;
DROP INDEX users_suspension;
ALTER TABLE users DROP COLUMN suspension;
