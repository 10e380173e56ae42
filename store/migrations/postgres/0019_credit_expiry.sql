-- Credit that ends on a day: what of a payment is on no invoice then is lost.

-- +goose Up
ALTER TABLE payments ADD COLUMN expires_on date;                          -- the last day; NULL: it stays
ALTER TABLE payments ADD COLUMN expired bigint  NOT NULL DEFAULT 0;       -- what was lost of it
CREATE INDEX payments_expires_on ON payments (user_id, expires_on) WHERE expires_on IS NOT NULL AND rest > 0;

-- +goose Down
DROP INDEX payments_expires_on;
ALTER TABLE payments DROP COLUMN expired;
ALTER TABLE payments DROP COLUMN expires_on;
