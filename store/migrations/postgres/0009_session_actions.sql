-- What NASes are asked to do with sessions (RFC 5176): the queue of all nodes, and
-- what became of it.

-- +goose Up
CREATE TABLE action_batches (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('disconnect', 'coa')),
    filter      text NOT NULL,
    rate        bigint NOT NULL, -- requests a second; 0: no limit
    actor       text NOT NULL,
    paced_at    timestamptz NOT NULL, -- up to when the rate is used up
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX action_batches_open ON action_batches (created_at, id) WHERE finished_at IS NULL;

CREATE TABLE session_actions (
    id              uuid PRIMARY KEY,
    batch_id        uuid NOT NULL REFERENCES action_batches (id) ON DELETE CASCADE,
    session_id      uuid NOT NULL, -- no reference: sessions may be deleted
    acct_session_id text NOT NULL,
    username        text NOT NULL,
    nas_id          uuid,
    nas_ip          inet,
    kind            text NOT NULL CHECK (kind IN ('disconnect', 'coa')),
    attributes      text NOT NULL, -- JSON: what a CoA-Request changes
    state           text NOT NULL CHECK (state IN ('queued', 'sent', 'acknowledged', 'refused', 'unanswered', 'failed', 'skipped', 'gone')),
    attempts        bigint NOT NULL,
    error_cause     bigint NOT NULL, -- Error-Cause of a NAK; 0: none
    detail          text NOT NULL,
    actor           text NOT NULL,
    created_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    answered_at     timestamptz,
    lease_until     timestamptz, -- in state sent: when another node may take it
    stop_due_at     timestamptz, -- until when the Stop is awaited; null: it is not
    stop_repeated   boolean NOT NULL DEFAULT false,
    stop_missing    boolean NOT NULL DEFAULT false
);
CREATE INDEX session_actions_batch ON session_actions (batch_id, state, id);
CREATE INDEX session_actions_session ON session_actions (session_id, id);
CREATE INDEX session_actions_username ON session_actions (username, id);
CREATE INDEX session_actions_stop_due ON session_actions (stop_due_at) WHERE stop_due_at IS NOT NULL;
CREATE INDEX session_actions_gone ON session_actions (answered_at) WHERE state = 'gone';

-- +goose Down
DROP TABLE session_actions;
DROP TABLE action_batches;
