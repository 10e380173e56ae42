-- Accounting and authentication records, and what reports read instead of them.
--
-- The statements hold on 18.16 and on today's releases. What stands in braces is
-- filled in by schema.go: on a cluster, a table is a replicated one on every shard,
-- and a Distributed one over them that has its name.

-- One row for each record; copies that have the same ids are merged to the one that
-- was received first. Copies may differ in event_time, so they may lie in different
-- partitions: what counts records uses FINAL or GROUP BY record_id.
CREATE TABLE IF NOT EXISTS {{local "accounting_records"}} {{onCluster}} (
    record_id             UUID,
    session_id            UUID,                   -- zero: none
    acct_session_id       String,
    acct_multi_session_id String,
    status                String,
    username              String,
    plan                  String,
    nas_id                UUID,                   -- zero: not in the directory
    nas_ip                String,
    nas_identifier        String,
    nas_port              UInt32,
    nas_port_id           String,
    framed_ip             String,
    framed_ipv6           String,
    framed_ipv6_prefix    String,
    delegated_prefix      String,
    calling_station_id    String,
    called_station_id     String,
    class                 String,
    event_time            DateTime('UTC'),
    event_microseconds    UInt32,
    event_derived         UInt8,                  -- no Event-Timestamp was sent
    received_at           DateTime('UTC'),
    received_microseconds UInt32,
    clock_off             UInt8,
    delay_seconds         UInt32,                 -- Acct-Delay-Time
    session_seconds       Nullable(UInt64),       -- NULL: not sent, like the octets
    input_octets          Nullable(UInt64),
    output_octets         Nullable(UInt64),
    input_packets         UInt64,
    output_packets        UInt64,
    has_gigawords         UInt8,
    terminate_cause       String,
    usage_at              Int64,                  -- µs since 1970: event_time, or received_at where clock_off
    usage_day             Date,                   -- its day in the configured time zone
    version               UInt64                  -- the earlier received, the greater
) ENGINE = {{engine "accounting_records" "Replacing" "version"}}
PARTITION BY toYYYYMM(event_time)
ORDER BY (session_id, record_id){{settings}};

{{over "accounting_records" "cityHash64(toString(session_id))"}}

CREATE TABLE IF NOT EXISTS {{local "auth_records"}} {{onCluster}} (
    id                 UUID,
    at                 DateTime('UTC'),
    at_microseconds    UInt32,
    username           String,
    accepted           UInt8,
    reason             String,
    detail             String,
    method             String,
    nas_id             UUID,
    nas_ip             String,
    nas_port_id        String,
    calling_station_id String,
    called_station_id  String,
    session_nonce      String
) ENGINE = {{engine "auth_records" "Replacing"}}
PARTITION BY toYYYYMM(at)
ORDER BY (username, id){{settings}};

{{over "auth_records" "cityHash64(username)"}}

-- The rollups. What a session has used is known at points: a record's counters and
-- its time, (session_seconds, input_octets, output_octets, received, at), times in µs
-- since 1970. low is the least point of a row, high the greatest; in high the times
-- are negative, so that of copies of one record the first received decides in both.
-- Minima and maxima do not change when rows come twice, whole or in part. The views
-- make a state of each record by itself, which costs less than to group those of a
-- batch: it seldom has two of a session.

CREATE TABLE IF NOT EXISTS {{local "usage_hourly"}} {{onCluster}} (
    username       String,
    session_id     UUID,
    hour           DateTime('UTC'),
    nas_ip         String,
    nas_identifier String,
    plan           String,
    low            AggregateFunction(min, Tuple(UInt64, UInt64, UInt64, Int64, Int64)),
    high           AggregateFunction(max, Tuple(UInt64, UInt64, UInt64, Int64, Int64)),
    input_max      AggregateFunction(max, UInt64),
    output_max     AggregateFunction(max, UInt64),
    derived        AggregateFunction(max, UInt8)  -- 1: copies of a record may differ in time
) ENGINE = {{engine "usage_hourly" "Aggregating"}}
PARTITION BY toYYYYMM(hour)
ORDER BY (username, session_id, hour, nas_ip, nas_identifier, plan){{settings}};

{{over "usage_hourly" "cityHash64(toString(session_id))"}}

