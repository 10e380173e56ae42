-- Under which plan the network was used, boots that nodes tell each other of, and
-- the sessions of one NAS.

-- +goose Up
ALTER TABLE accounting_records ADD COLUMN plan text NOT NULL DEFAULT ''; -- of the user, when the record was taken in
ALTER TABLE sessions ADD COLUMN plan text NOT NULL DEFAULT '';

ALTER TABLE nas_boots ADD COLUMN seen_at timestamptz NOT NULL DEFAULT clock_timestamp(); -- when it was written
CREATE INDEX nas_boots_seen_at ON nas_boots (seen_at);

CREATE INDEX sessions_nas_id ON sessions (nas_id, started_at, id);

-- +goose Down
DROP INDEX sessions_nas_id;
ALTER TABLE nas_boots DROP COLUMN seen_at;
ALTER TABLE sessions DROP COLUMN plan;
ALTER TABLE accounting_records DROP COLUMN plan;
