-- What users used in the months before this one, added up, so that a server that
-- starts need not read all their days.

-- +goose Up
-- The days before the setting usage_totals_until.
CREATE TABLE usage_totals (
    username        text COLLATE "C" PRIMARY KEY,
    session_seconds bigint NOT NULL,
    input_octets    bigint NOT NULL,
    output_octets   bigint NOT NULL
);

-- +goose Down
DROP TABLE usage_totals;
DELETE FROM settings WHERE name = 'usage_totals_until';
