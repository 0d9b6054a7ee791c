-- The audit log and the runtime settings. New tables: nothing blocks.
CREATE TABLE audit (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         uuid        NOT NULL UNIQUE,
    at         timestamptz NOT NULL,
    action     text        NOT NULL,
    outcome    text        NOT NULL CHECK (outcome IN ('success', 'failure', 'denied')),
    actor      text,
    -- As it was then: accounts are deleted, what they did isn't.
    actor_name text,
    target     text,
    address    text,
    request_id text,
    detail     jsonb       NOT NULL
);
CREATE INDEX audit_by_actor ON audit (actor, seq DESC);
CREATE INDEX audit_by_action ON audit (action text_pattern_ops, seq DESC);
CREATE INDEX audit_by_time ON audit (at);
-- Rows are added and read. The owner is held to it too, so that no statement of the gateway can change the past.
REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM CURRENT_USER;

-- Each row is what held from then on, whole; the newest is what holds. Without one the environment's defaults hold.
CREATE TABLE runtime_settings (
    revision   bigint      PRIMARY KEY,
    settings   jsonb       NOT NULL,
    changed    jsonb       NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text        NOT NULL,
    changed_by_name text   NOT NULL,
    reason     text        NOT NULL
);
