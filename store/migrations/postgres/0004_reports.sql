-- What reports look for: who held an address, and everybody's usage in some days.

-- +goose Up
CREATE INDEX sessions_framed_ip ON sessions (framed_ip, started_at) WHERE framed_ip IS NOT NULL;
CREATE INDEX sessions_framed_ipv6 ON sessions (framed_ipv6, started_at) WHERE framed_ipv6 IS NOT NULL;
CREATE INDEX sessions_framed_ipv6_prefix ON sessions (framed_ipv6_prefix, started_at) WHERE framed_ipv6_prefix IS NOT NULL;
CREATE INDEX sessions_delegated_prefix ON sessions (delegated_prefix, started_at) WHERE delegated_prefix IS NOT NULL;
CREATE INDEX usage_daily_day ON usage_daily (day);

-- +goose Down
DROP INDEX usage_daily_day, sessions_delegated_prefix, sessions_framed_ipv6_prefix, sessions_framed_ipv6, sessions_framed_ip;
