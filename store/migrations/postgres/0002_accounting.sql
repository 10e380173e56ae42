-- Who used the network, when, and how much; and who was let in or not.

-- +goose Up
CREATE TABLE sessions (
    id                    uuid PRIMARY KEY,
    acct_session_id       text NOT NULL,
    acct_multi_session_id text NOT NULL,
    username              text COLLATE "C" NOT NULL,
    nas_id                uuid,
    nas_ip                inet,
    nas_identifier        text NOT NULL,
    nas_port              bigint NOT NULL,
    nas_port_id           text NOT NULL,
    framed_ip             inet,
    framed_ipv6           inet,
    framed_ipv6_prefix    inet,
    delegated_prefix      inet,
    calling_station_id    text NOT NULL,
    called_station_id     text NOT NULL,
    class                 bytea,
    started_at            timestamptz NOT NULL,
    start_inferred        boolean NOT NULL,
    updated_at            timestamptz NOT NULL,
    stopped_at            timestamptz,            -- NULL: open
    stop_inferred         boolean NOT NULL,
    session_seconds       bigint NOT NULL,
    input_octets          bigint NOT NULL,        -- from the user
    output_octets         bigint NOT NULL,        -- to the user
    input_packets         bigint NOT NULL,
    output_packets        bigint NOT NULL,
    terminate_cause       text NOT NULL,
    counter_wrapped       boolean NOT NULL,
    provenance            bytea                   -- which event each attribute is from
) WITH (fillfactor = 80); -- room for the next interim beside the last one
CREATE INDEX sessions_open ON sessions (started_at, id) WHERE stopped_at IS NULL;
CREATE INDEX sessions_started_at ON sessions (started_at, id);
CREATE INDEX sessions_stopped_at ON sessions (stopped_at) WHERE stopped_at IS NOT NULL;
CREATE INDEX sessions_username ON sessions (username, stopped_at);
CREATE INDEX sessions_nas_ip ON sessions (nas_ip, stopped_at);

-- One partition for each UTC day of event_time. The default one takes the records
-- of clocks that are far off.
CREATE TABLE accounting_records (
    record_id             uuid NOT NULL,
    session_id            uuid,
    acct_session_id       text NOT NULL,
    acct_multi_session_id text NOT NULL,
    status                text NOT NULL,
    username              text COLLATE "C" NOT NULL,
    nas_id                uuid,
    nas_ip                inet,
    nas_identifier        text NOT NULL,
    nas_port              bigint NOT NULL,
    nas_port_id           text NOT NULL,
    framed_ip             inet,
    framed_ipv6           inet,
    framed_ipv6_prefix    inet,
    delegated_prefix      inet,
    calling_station_id    text NOT NULL,
    called_station_id     text NOT NULL,
    class                 bytea,
    event_time            timestamptz NOT NULL,
    event_derived         boolean NOT NULL,       -- no Event-Timestamp was sent
    received_at           timestamptz NOT NULL,
    clock_off             boolean NOT NULL,
    delay_seconds         bigint NOT NULL,        -- Acct-Delay-Time
    session_seconds       bigint,                 -- NULL: not sent, like the octets
    input_octets          bigint,
    output_octets         bigint,
    input_packets         bigint NOT NULL,
    output_packets        bigint NOT NULL,
    has_gigawords         boolean NOT NULL,
    terminate_cause       text NOT NULL
) PARTITION BY RANGE (event_time);
-- A record's id is made from its session's, so one index finds the records of a
-- session and tells copies of a record.
CREATE UNIQUE INDEX accounting_records_id ON accounting_records (session_id, record_id, event_time);
CREATE UNIQUE INDEX accounting_records_sessionless ON accounting_records (record_id, event_time) WHERE session_id IS NULL;
CREATE TABLE accounting_records_default PARTITION OF accounting_records DEFAULT;

-- Accounting-On and -Off, as long as the ids of sessions depend on them.
CREATE TABLE nas_boots (
    nas_id         uuid NOT NULL,       -- zero: not in the directory
    nas_ip         inet NOT NULL,
    nas_identifier text COLLATE "C" NOT NULL,
    status         text NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (nas_ip, nas_identifier, at, status, nas_id)
);

CREATE TABLE usage_daily (
    username        text COLLATE "C" NOT NULL,
    day             date NOT NULL,                -- in the configured time zone
    session_seconds bigint NOT NULL DEFAULT 0,
    input_octets    bigint NOT NULL DEFAULT 0,
    output_octets   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (username, day)
) WITH (fillfactor = 80);

-- One partition for each UTC day of at.
CREATE TABLE auth_records (
    id                 uuid NOT NULL,
    at                 timestamptz NOT NULL,
    username           text COLLATE "C" NOT NULL,
    accepted           boolean NOT NULL,
    reason             text NOT NULL,
    detail             text NOT NULL,
    method             text NOT NULL,
    nas_id             uuid,
    nas_ip             inet,
    nas_port_id        text NOT NULL,
    calling_station_id text NOT NULL,
    called_station_id  text NOT NULL,
    session_nonce      text NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX auth_records_username ON auth_records (username, at);
CREATE INDEX auth_records_at ON auth_records (at, id);
CREATE TABLE auth_records_default PARTITION OF auth_records DEFAULT;

-- How far each node's journal has been taken in.
CREATE TABLE ingest_cursors (
    node_id    text NOT NULL,
    sink       text NOT NULL,
    position   bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, sink)
);

-- +goose Down
DROP TABLE ingest_cursors, auth_records, usage_daily, nas_boots, accounting_records, sessions;
