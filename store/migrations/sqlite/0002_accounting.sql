-- Who used the network, when, and how much; and who was let in or not.

-- +goose Up
CREATE TABLE sessions (
    id                    TEXT PRIMARY KEY,
    acct_session_id       TEXT NOT NULL,
    acct_multi_session_id TEXT NOT NULL,
    username              TEXT NOT NULL,
    nas_id                TEXT,
    nas_ip                TEXT,
    nas_identifier        TEXT NOT NULL,
    nas_port              INTEGER NOT NULL,
    nas_port_id           TEXT NOT NULL,
    framed_ip             TEXT,
    framed_ipv6           TEXT,
    framed_ipv6_prefix    TEXT,
    delegated_prefix      TEXT,
    calling_station_id    TEXT NOT NULL,
    called_station_id     TEXT NOT NULL,
    class                 BLOB,
    started_at            TEXT NOT NULL,
    start_inferred        INTEGER NOT NULL,
    updated_at            TEXT NOT NULL,
    stopped_at            TEXT,            -- NULL: open
    stop_inferred         INTEGER NOT NULL,
    session_seconds       INTEGER NOT NULL,
    input_octets          INTEGER NOT NULL,        -- from the user
    output_octets         INTEGER NOT NULL,        -- to the user
    input_packets         INTEGER NOT NULL,
    output_packets        INTEGER NOT NULL,
    terminate_cause       TEXT NOT NULL,
    counter_wrapped       INTEGER NOT NULL,
    provenance            BLOB                   -- which event each attribute is from
) STRICT;
CREATE INDEX sessions_open ON sessions (started_at, id) WHERE stopped_at IS NULL;
CREATE INDEX sessions_started_at ON sessions (started_at, id);
CREATE INDEX sessions_stopped_at ON sessions (stopped_at) WHERE stopped_at IS NOT NULL;
CREATE INDEX sessions_username ON sessions (username, stopped_at);
CREATE INDEX sessions_nas_ip ON sessions (nas_ip, stopped_at);

CREATE TABLE accounting_records (
    record_id             TEXT NOT NULL,
    session_id            TEXT,
    acct_session_id       TEXT NOT NULL,
    acct_multi_session_id TEXT NOT NULL,
    status                TEXT NOT NULL,
    username              TEXT NOT NULL,
    nas_id                TEXT,
    nas_ip                TEXT,
    nas_identifier        TEXT NOT NULL,
    nas_port              INTEGER NOT NULL,
    nas_port_id           TEXT NOT NULL,
    framed_ip             TEXT,
    framed_ipv6           TEXT,
    framed_ipv6_prefix    TEXT,
    delegated_prefix      TEXT,
    calling_station_id    TEXT NOT NULL,
    called_station_id     TEXT NOT NULL,
    class                 BLOB,
    event_time            TEXT NOT NULL,
    event_derived         INTEGER NOT NULL,       -- no Event-Timestamp was sent
    received_at           TEXT NOT NULL,
    clock_off             INTEGER NOT NULL,
    delay_seconds         INTEGER NOT NULL,        -- Acct-Delay-Time
    session_seconds       INTEGER,                 -- NULL: not sent, like the octets
    input_octets          INTEGER,
    output_octets         INTEGER,
    input_packets         INTEGER NOT NULL,
    output_packets        INTEGER NOT NULL,
    has_gigawords         INTEGER NOT NULL,
    terminate_cause       TEXT NOT NULL
) STRICT;
-- A record's id is made from its session's, so one index finds the records of a
-- session and tells copies of a record.
CREATE UNIQUE INDEX accounting_records_id ON accounting_records (session_id, record_id);
CREATE UNIQUE INDEX accounting_records_sessionless ON accounting_records (record_id) WHERE session_id IS NULL;

-- Accounting-On and -Off, as long as the ids of sessions depend on them.
CREATE TABLE nas_boots (
    nas_id         TEXT NOT NULL,       -- zero: not in the directory
    nas_ip         TEXT NOT NULL,
    nas_identifier TEXT NOT NULL,
    status         TEXT NOT NULL,
    at             TEXT NOT NULL,
    PRIMARY KEY (nas_ip, nas_identifier, at, status, nas_id)
) STRICT;

CREATE TABLE usage_daily (
    username        TEXT NOT NULL,
    day             TEXT NOT NULL,                -- in the configured time zone
    session_seconds INTEGER NOT NULL DEFAULT 0,
    input_octets    INTEGER NOT NULL DEFAULT 0,
    output_octets   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (username, day)
) STRICT;

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
CREATE INDEX auth_records_username ON auth_records (username, at);
CREATE INDEX auth_records_at ON auth_records (at, id);

-- How far each node's journal has been taken in.
CREATE TABLE ingest_cursors (
    node_id    TEXT NOT NULL,
    sink       TEXT NOT NULL,
    position   INTEGER NOT NULL,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    PRIMARY KEY (node_id, sink)
) STRICT;

-- +goose Down
DROP TABLE ingest_cursors;
DROP TABLE auth_records;
DROP TABLE usage_daily;
DROP TABLE nas_boots;
DROP TABLE accounting_records;
DROP TABLE sessions;
