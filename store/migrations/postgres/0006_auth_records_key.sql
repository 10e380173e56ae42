-- One index less to write for each decision: the key begins with the time, by which
-- decisions come and are listed.

-- +goose Up
ALTER TABLE auth_records DROP CONSTRAINT auth_records_pkey;
DROP INDEX auth_records_at;
ALTER TABLE auth_records ADD PRIMARY KEY (at, id);

-- +goose Down
ALTER TABLE auth_records DROP CONSTRAINT auth_records_pkey;
ALTER TABLE auth_records ADD PRIMARY KEY (id, at);
CREATE INDEX auth_records_at ON auth_records (at, id);
