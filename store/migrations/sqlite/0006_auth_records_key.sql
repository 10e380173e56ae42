-- One index less to write for each decision: the key begins with the time, by which
-- decisions come and are listed.

-- +goose Up
-- SQLite cannot change a key: the table is written again.
DROP INDEX auth_records_username;
DROP INDEX auth_records_at;
ALTER TABLE auth_records RENAME TO auth_records_old;
CREATE TABLE auth_records (
    id                 TEXT NOT NULL,
    at                 TEXT NOT NULL,
    username           TEXT NOT NULL,
    accepted           INTEGER NOT NULL,
    reason             TEXT NOT NULL,
    detail             TEXT NOT NULL,
    method             TEXT NOT NULL,
    nas_id             TEXT,
    nas_ip             TEXT,
    nas_port_id        TEXT NOT NULL,
    calling_station_id TEXT NOT NULL,
    called_station_id  TEXT NOT NULL,
    session_nonce      TEXT NOT NULL,
    PRIMARY KEY (at, id)
) STRICT;
INSERT INTO auth_records SELECT * FROM auth_records_old ORDER BY auth_records_old.rowid;
DROP TABLE auth_records_old;
CREATE INDEX auth_records_username ON auth_records (username, at);

-- +goose Down
DROP INDEX auth_records_username;
ALTER TABLE auth_records RENAME TO auth_records_old;
CREATE TABLE auth_records (
    id                 TEXT NOT NULL,
    at                 TEXT NOT NULL,
    username           TEXT NOT NULL,
    accepted           INTEGER NOT NULL,
    reason             TEXT NOT NULL,
    detail             TEXT NOT NULL,
    method             TEXT NOT NULL,
    nas_id             TEXT,
    nas_ip             TEXT,
    nas_port_id        TEXT NOT NULL,
    calling_station_id TEXT NOT NULL,
    called_station_id  TEXT NOT NULL,
    session_nonce      TEXT NOT NULL,
    PRIMARY KEY (id)
) STRICT;
INSERT INTO auth_records SELECT * FROM auth_records_old ORDER BY auth_records_old.rowid;
DROP TABLE auth_records_old;
CREATE INDEX auth_records_username ON auth_records (username, at);
CREATE INDEX auth_records_at ON auth_records (at, id);
