-- When a mail is tried next, so that those which fail again and again do not keep the
-- others waiting.

-- +goose Up
ALTER TABLE billing_mails ADD COLUMN next_at TEXT;  -- of one that is being sent: when whoever does is given up
UPDATE billing_mails SET next_at = updated_at WHERE state IN ('waiting', 'sending');
CREATE INDEX billing_mails_next_at ON billing_mails (next_at, id) WHERE state IN ('waiting', 'sending');

-- +goose Down
DROP INDEX billing_mails_next_at;
ALTER TABLE billing_mails DROP COLUMN next_at;
