-- The names that users had: records stay under them.

-- +goose Up
CREATE TABLE former_usernames (
    user_id  uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    username text COLLATE "C" NOT NULL,
    since    timestamptz,                             -- NULL: since there is the user
    until    timestamptz NOT NULL,                    -- when the user was renamed
    PRIMARY KEY (user_id, until)
);
CREATE INDEX former_usernames_username ON former_usernames (username);

ALTER TABLE erasures ADD COLUMN names bytea;          -- all names with their times, sealed, as long as name

ALTER TABLE erasures ADD COLUMN lease_until timestamptz;  -- somebody is at it until then
CREATE INDEX erasures_running ON erasures (created_at) WHERE state = 'running';

-- +goose Down
DROP INDEX erasures_running;
ALTER TABLE erasures DROP COLUMN lease_until;
ALTER TABLE erasures DROP COLUMN names;
DROP TABLE former_usernames;
