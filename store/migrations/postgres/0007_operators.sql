-- Who runs the network: operators, their roles, sign-ins and tokens.

-- +goose Up
CREATE TABLE roles (
    id          uuid PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE CHECK (name <> ''),
    description text NOT NULL DEFAULT '',
    permissions text NOT NULL DEFAULT '',          -- resource:action, a space between; of built-in roles the program knows
    built_in    boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO roles (id, name, description, built_in) VALUES
    ('00000000-0000-7000-8000-000000000001', 'owner', 'may do everything', true),
    ('00000000-0000-7000-8000-000000000002', 'admin', 'may do everything but change roles and act on owners', true),
    ('00000000-0000-7000-8000-000000000003', 'billing', 'invoices, payments and the usage they rest on', true),
    ('00000000-0000-7000-8000-000000000004', 'support', 'helps users: changes them, sees and ends their sessions', true),
    ('00000000-0000-7000-8000-000000000005', 'auditor', 'sees configuration, history and the audit log, no personal data', true),
    ('00000000-0000-7000-8000-000000000006', 'read-only', 'sees the network and its users, no personal data', true);

CREATE TABLE operators (
    id                uuid PRIMARY KEY,
    name              text COLLATE "C" NOT NULL UNIQUE CHECK (name <> '' AND name = lower(name)),
    display_name      text NOT NULL DEFAULT '',
    email             text NOT NULL DEFAULT '',
    status            text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    password_hash     bytea,                         -- argon2id, sealed
    totp_secret       bytea,                         -- sealed
    totp_enabled_at   timestamptz,                   -- NULL: no code is asked for
    totp_last_step    bigint NOT NULL DEFAULT 0,     -- codes up to it were used
    oidc_issuer       text NOT NULL DEFAULT '',
    oidc_subject      text NOT NULL DEFAULT '',
    tokens_not_before timestamptz,                   -- sign-ins that began then or before are ended
    last_sign_in_at   timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX operators_oidc ON operators (oidc_issuer, oidc_subject) WHERE oidc_subject <> '';
CREATE INDEX operators_email ON operators (lower(email)) WHERE email <> '';

CREATE TABLE operator_roles (
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    role_id     uuid NOT NULL REFERENCES roles (id),
    PRIMARY KEY (operator_id, role_id)
);
CREATE INDEX operator_roles_role_id ON operator_roles (role_id);

CREATE TABLE recovery_codes (
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    hash        bytea NOT NULL,
    PRIMARY KEY (operator_id, hash)
);

CREATE TABLE api_tokens (
    id             uuid PRIMARY KEY,
    operator_id    uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    name           text NOT NULL,
    hash           bytea NOT NULL,                   -- SHA-256
    permissions    text NOT NULL DEFAULT '',
    sources        text NOT NULL DEFAULT '',         -- prefixes, a space between; empty: from anywhere
    expires_at     timestamptz,                      -- NULL: never
    last_used_at   timestamptz,
    last_used_from inet,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_tokens_operator_id ON api_tokens (operator_id, id);

-- A sign-in, and the family of refresh tokens that began with it.
CREATE TABLE operator_sessions (
    id           uuid PRIMARY KEY,
    operator_id  uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    mfa          boolean NOT NULL,
    address      inet,
    started_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    closed_at    timestamptz                         -- signed out, or a refresh token was used twice
);
CREATE INDEX operator_sessions_operator_id ON operator_sessions (operator_id, started_at);
CREATE INDEX operator_sessions_expires_at ON operator_sessions (expires_at);
CREATE INDEX operator_sessions_closed_at ON operator_sessions (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE refresh_tokens (
    hash       bytea PRIMARY KEY,                    -- SHA-256
    session_id uuid NOT NULL REFERENCES operator_sessions (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz                           -- NULL: the one that is good
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);

CREATE TABLE signing_keys (
    id         uuid PRIMARY KEY,
    seed       bytea NOT NULL,                       -- Ed25519, sealed
    follows    uuid NOT NULL UNIQUE,                 -- so that of two processes one makes the next; zero: the first
    created_at timestamptz NOT NULL
);

-- Tokens that are good once and were used.
CREATE TABLE spent_tokens (
    id         uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_tokens_expires_at ON spent_tokens (expires_at);

-- Failed sign-ins by account (hashed) and address.
CREATE TABLE sign_in_attempts (
    key          text COLLATE "C" PRIMARY KEY,
    failures     bigint NOT NULL,
    last_at      timestamptz NOT NULL,
    locked_until timestamptz
);
CREATE INDEX sign_in_attempts_last_at ON sign_in_attempts (last_at);

-- +goose Down
DROP TABLE sign_in_attempts, spent_tokens, signing_keys, refresh_tokens, operator_sessions, api_tokens,
    recovery_codes, operator_roles, operators, roles;
