-- Who changed what, what other systems hear of it, and requests that are repeated.

-- +goose Up

-- A chain: each entry has the hash of the one before, see package operator.
CREATE TABLE audit_log (
    seq         INTEGER PRIMARY KEY,                   -- without gaps, in the order of commits
    id          TEXT NOT NULL UNIQUE,
    at          TEXT NOT NULL,
    actor_kind  TEXT NOT NULL,
    actor_id    TEXT,
    actor_name  TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    addr        TEXT,
    action      TEXT NOT NULL,
    entity_kind TEXT NOT NULL,
    entity_id   TEXT,
    entity_name TEXT NOT NULL,
    changes     TEXT NOT NULL,                        -- json
    prev_hash   BLOB NOT NULL,
    hash        BLOB NOT NULL
) STRICT;
CREATE INDEX audit_log_entity_id ON audit_log (entity_id, seq);
CREATE INDEX audit_log_actor_id ON audit_log (actor_id, seq);
CREATE INDEX audit_log_request_id ON audit_log (request_id) WHERE request_id <> '';
CREATE INDEX audit_log_at ON audit_log (at);

-- Where the chain ends (head), and where retention has cut it off (anchor).
CREATE TABLE audit_marks (
    name TEXT PRIMARY KEY CHECK (name IN ('head', 'anchor')),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL,
    mac  BLOB NOT NULL
) STRICT;

-- Entries stay as they are. Retention moves the anchor first and then deletes
-- what is before it; who moves the anchor without the master key is found out.

-- +goose StatementBegin
CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_log_delete BEFORE DELETE ON audit_log
WHEN OLD.seq > coalesce((SELECT seq FROM audit_marks WHERE name = 'anchor'), 0) BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd

-- Events for other systems. There is one writer at a time, so seq is the order of
-- commits.
CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    at          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    entity_kind TEXT NOT NULL,
    entity_id   TEXT,
    payload     TEXT NOT NULL                         -- json
) STRICT;
CREATE INDEX outbox_at ON outbox (at);

-- How far the events have been delivered to whom.
CREATE TABLE outbox_consumers (
    name            TEXT PRIMARY KEY,                 -- feed, or webhook: and its id
    position        INTEGER NOT NULL,                  -- outbox.seq
    attempts        INTEGER NOT NULL DEFAULT 0,        -- in vain, of the event after position
    failing_since   TEXT,
    next_attempt_at TEXT,
    last_error      TEXT NOT NULL DEFAULT '',
    updated_at      TEXT NOT NULL
) STRICT;

-- Which process delivers.
CREATE TABLE outbox_leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;

CREATE TABLE webhooks (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE CHECK (name <> ''),
    url             TEXT NOT NULL,
    secret          BLOB NOT NULL,                   -- sealed
    previous_secret BLOB,                            -- sealed
    events          TEXT NOT NULL DEFAULT '',         -- user.*,plan.updated; '': all
    enabled         INTEGER NOT NULL DEFAULT 1,
    disabled_reason TEXT NOT NULL DEFAULT '',
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL
) STRICT;

-- Attempts, and requests to deliver again.
CREATE TABLE webhook_deliveries (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id   TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_seq    INTEGER NOT NULL,
    event_id     TEXT NOT NULL,
    event_kind   TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('requested', 'delivered', 'failed')),
    attempt      INTEGER NOT NULL,
    status       INTEGER NOT NULL DEFAULT 0,           -- of HTTP; 0: there was no answer
    error        TEXT NOT NULL DEFAULT '',
    milliseconds INTEGER NOT NULL DEFAULT 0,
    at           TEXT NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_webhook_id ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_requested ON webhook_deliveries (id) WHERE state = 'requested';
CREATE INDEX webhook_deliveries_at ON webhook_deliveries (at);

CREATE TABLE idempotency_keys (
    actor        TEXT NOT NULL,
    key          TEXT NOT NULL,
    operation    TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    entity_id    TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT;
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- +goose Down
DROP TABLE idempotency_keys;
DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
DROP TABLE outbox_leases;
DROP TABLE outbox_consumers;
DROP TABLE outbox;
DROP TABLE audit_log;
DROP TABLE audit_marks;
