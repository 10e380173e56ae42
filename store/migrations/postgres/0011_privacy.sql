-- Erasures of personal data, which also reach into the audit log.

-- +goose Up
CREATE TABLE erasures (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL,                        -- no reference: the user goes
    name        bytea,                                -- the old name, sealed, while it is looked for; then NULL
    pseudonym   text COLLATE "C" NOT NULL UNIQUE,
    keep_user   boolean NOT NULL,
    state       text NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    row_count   bigint NOT NULL,                      -- of rows pseudonymised or deleted
    detail      text NOT NULL,
    actor       text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX erasures_user_id ON erasures (user_id);
CREATE INDEX erasures_watched ON erasures (created_at) WHERE name IS NOT NULL;

-- An entry's hash is over content_mac rather than over entity_name and changes, so these
-- can be blanked, and nothing else.
ALTER TABLE audit_log ADD COLUMN content_mac bytea, ADD COLUMN redacted boolean NOT NULL DEFAULT false;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT seq FROM audit_marks WHERE name = 'anchor') THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.redacted AND NEW.content_mac IS NOT NULL AND NEW.entity_name = '' AND NEW.changes::text = '{}'
        AND (NEW.seq, NEW.id, NEW.at, NEW.actor_kind, NEW.actor_id, NEW.actor_name, NEW.request_id, NEW.addr, NEW.action, NEW.entity_kind,
            NEW.entity_id, NEW.prev_hash, NEW.hash, NEW.content_mac) IS NOT DISTINCT FROM
            (OLD.seq, OLD.id, OLD.at, OLD.actor_kind, OLD.actor_id, OLD.actor_name, OLD.request_id, OLD.addr, OLD.action, OLD.entity_kind,
            OLD.entity_id, OLD.prev_hash, OLD.hash, OLD.content_mac) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only';
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT seq FROM audit_marks WHERE name = 'anchor') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only';
END $$;
-- +goose StatementEnd
ALTER TABLE audit_log DROP COLUMN redacted, DROP COLUMN content_mac;
DROP TABLE erasures;
DELETE FROM settings WHERE name LIKE 'retention.%' OR name = 'sessions_pseudonymised_until';
