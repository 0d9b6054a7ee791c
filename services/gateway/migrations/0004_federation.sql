-- Who signs in by a provider of identities: (protocol, issuer, subject) is the person, whatever else may change.
-- A new table; nothing waits.
CREATE TABLE federated_identities (
    protocol        text        NOT NULL CHECK (protocol IN ('oidc', 'saml')),
    issuer          text        NOT NULL,
    subject         text        NOT NULL,
    user_id         text        NOT NULL REFERENCES users ON DELETE CASCADE,
    -- The provider's id in the configuration when it was last used.
    provider        text        NOT NULL,
    created_at      timestamptz NOT NULL,
    last_sign_in_at timestamptz NOT NULL,
    PRIMARY KEY (protocol, issuer, subject)
);
CREATE INDEX federated_identities_of_user ON federated_identities (user_id);
