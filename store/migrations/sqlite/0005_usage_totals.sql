-- What users used in the months before this one, added up, so that a server that
-- starts need not read all their days.

-- +goose Up
-- The days before the setting usage_totals_until.
CREATE TABLE usage_totals (
    username        TEXT PRIMARY KEY,
    session_seconds INTEGER NOT NULL,
    input_octets    INTEGER NOT NULL,
    output_octets   INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE usage_totals;
DELETE FROM settings WHERE name = 'usage_totals_until';
