-- What a CoA-Request has changed in the sessions of users whom dunning restricts, so that
-- another one can change it back.

-- +goose Up
ALTER TABLE dunning_restrictions ADD COLUMN changed text NOT NULL DEFAULT '[]';  -- JSON: names of attributes; none: sessions were ended

-- +goose Down
ALTER TABLE dunning_restrictions DROP COLUMN changed;
