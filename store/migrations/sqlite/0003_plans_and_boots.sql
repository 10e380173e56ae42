-- Under which plan the network was used, boots that nodes tell each other of, and
-- the sessions of one NAS.

-- +goose Up
ALTER TABLE accounting_records ADD COLUMN plan TEXT NOT NULL DEFAULT ''; -- of the user, when the record was taken in
ALTER TABLE sessions ADD COLUMN plan TEXT NOT NULL DEFAULT '';

-- A column that is added cannot have the time of insertion as its default.
CREATE TABLE nas_boots_seen (
    nas_id         TEXT NOT NULL,       -- zero: not in the directory
    nas_ip         TEXT NOT NULL,
    nas_identifier TEXT NOT NULL,
    status         TEXT NOT NULL,
    at             TEXT NOT NULL,
    seen_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')), -- when it was written
    PRIMARY KEY (nas_ip, nas_identifier, at, status, nas_id)
) STRICT;
INSERT INTO nas_boots_seen (nas_id, nas_ip, nas_identifier, status, at) SELECT nas_id, nas_ip, nas_identifier, status, at FROM nas_boots;
DROP TABLE nas_boots;
ALTER TABLE nas_boots_seen RENAME TO nas_boots;
CREATE INDEX nas_boots_seen_at ON nas_boots (seen_at);

CREATE INDEX sessions_nas_id ON sessions (nas_id, started_at, id);

-- +goose Down
DROP INDEX sessions_nas_id;
DROP INDEX nas_boots_seen_at;
ALTER TABLE nas_boots DROP COLUMN seen_at;
ALTER TABLE sessions DROP COLUMN plan;
ALTER TABLE accounting_records DROP COLUMN plan;
