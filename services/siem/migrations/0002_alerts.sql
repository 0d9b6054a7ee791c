-- Alerts. An open alert is the only one of its identity (source, type, source_ref); a closed one makes room for a new.
CREATE TABLE alert_numbers (
    year int    PRIMARY KEY,
    last bigint NOT NULL
);

CREATE TABLE alerts (
    id               text        PRIMARY KEY,
    position         bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    title            text        NOT NULL,
    description      text        NOT NULL,
    severity         text        NOT NULL CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    status           text        NOT NULL DEFAULT 'new' CHECK (status IN
                     ('new', 'triaged', 'investigating', 'escalated', 'resolved', 'false_positive')),
    source           text        NOT NULL,
    type             text        NOT NULL,
    source_ref       text        NOT NULL,
    rule_id          text,
    mitre_techniques jsonb       NOT NULL,
    observables      jsonb       NOT NULL,
    entities         jsonb       NOT NULL,
    evidence         jsonb       NOT NULL,
    count            bigint      NOT NULL,
    first_seen       timestamptz NOT NULL,
    last_seen        timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    acknowledged_by  text,
    acknowledged_at  timestamptz,
    case_id          text,
    investigation_id text
);

CREATE UNIQUE INDEX alerts_open_identity ON alerts (source, type, source_ref)
    WHERE status NOT IN ('resolved', 'false_positive');
CREATE INDEX alerts_by_rule ON alerts (rule_id, position DESC);
CREATE INDEX alerts_by_last_seen ON alerts (last_seen);
