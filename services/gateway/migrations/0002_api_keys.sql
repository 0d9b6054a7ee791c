-- API keys. Only the SHA-256 of a key's secret is kept; a revoked key stays as a row, so that it stays known.
CREATE TABLE api_keys (
    id           uuid        PRIMARY KEY,
    user_id      text        NOT NULL REFERENCES users ON DELETE CASCADE,
    name         text        NOT NULL,
    scopes       text[]      NOT NULL,
    secret_hash  bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    -- Written some seconds late, many at once.
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_of_user ON api_keys (user_id, id DESC);
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
