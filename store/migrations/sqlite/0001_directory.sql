-- Who may use the network, from where, and what they get.

-- +goose Up
CREATE TABLE settings (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE TABLE plans (
    id                   TEXT PRIMARY KEY,
    name                 TEXT NOT NULL UNIQUE CHECK (name <> ''),
    rate_up              INTEGER NOT NULL DEFAULT 0,  -- bit/s, 0: not limited
    rate_down            INTEGER NOT NULL DEFAULT 0,
    burst_up             INTEGER NOT NULL DEFAULT 0,
    burst_down           INTEGER NOT NULL DEFAULT 0,
    burst_threshold_up   INTEGER NOT NULL DEFAULT 0,
    burst_threshold_down INTEGER NOT NULL DEFAULT 0,
    burst_time           INTEGER NOT NULL DEFAULT 0,  -- seconds, like every span below
    policy_up            TEXT NOT NULL DEFAULT '',
    policy_down          TEXT NOT NULL DEFAULT '',
    session_timeout      INTEGER NOT NULL DEFAULT 0,
    idle_timeout         INTEGER NOT NULL DEFAULT 0,
    interim_interval     INTEGER NOT NULL DEFAULT 0,
    address_pool         TEXT NOT NULL DEFAULT '',
    ipv6_pool            TEXT NOT NULL DEFAULT '',
    delegated_ipv6_pool  TEXT NOT NULL DEFAULT '',
    address_list         TEXT NOT NULL DEFAULT '',
    filter_id            TEXT NOT NULL DEFAULT '',
    simultaneous_use     INTEGER NOT NULL DEFAULT 0,
    login_hours          TEXT NOT NULL DEFAULT '',
    allowed_methods      TEXT NOT NULL DEFAULT '',
    quota_seconds        INTEGER NOT NULL DEFAULT 0,
    quota_octets         INTEGER NOT NULL DEFAULT 0,
    quota_period         TEXT NOT NULL DEFAULT 'ever' CHECK (quota_period IN ('ever', 'day', 'week', 'month')),
    created_at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE TABLE groups (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE CHECK (name <> ''),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE TABLE users (
    id                TEXT PRIMARY KEY,
    username          TEXT NOT NULL UNIQUE CHECK (username <> ''),
    status            TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled', 'suspended')),
    credential_scheme TEXT NOT NULL DEFAULT 'none' CHECK (credential_scheme IN ('none', 'cleartext', 'nthash', 'hash', 'mac')),
    credential        BLOB,                          -- sealed
    plan_id           TEXT REFERENCES plans (id),
    expires_at        TEXT,
    simultaneous_use  INTEGER NOT NULL DEFAULT 0,      -- 0: the plan's
    created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;
CREATE INDEX users_plan_id ON users (plan_id, username);

CREATE TABLE user_profiles (
    user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    full_name  TEXT NOT NULL DEFAULT '',
    email      TEXT NOT NULL DEFAULT '',
    phone      TEXT NOT NULL DEFAULT '',
    address    TEXT NOT NULL DEFAULT '',
    note       TEXT NOT NULL DEFAULT '',
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE TABLE user_groups (
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES groups (id),
    priority INTEGER NOT NULL DEFAULT 0,               -- ascending
    PRIMARY KEY (user_id, group_id)
) STRICT;
CREATE INDEX user_groups_group_id ON user_groups (group_id);

-- Check and reply items. They apply in the order of their ids.
CREATE TABLE attributes (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id   TEXT REFERENCES users (id) ON DELETE CASCADE,
    group_id  TEXT REFERENCES groups (id) ON DELETE CASCADE,
    plan_id   TEXT REFERENCES plans (id) ON DELETE CASCADE,
    kind      TEXT NOT NULL CHECK (kind IN ('check', 'reply')),
    attribute TEXT NOT NULL,
    op        TEXT NOT NULL,
    value     TEXT NOT NULL,
    CHECK ((user_id IS NOT NULL) + (group_id IS NOT NULL) + (plan_id IS NOT NULL) = 1)
) STRICT;
CREATE INDEX attributes_user_id ON attributes (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX attributes_group_id ON attributes (group_id, id) WHERE group_id IS NOT NULL;
CREATE INDEX attributes_plan_id ON attributes (plan_id, id) WHERE plan_id IS NOT NULL;

CREATE TABLE nas (
    id                            TEXT PRIMARY KEY,
    name                          TEXT NOT NULL DEFAULT '',
    address                       TEXT NOT NULL UNIQUE,  -- or a prefix
    secret                        BLOB NOT NULL,        -- sealed
    previous_secret               BLOB,                 -- sealed
    vendor                        TEXT NOT NULL DEFAULT '',
    coa_port                      INTEGER NOT NULL DEFAULT 0,
    require_message_authenticator TEXT NOT NULL DEFAULT 'yes' CHECK (require_message_authenticator IN ('yes', 'no', 'auto')),
    limit_proxy_state             INTEGER NOT NULL DEFAULT 0,
    created_at                    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at                    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;
CREATE UNIQUE INDEX nas_name ON nas (name) WHERE name <> '';

-- The change feed. There is one writer at a time, so the sequence is the order
-- of commits.
CREATE TABLE changes (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    entity    TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

-- The feed is kept by triggers, so that a change made by hand reaches the
-- servers as well.

-- +goose StatementBegin
CREATE TRIGGER users_insert AFTER INSERT ON users BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('users', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER users_update AFTER UPDATE ON users BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('users', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER users_delete AFTER DELETE ON users BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('users', OLD.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER plans_insert AFTER INSERT ON plans BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('plans', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER plans_update AFTER UPDATE ON plans BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('plans', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER plans_delete AFTER DELETE ON plans BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('plans', OLD.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER groups_insert AFTER INSERT ON groups BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('groups', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER groups_update AFTER UPDATE ON groups BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('groups', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER groups_delete AFTER DELETE ON groups BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('groups', OLD.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER nas_insert AFTER INSERT ON nas BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('nas', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER nas_update AFTER UPDATE ON nas BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('nas', NEW.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER nas_delete AFTER DELETE ON nas BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('nas', OLD.id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER user_groups_insert AFTER INSERT ON user_groups BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('users', NEW.user_id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER user_groups_update AFTER UPDATE ON user_groups BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('users', OLD.user_id);
    INSERT INTO changes (entity, entity_id) VALUES ('users', NEW.user_id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER user_groups_delete AFTER DELETE ON user_groups BEGIN
    INSERT INTO changes (entity, entity_id) VALUES ('users', OLD.user_id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER attributes_insert AFTER INSERT ON attributes BEGIN
    INSERT INTO changes (entity, entity_id)
    SELECT CASE WHEN NEW.user_id IS NOT NULL THEN 'users' WHEN NEW.group_id IS NOT NULL THEN 'groups' ELSE 'plans' END,
           coalesce(NEW.user_id, NEW.group_id, NEW.plan_id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER attributes_update AFTER UPDATE ON attributes BEGIN
    INSERT INTO changes (entity, entity_id)
    SELECT CASE WHEN OLD.user_id IS NOT NULL THEN 'users' WHEN OLD.group_id IS NOT NULL THEN 'groups' ELSE 'plans' END,
           coalesce(OLD.user_id, OLD.group_id, OLD.plan_id);
    INSERT INTO changes (entity, entity_id)
    SELECT CASE WHEN NEW.user_id IS NOT NULL THEN 'users' WHEN NEW.group_id IS NOT NULL THEN 'groups' ELSE 'plans' END,
           coalesce(NEW.user_id, NEW.group_id, NEW.plan_id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER attributes_delete AFTER DELETE ON attributes BEGIN
    INSERT INTO changes (entity, entity_id)
    SELECT CASE WHEN OLD.user_id IS NOT NULL THEN 'users' WHEN OLD.group_id IS NOT NULL THEN 'groups' ELSE 'plans' END,
           coalesce(OLD.user_id, OLD.group_id, OLD.plan_id);
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE attributes;
DROP TABLE user_groups;
DROP TABLE user_profiles;
DROP TABLE users;
DROP TABLE groups;
DROP TABLE plans;
DROP TABLE nas;
DROP TABLE changes;
DROP TABLE settings;
