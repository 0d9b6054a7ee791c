-- Accounts. `username_key` and `email_key` are the case-folded forms that must be unique.
CREATE TABLE users (
    id            text        PRIMARY KEY,
    username      text        NOT NULL,
    username_key  text        NOT NULL UNIQUE,
    email         text,
    email_key     text        UNIQUE,
    name          text        NOT NULL,
    role          text        NOT NULL CHECK (role IN ('admin', 'analyst', 'operator', 'viewer', 'api_service')),
    -- Null where the account signs in elsewhere.
    password_hash text,
    disabled_at   timestamptz,
    created_at    timestamptz NOT NULL,
    last_login_at timestamptz
);

-- A session is the family of refresh tokens that began with one sign-in.
CREATE TABLE sessions (
    id             uuid        PRIMARY KEY,
    user_id        text        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    revoked_at     timestamptz,
    revoked_reason text
);
CREATE INDEX sessions_of_user ON sessions (user_id);
CREATE INDEX sessions_by_revocation ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Only the SHA-256 of a token is kept. A used one stays until its session ends: its second use gives a thief away.
CREATE TABLE refresh_tokens (
    hash       bytea       PRIMARY KEY,
    session_id uuid        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);
