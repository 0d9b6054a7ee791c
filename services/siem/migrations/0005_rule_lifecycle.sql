-- The life of a rule: its texts, what analysts hide of it, and what they say of its alerts. Rules wait for this briefly.
ALTER TABLE rules ADD COLUMN version int NOT NULL DEFAULT 1;

-- Every text that a rule ever had; `version` of `rules` is the one in force.
CREATE TABLE rule_versions (
    rule_id    text        NOT NULL REFERENCES rules (id) ON DELETE CASCADE,
    version    int         NOT NULL,
    sigma      text        NOT NULL,
    origin     text        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    reason     text        NOT NULL,
    PRIMARY KEY (rule_id, version)
);
INSERT INTO rule_versions (rule_id, version, sigma, origin, created_by, created_at, reason)
SELECT id, version, sigma, origin, 'aurora', updated_at, '' FROM rules;

-- What is not to be told again. One that was ended stays, because the matches it hid name it.
CREATE TABLE suppressions (
    id          uuid        PRIMARY KEY,
    position    bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    rule_id     text        NOT NULL REFERENCES rules (id) ON DELETE CASCADE,
    fields      jsonb       NOT NULL,
    active_from timestamptz,
    active_to   timestamptz,
    expires_at  timestamptz,
    reason      text        NOT NULL,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    ended_by    text,
    ended_at    timestamptz
);
CREATE INDEX suppressions_in_force ON suppressions (rule_id) WHERE ended_at IS NULL;

-- What people say of a rule's alerts and matches. The last word on each counts, the others are its history.
CREATE TABLE feedback (
    id         uuid        PRIMARY KEY,
    position   bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    rule_id    text        NOT NULL REFERENCES rules (id) ON DELETE CASCADE,
    alert_id   text,
    log_id     text,
    verdict    text        NOT NULL CHECK (verdict IN ('true_positive', 'false_positive', 'benign_true_positive')),
    comment    text        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    CHECK (num_nonnulls(alert_id, log_id) = 1)
);
CREATE INDEX feedback_by_subject ON feedback (rule_id, alert_id, log_id, position DESC);
