-- Vouchers. Their codes are not here, only hashes of them under a key that is derived
-- from the master key. A voucher for a plan is a user of its own until it is redeemed
-- for another one.

-- +goose Up
CREATE TABLE voucher_batches (
    id            TEXT PRIMARY KEY,
    number        INTEGER NOT NULL UNIQUE CHECK (number > 0),
    name          TEXT NOT NULL UNIQUE CHECK (name <> ''),
    kind          TEXT NOT NULL CHECK (kind IN ('plan', 'value')),
    count         INTEGER NOT NULL,                  -- how many were made
    plan_id       TEXT REFERENCES plans (id),
    validity      INTEGER NOT NULL,                  -- seconds from the first use on
    currency      TEXT NOT NULL,
    amount        INTEGER NOT NULL CHECK (amount >= 0),
    redeem_before TEXT,
    code_length   INTEGER NOT NULL,
    note          TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    CHECK ((kind = 'plan') = (plan_id IS NOT NULL)),
    CHECK ((kind = 'plan') = (validity > 0)),
    CHECK ((kind = 'value') = (amount > 0))
) STRICT;
CREATE INDEX voucher_batches_created_at ON voucher_batches (created_at, id);
CREATE INDEX voucher_batches_plan_id ON voucher_batches (plan_id) WHERE plan_id IS NOT NULL;

CREATE TABLE vouchers (
    id          TEXT PRIMARY KEY,
    batch_id    TEXT NOT NULL REFERENCES voucher_batches (id),
    serial      TEXT NOT NULL UNIQUE,
    code_hash   BLOB NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    state       TEXT NOT NULL CHECK (state IN ('new', 'used', 'revoked')),
    login_id    TEXT UNIQUE,                         -- the user that logs in with it
    user_id     TEXT,                                -- that user, or whom it was redeemed for
    redeemed_at TEXT,
    redeemed_by TEXT NOT NULL,                       -- empty: a login
    expires_at  TEXT,
    payment_id  TEXT,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    CHECK ((state = 'used') <= (redeemed_at IS NOT NULL))
) STRICT;
CREATE INDEX vouchers_batch_id ON vouchers (batch_id, serial);
CREATE INDEX vouchers_state ON vouchers (state, serial);
CREATE INDEX vouchers_created_at ON vouchers (created_at, id);
CREATE INDEX vouchers_user_id ON vouchers (user_id, serial) WHERE user_id IS NOT NULL;

-- +goose Down
DROP TABLE vouchers;
DROP TABLE voucher_batches;
