-- The days on which subscriptions waited for credit: what was used then is another one's.

-- +goose Up
ALTER TABLE subscriptions ADD COLUMN suspensions TEXT NOT NULL DEFAULT '[]';  -- JSON: spans of whole days

-- +goose Down
ALTER TABLE subscriptions DROP COLUMN suspensions;
