-- The names that users had: records stay under them.

-- +goose Up
CREATE TABLE former_usernames (
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    username TEXT NOT NULL,
    since    TEXT,                                    -- NULL: since there is the user
    until    TEXT NOT NULL,                           -- when the user was renamed
    PRIMARY KEY (user_id, until)
) STRICT;
CREATE INDEX former_usernames_username ON former_usernames (username);

ALTER TABLE erasures ADD COLUMN names BLOB;           -- all names with their times, sealed, as long as name

ALTER TABLE erasures ADD COLUMN lease_until TEXT;       -- somebody is at it until then
CREATE INDEX erasures_running ON erasures (created_at) WHERE state = 'running';

ALTER TABLE action_batches ADD COLUMN staged INTEGER NOT NULL DEFAULT 0; -- its actions are still being written: nobody sees it
CREATE INDEX action_batches_staged ON action_batches (created_at) WHERE staged = 1;

-- +goose Down
DROP INDEX action_batches_staged;
ALTER TABLE action_batches DROP COLUMN staged;
DROP INDEX erasures_running;
ALTER TABLE erasures DROP COLUMN lease_until;
ALTER TABLE erasures DROP COLUMN names;
DROP TABLE former_usernames;
