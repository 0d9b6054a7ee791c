-- Cloud accounts that users connected. `sealed` opens only with a key that isn't in this database (`key_id` names it),
-- and only for this user and provider. No reference to users: a user who is gone leaves something to revoke.
CREATE TABLE cloud_connections (
    user_id      text        NOT NULL,
    provider     text        NOT NULL CHECK (provider IN ('gcp', 'aws', 'azure')),
    account      text,
    identity     text,
    scopes       text[]      NOT NULL,
    key_id       text        NOT NULL,
    sealed       bytea       NOT NULL,
    connected_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, provider)
);

-- Credentials that the provider must still be told to void. A row goes when it has been, or was asked long enough.
CREATE TABLE cloud_revocations (
    id           uuid        PRIMARY KEY,
    user_id      text        NOT NULL,
    provider     text        NOT NULL,
    key_id       text        NOT NULL,
    sealed       bytea       NOT NULL,
    requested_at timestamptz NOT NULL,
    next_try_at  timestamptz NOT NULL,
    attempts     integer     NOT NULL DEFAULT 0
);
CREATE INDEX cloud_revocations_due ON cloud_revocations (next_try_at);
CREATE INDEX cloud_revocations_of_user ON cloud_revocations (user_id, provider);

-- What a user's AWS trust policies ask for: chosen by Aurora, random, and never another's.
CREATE TABLE cloud_external_ids (
    user_id     text PRIMARY KEY,
    external_id text NOT NULL UNIQUE
);
