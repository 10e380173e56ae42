-- Who changed what, what other systems hear of it, and requests that are repeated.

-- +goose Up

-- A chain: each entry has the hash of the one before, see package operator.
CREATE TABLE audit_log (
    seq         bigint PRIMARY KEY,                   -- without gaps, in the order of commits
    id          uuid NOT NULL UNIQUE,
    at          timestamptz NOT NULL,
    actor_kind  text NOT NULL,
    actor_id    uuid,
    actor_name  text NOT NULL,
    request_id  text NOT NULL,
    addr        inet,
    action      text NOT NULL,
    entity_kind text NOT NULL,
    entity_id   uuid,
    entity_name text NOT NULL,
    changes     json NOT NULL,                        -- json keeps the text that was hashed, jsonb would not
    prev_hash   bytea NOT NULL,
    hash        bytea NOT NULL
);
CREATE INDEX audit_log_entity_id ON audit_log (entity_id, seq);
CREATE INDEX audit_log_actor_id ON audit_log (actor_id, seq);
CREATE INDEX audit_log_request_id ON audit_log (request_id) WHERE request_id <> '';
CREATE INDEX audit_log_at ON audit_log (at);

-- Where the chain ends (head), and where retention has cut it off (anchor).
CREATE TABLE audit_marks (
    name text PRIMARY KEY CHECK (name IN ('head', 'anchor')),
    seq  bigint NOT NULL,
    hash bytea NOT NULL,
    mac  bytea NOT NULL
);

-- Entries stay as they are. Retention moves the anchor first and then deletes
-- what is before it; who moves the anchor without the master key is found out.

-- +goose StatementBegin
CREATE FUNCTION guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT seq FROM audit_marks WHERE name = 'anchor') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only';
END $$;
-- +goose StatementEnd

CREATE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION guard_audit_log();
CREATE TRIGGER audit_log_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION guard_audit_log();

-- Events for other systems. They are written while the head of audit_log is
-- locked, so seq is the order of commits.
CREATE TABLE outbox (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid NOT NULL UNIQUE,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    entity_kind text NOT NULL,
    entity_id   uuid,
    payload     json NOT NULL
);
CREATE INDEX outbox_at ON outbox (at);

-- How far the events have been delivered to whom.
CREATE TABLE outbox_consumers (
    name            text PRIMARY KEY,                 -- feed, or webhook: and its id
    position        bigint NOT NULL,                  -- outbox.seq
    attempts        bigint NOT NULL DEFAULT 0,        -- in vain, of the event after position
    failing_since   timestamptz,
    next_attempt_at timestamptz,
    last_error      text NOT NULL DEFAULT '',
    updated_at      timestamptz NOT NULL
);

-- Which process delivers.
CREATE TABLE outbox_leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE webhooks (
    id              uuid PRIMARY KEY,
    name            text COLLATE "C" NOT NULL UNIQUE CHECK (name <> ''),
    url             text NOT NULL,
    secret          bytea NOT NULL,                   -- sealed
    previous_secret bytea,                            -- sealed
    events          text NOT NULL DEFAULT '',         -- user.*,plan.updated; '': all
    enabled         boolean NOT NULL DEFAULT true,
    disabled_reason text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);

-- Attempts, and requests to deliver again.
CREATE TABLE webhook_deliveries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id   uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_seq    bigint NOT NULL,
    event_id     uuid NOT NULL,
    event_kind   text NOT NULL,
    state        text NOT NULL CHECK (state IN ('requested', 'delivered', 'failed')),
    attempt      bigint NOT NULL,
    status       bigint NOT NULL DEFAULT 0,           -- of HTTP; 0: there was no answer
    error        text NOT NULL DEFAULT '',
    milliseconds bigint NOT NULL DEFAULT 0,
    at           timestamptz NOT NULL
);
CREATE INDEX webhook_deliveries_webhook_id ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_requested ON webhook_deliveries (id) WHERE state = 'requested';
CREATE INDEX webhook_deliveries_at ON webhook_deliveries (at);

CREATE TABLE idempotency_keys (
    actor        text NOT NULL,
    key          text NOT NULL,
    operation    text NOT NULL,
    request_hash bytea NOT NULL,
    entity_id    uuid NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- +goose Down
DROP TABLE idempotency_keys, webhook_deliveries, webhooks, outbox_leases, outbox_consumers, outbox, audit_log, audit_marks;
DROP FUNCTION guard_audit_log;
