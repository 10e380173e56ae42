-- Vouchers. Their codes are not here, only hashes of them under a key that is derived
-- from the master key. A voucher for a plan is a user of its own until it is redeemed
-- for another one.

-- +goose Up
CREATE TABLE voucher_batches (
    id            uuid PRIMARY KEY,
    number        bigint NOT NULL UNIQUE CHECK (number > 0),
    name          text COLLATE "C" NOT NULL UNIQUE CHECK (name <> ''),
    kind          text NOT NULL CHECK (kind IN ('plan', 'value')),
    count         bigint NOT NULL,                  -- how many were made
    plan_id       uuid REFERENCES plans (id),
    validity      bigint NOT NULL,                  -- seconds from the first use on
    currency      text NOT NULL,
    amount        bigint NOT NULL CHECK (amount >= 0),
    redeem_before timestamptz,
    code_length   bigint NOT NULL,
    note          text NOT NULL,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CHECK ((kind = 'plan') = (plan_id IS NOT NULL)),
    CHECK ((kind = 'plan') = (validity > 0)),
    CHECK ((kind = 'value') = (amount > 0))
);
CREATE INDEX voucher_batches_created_at ON voucher_batches (created_at, id);
CREATE INDEX voucher_batches_plan_id ON voucher_batches (plan_id) WHERE plan_id IS NOT NULL;

CREATE TABLE vouchers (
    id          uuid PRIMARY KEY,
    batch_id    uuid NOT NULL REFERENCES voucher_batches (id),
    serial      text COLLATE "C" NOT NULL UNIQUE,
    code_hash   bytea NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    state       text NOT NULL CHECK (state IN ('new', 'used', 'revoked')),
    login_id    uuid UNIQUE,                         -- the user that logs in with it
    user_id     uuid,                                -- that user, or whom it was redeemed for
    redeemed_at timestamptz,
    redeemed_by text NOT NULL,                       -- empty: a login
    expires_at  timestamptz,
    payment_id  uuid,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CHECK ((state = 'used') <= (redeemed_at IS NOT NULL))
);
CREATE INDEX vouchers_batch_id ON vouchers (batch_id, serial);
CREATE INDEX vouchers_state ON vouchers (state, serial);
CREATE INDEX vouchers_created_at ON vouchers (created_at, id);
CREATE INDEX vouchers_user_id ON vouchers (user_id, serial) WHERE user_id IS NOT NULL;

-- +goose Down
DROP TABLE vouchers;
DROP TABLE voucher_batches;
