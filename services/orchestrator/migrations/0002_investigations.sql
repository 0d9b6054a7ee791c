-- Investigations and the alerts they are about. An alert has at most one automatic investigation.
CREATE TABLE investigations (
    id               text        PRIMARY KEY,
    position         bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    alert_ids        jsonb       NOT NULL,
    status           text        NOT NULL CHECK (status IN
                     ('queued', 'running', 'review_required', 'completed', 'failed', 'cancelled')),
    automatic        boolean     NOT NULL,
    agents           jsonb       NOT NULL,
    requested_by     text        NOT NULL,
    reason           text        NOT NULL,
    severity         text,
    confidence       double precision,
    verdict          text,
    mitre_techniques jsonb       NOT NULL DEFAULT '[]',
    iocs             jsonb       NOT NULL DEFAULT '[]',
    summary          text        NOT NULL DEFAULT '',
    findings         jsonb       NOT NULL DEFAULT '[]',
    citations        jsonb       NOT NULL DEFAULT '[]',
    ruled_out        jsonb       NOT NULL DEFAULT '[]',
    not_checked      jsonb       NOT NULL DEFAULT '[]',
    traceparent      text,
    created_at       timestamptz NOT NULL,
    completed_at     timestamptz,
    lease_owner      text,
    lease_until      timestamptz
);

CREATE UNIQUE INDEX investigations_automatic ON investigations ((alert_ids->>0)) WHERE automatic;
CREATE INDEX investigations_waiting ON investigations (position) WHERE status IN ('queued', 'running');
CREATE INDEX investigations_of_alert ON investigations USING gin (alert_ids);
