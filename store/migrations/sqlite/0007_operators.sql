-- Who runs the network: operators, their roles, sign-ins and tokens.

-- +goose Up
CREATE TABLE roles (
    id          TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE CHECK (name <> ''),
    description TEXT NOT NULL DEFAULT '',
    permissions TEXT NOT NULL DEFAULT '',          -- resource:action, a space between; of built-in roles the program knows
    built_in    INTEGER NOT NULL DEFAULT 0,
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;
INSERT INTO roles (id, name, description, built_in) VALUES
    ('00000000-0000-7000-8000-000000000001', 'owner', 'may do everything', 1),
    ('00000000-0000-7000-8000-000000000002', 'admin', 'may do everything but change roles and act on owners', 1),
    ('00000000-0000-7000-8000-000000000003', 'billing', 'invoices, payments and the usage they rest on', 1),
    ('00000000-0000-7000-8000-000000000004', 'support', 'helps users: changes them, sees and ends their sessions', 1),
    ('00000000-0000-7000-8000-000000000005', 'auditor', 'sees configuration, history and the audit log, no personal data', 1),
    ('00000000-0000-7000-8000-000000000006', 'read-only', 'sees the network and its users, no personal data', 1);

CREATE TABLE operators (
    id                TEXT NOT NULL PRIMARY KEY,
    name              TEXT NOT NULL UNIQUE CHECK (name <> '' AND name = lower(name)),
    display_name      TEXT NOT NULL DEFAULT '',
    email             TEXT NOT NULL DEFAULT '',
    status            TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    password_hash     BLOB,                         -- argon2id, sealed
    totp_secret       BLOB,                         -- sealed
    totp_enabled_at   TEXT,                   -- NULL: no code is asked for
    totp_last_step    INTEGER NOT NULL DEFAULT 0,     -- codes up to it were used
    oidc_issuer       TEXT NOT NULL DEFAULT '',
    oidc_subject      TEXT NOT NULL DEFAULT '',
    tokens_not_before TEXT,                   -- sign-ins that began then or before are ended
    last_sign_in_at   TEXT,
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;
CREATE UNIQUE INDEX operators_oidc ON operators (oidc_issuer, oidc_subject) WHERE oidc_subject <> '';
CREATE INDEX operators_email ON operators (lower(email)) WHERE email <> '';

CREATE TABLE operator_roles (
    operator_id TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    role_id     TEXT NOT NULL REFERENCES roles (id),
    PRIMARY KEY (operator_id, role_id)
) STRICT;
CREATE INDEX operator_roles_role_id ON operator_roles (role_id);

CREATE TABLE recovery_codes (
    operator_id TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    hash        BLOB NOT NULL,
    PRIMARY KEY (operator_id, hash)
) STRICT;

CREATE TABLE api_tokens (
    id             TEXT NOT NULL PRIMARY KEY,
    operator_id    TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    name           TEXT NOT NULL,
    hash           BLOB NOT NULL,                   -- SHA-256
    permissions    TEXT NOT NULL DEFAULT '',
    sources        TEXT NOT NULL DEFAULT '',         -- prefixes, a space between; empty: from anywhere
    expires_at     TEXT,                      -- NULL: never
    last_used_at   TEXT,
    last_used_from TEXT,
    created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;
CREATE INDEX api_tokens_operator_id ON api_tokens (operator_id, id);

-- A sign-in, and the family of refresh tokens that began with it.
CREATE TABLE operator_sessions (
    id           TEXT NOT NULL PRIMARY KEY,
    operator_id  TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    mfa          INTEGER NOT NULL,
    address      TEXT,
    started_at   TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    expires_at   TEXT NOT NULL,
    closed_at    TEXT                         -- signed out, or a refresh token was used twice
) STRICT;
CREATE INDEX operator_sessions_operator_id ON operator_sessions (operator_id, started_at);
CREATE INDEX operator_sessions_expires_at ON operator_sessions (expires_at);
CREATE INDEX operator_sessions_closed_at ON operator_sessions (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE refresh_tokens (
    hash       BLOB PRIMARY KEY,                    -- SHA-256
    session_id TEXT NOT NULL REFERENCES operator_sessions (id) ON DELETE CASCADE,
    expires_at TEXT NOT NULL,
    used_at    TEXT                           -- NULL: the one that is good
) STRICT;
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);

CREATE TABLE signing_keys (
    id         TEXT NOT NULL PRIMARY KEY,
    seed       BLOB NOT NULL,                       -- Ed25519, sealed
    follows    TEXT NOT NULL UNIQUE,                 -- so that of two processes one makes the next; zero: the first
    created_at TEXT NOT NULL
) STRICT;

-- Tokens that are good once and were used.
CREATE TABLE spent_tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX spent_tokens_expires_at ON spent_tokens (expires_at);

-- Failed sign-ins by account (hashed) and address.
CREATE TABLE sign_in_attempts (
    key          TEXT NOT NULL PRIMARY KEY,
    failures     INTEGER NOT NULL,
    last_at      TEXT NOT NULL,
    locked_until TEXT
) STRICT;
CREATE INDEX sign_in_attempts_last_at ON sign_in_attempts (last_at);

-- +goose Down
DROP TABLE sign_in_attempts;
DROP TABLE spent_tokens;
DROP TABLE signing_keys;
DROP TABLE refresh_tokens;
DROP TABLE operator_sessions;
DROP TABLE api_tokens;
DROP TABLE recovery_codes;
DROP TABLE operator_roles;
DROP TABLE operators;
DROP TABLE roles;
