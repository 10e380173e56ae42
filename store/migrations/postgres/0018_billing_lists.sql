-- What lists of billing are narrowed by.

-- +goose Up
CREATE INDEX charges_kind ON charges (kind, created_at, id);
CREATE INDEX charges_unbilled ON charges (created_at, id) WHERE invoice_id IS NULL;
CREATE INDEX invoices_run_created_at ON invoices (run_id, created_at, id) WHERE run_id IS NOT NULL;
CREATE INDEX orders_kind ON orders (kind, created_at, id);
CREATE INDEX payments_method ON payments (method, created_at, id);
CREATE INDEX ledger_transactions_kind ON ledger_transactions (kind, at, id);
DROP INDEX invoices_run_id;

-- +goose Down
CREATE INDEX invoices_run_id ON invoices (run_id) WHERE run_id IS NOT NULL;
DROP INDEX ledger_transactions_kind;
DROP INDEX payments_method;
DROP INDEX orders_kind;
DROP INDEX invoices_run_created_at;
DROP INDEX charges_unbilled;
DROP INDEX charges_kind;
