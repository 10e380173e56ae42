-- What NASes are asked to do with sessions (RFC 5176): the queue of all nodes, and
-- what became of it.

-- +goose Up
CREATE TABLE action_batches (
    id          TEXT NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('disconnect', 'coa')),
    filter      TEXT NOT NULL,
    rate        INTEGER NOT NULL, -- requests a second; 0: no limit
    actor       TEXT NOT NULL,
    paced_at    TEXT NOT NULL, -- up to when the rate is used up
    created_at  TEXT NOT NULL,
    finished_at TEXT
) STRICT;
CREATE INDEX action_batches_open ON action_batches (created_at, id) WHERE finished_at IS NULL;

CREATE TABLE session_actions (
    id              TEXT NOT NULL PRIMARY KEY,
    batch_id        TEXT NOT NULL REFERENCES action_batches (id) ON DELETE CASCADE,
    session_id      TEXT NOT NULL, -- no reference: sessions may be deleted
    acct_session_id TEXT NOT NULL,
    username        TEXT NOT NULL,
    nas_id          TEXT,
    nas_ip          TEXT,
    kind            TEXT NOT NULL CHECK (kind IN ('disconnect', 'coa')),
    attributes      TEXT NOT NULL, -- JSON: what a CoA-Request changes
    state           TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'acknowledged', 'refused', 'unanswered', 'failed', 'skipped', 'gone')),
    attempts        INTEGER NOT NULL,
    error_cause     INTEGER NOT NULL, -- Error-Cause of a NAK; 0: none
    detail          TEXT NOT NULL,
    actor           TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    sent_at         TEXT,
    answered_at     TEXT,
    lease_until     TEXT, -- in state sent: when another node may take it
    stop_due_at     TEXT, -- until when the Stop is awaited; null: it is not
    stop_repeated   INTEGER NOT NULL DEFAULT 0,
    stop_missing    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX session_actions_batch ON session_actions (batch_id, state, id);
CREATE INDEX session_actions_session ON session_actions (session_id, id);
CREATE INDEX session_actions_username ON session_actions (username, id);
CREATE INDEX session_actions_stop_due ON session_actions (stop_due_at) WHERE stop_due_at IS NOT NULL;
CREATE INDEX session_actions_gone ON session_actions (answered_at) WHERE state = 'gone';

-- +goose Down
DROP TABLE session_actions;
DROP TABLE action_batches;