CREATE MATERIALIZED VIEW IF NOT EXISTS {{qualified "usage_hourly_feed"}} {{onCluster}} TO {{local "usage_hourly"}} AS
SELECT username, session_id, toDateTime(intDiv(usage_at, 3600000000) * 3600, 'UTC') AS hour, nas_ip, nas_identifier, plan,
       {{low}},
       {{high}},
       {{most}},
       {{derived}}
FROM {{local "accounting_records"}}
WHERE status IN ('start', 'interim', 'stop');

CREATE TABLE IF NOT EXISTS {{local "usage_daily"}} {{onCluster}} (
    username       String,
    session_id     UUID,
    day            Date,                          -- in the configured time zone
    nas_ip         String,
    nas_identifier String,
    plan           String,
    low            AggregateFunction(min, Tuple(UInt64, UInt64, UInt64, Int64, Int64)),
    high           AggregateFunction(max, Tuple(UInt64, UInt64, UInt64, Int64, Int64)),
    input_max      AggregateFunction(max, UInt64),
    output_max     AggregateFunction(max, UInt64),
    derived        AggregateFunction(max, UInt8)
) ENGINE = {{engine "usage_daily" "Aggregating"}}
PARTITION BY toYYYYMM(day)
ORDER BY (username, session_id, day, nas_ip, nas_identifier, plan){{settings}};

{{over "usage_daily" "cityHash64(toString(session_id))"}}

CREATE MATERIALIZED VIEW IF NOT EXISTS {{qualified "usage_daily_feed"}} {{onCluster}} TO {{local "usage_daily"}} AS
SELECT username, session_id, usage_day AS day, nas_ip, nas_identifier, plan,
       {{low}},
       {{high}},
       {{most}},
       {{derived}}
FROM {{local "accounting_records"}}
WHERE status IN ('start', 'interim', 'stop');

-- What a session was: a row for each month, status and set of attributes that its
-- records had. high of the rows with status stop tells when it stopped, low of
-- those with status start when it began; high of all is its last sign of life.
CREATE TABLE IF NOT EXISTS {{local "sessions"}} {{onCluster}} (
    framed_ip          String,
    session_id         UUID,
    month              Date,                      -- its first day, in the configured time zone
    status             String,
    terminate_cause    String,
    username           String,
    acct_session_id    String,
    nas_ip             String,
    calling_station_id String,
    framed_ipv6        String,
    framed_ipv6_prefix String,
    delegated_prefix   String,
    plan               String,
    low                AggregateFunction(min, Tuple(UInt64, UInt64, UInt64, Int64, Int64)),
    high               AggregateFunction(max, Tuple(UInt64, UInt64, UInt64, Int64, Int64)),
    input_max          AggregateFunction(max, UInt64),
    output_max         AggregateFunction(max, UInt64)
) ENGINE = {{engine "sessions" "Aggregating"}}
PARTITION BY toYYYYMM(month)
ORDER BY (framed_ip, session_id, month, status, terminate_cause, username, acct_session_id, nas_ip, calling_station_id,
          framed_ipv6, framed_ipv6_prefix, delegated_prefix, plan){{settings}};

{{over "sessions" "cityHash64(toString(session_id))"}}

CREATE MATERIALIZED VIEW IF NOT EXISTS {{qualified "sessions_feed"}} {{onCluster}} TO {{local "sessions"}} AS
SELECT framed_ip, session_id, toStartOfMonth(usage_day) AS month, status, terminate_cause, username, acct_session_id, nas_ip, calling_station_id,
       framed_ipv6, framed_ipv6_prefix, delegated_prefix, plan,
       {{low}},
       {{high}},
       {{most}}
FROM {{local "accounting_records"}}
WHERE status IN ('start', 'interim', 'stop');

-- How far each node's journal has been taken in: the position with the greatest
-- version.
CREATE TABLE IF NOT EXISTS {{local "ingest_cursors"}} {{onCluster}} (
    node_id    String,
    sink       String,
    position   UInt64,
    updated_at DateTime('UTC'),
    version    UInt64
) ENGINE = {{engine "ingest_cursors" "Replacing" "version"}}
ORDER BY (node_id, sink){{settings}};

{{over "ingest_cursors" "cityHash64(node_id)"}}
