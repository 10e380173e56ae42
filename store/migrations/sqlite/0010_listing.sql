-- What lists sort by and look for, and users that were made together.

-- +goose Up
CREATE TABLE user_batches (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE CHECK (name <> ''),
    prefix     TEXT NOT NULL,
    count      INTEGER NOT NULL,           -- how many were made
    plan_id    TEXT,                      -- what they got, like group_ids and expires_at
    group_ids  TEXT NOT NULL,             -- separated by commas
    expires_at TEXT,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX user_batches_created_at ON user_batches (created_at, id);

ALTER TABLE users ADD COLUMN batch_id TEXT REFERENCES user_batches (id) ON DELETE CASCADE;
CREATE INDEX users_batch_id ON users (batch_id, username) WHERE batch_id IS NOT NULL;
CREATE INDEX users_status ON users (status, username) WHERE status <> 'active';
CREATE INDEX users_scheme ON users (credential_scheme, username);
CREATE INDEX users_created_at ON users (created_at, id);
CREATE INDEX users_updated_at ON users (updated_at, id);
CREATE INDEX users_expires_at ON users (coalesce(expires_at, '9999-12-31T23:59:59.999999Z'), id); -- never comes last

-- What a search compares: the beginning, in lower case.
ALTER TABLE user_profiles ADD COLUMN full_name_key TEXT GENERATED ALWAYS AS (lower(substr(full_name, 1, 100))) VIRTUAL;
ALTER TABLE user_profiles ADD COLUMN email_key TEXT GENERATED ALWAYS AS (lower(substr(email, 1, 100))) VIRTUAL;
ALTER TABLE user_profiles ADD COLUMN phone_key TEXT GENERATED ALWAYS AS (lower(substr(phone, 1, 100))) VIRTUAL;
CREATE INDEX user_profiles_full_name ON user_profiles (full_name_key, user_id);
CREATE INDEX user_profiles_email ON user_profiles (email_key, user_id);
CREATE INDEX user_profiles_phone ON user_profiles (phone_key, user_id);

CREATE INDEX plans_created_at ON plans (created_at, id);
CREATE INDEX groups_created_at ON groups (created_at, id);
CREATE INDEX nas_created_at ON nas (created_at, id);
CREATE INDEX nas_names ON nas (name, id);

CREATE INDEX sessions_calling_station_id ON sessions (calling_station_id, started_at, id);
CREATE INDEX accounting_records_event_time ON accounting_records (event_time);

-- +goose Down
DROP INDEX accounting_records_event_time;
DROP INDEX sessions_calling_station_id;
DROP INDEX nas_names;
DROP INDEX nas_created_at;
DROP INDEX groups_created_at;
DROP INDEX plans_created_at;
DROP INDEX user_profiles_phone;
DROP INDEX user_profiles_email;
DROP INDEX user_profiles_full_name;
ALTER TABLE user_profiles DROP COLUMN phone_key;
ALTER TABLE user_profiles DROP COLUMN email_key;
ALTER TABLE user_profiles DROP COLUMN full_name_key;
DROP INDEX users_expires_at;
DROP INDEX users_updated_at;
DROP INDEX users_created_at;
DROP INDEX users_scheme;
DROP INDEX users_status;
DROP INDEX users_batch_id;
ALTER TABLE users DROP COLUMN batch_id;
DROP TABLE user_batches;
