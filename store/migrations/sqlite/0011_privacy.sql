-- Erasures of personal data, which also reach into the audit log.

-- +goose Up
CREATE TABLE erasures (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL,                        -- no reference: the user goes
    name        BLOB,                                 -- the old name, sealed, while it is looked for; then NULL
    pseudonym   TEXT NOT NULL UNIQUE,
    keep_user   INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    row_count   INTEGER NOT NULL,                     -- of rows pseudonymised or deleted
    detail      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    finished_at TEXT
) STRICT;
CREATE INDEX erasures_user_id ON erasures (user_id);
CREATE INDEX erasures_watched ON erasures (created_at) WHERE name IS NOT NULL;

-- An entry's hash is over content_mac rather than over entity_name and changes, so these
-- can be blanked, and nothing else.
ALTER TABLE audit_log ADD COLUMN content_mac BLOB;
ALTER TABLE audit_log ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0;
DROP TRIGGER audit_log_update;
-- +goose StatementBegin
CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log
WHEN NOT (NEW.redacted = 1 AND NEW.content_mac IS NOT NULL AND NEW.entity_name = '' AND NEW.changes = '{}'
    AND NEW.seq = OLD.seq AND NEW.id = OLD.id AND NEW.at = OLD.at AND NEW.actor_kind = OLD.actor_kind AND NEW.actor_id IS OLD.actor_id
    AND NEW.actor_name = OLD.actor_name AND NEW.request_id = OLD.request_id AND NEW.addr IS OLD.addr AND NEW.action = OLD.action
    AND NEW.entity_kind = OLD.entity_kind AND NEW.entity_id IS OLD.entity_id AND NEW.prev_hash = OLD.prev_hash AND NEW.hash = OLD.hash
    AND NEW.content_mac IS OLD.content_mac) BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER audit_log_update;
-- +goose StatementBegin
CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
ALTER TABLE audit_log DROP COLUMN redacted;
ALTER TABLE audit_log DROP COLUMN content_mac;
DROP TABLE erasures;
DELETE FROM settings WHERE name LIKE 'retention.%' OR name = 'sessions_pseudonymised_until';
