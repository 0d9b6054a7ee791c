-- What correlations have counted: one row for each match of a rule they refer to, so that windows survive a restart and
-- late events find those they belong with. `definition` is a hash of the correlation: one that was changed begins anew.
-- `evidence` is what an alert says of the event; `cited` once an alert has it. Rows are of no use after `expires_at`.
CREATE TABLE correlation_events (
    correlation_id text        NOT NULL,
    definition     text        NOT NULL,
    group_key      text        NOT NULL,
    timestamp      timestamptz NOT NULL,
    reference      text        NOT NULL,
    log_id         text        NOT NULL,
    "values"       jsonb       NOT NULL,
    evidence       jsonb       NOT NULL,
    cited          boolean     NOT NULL DEFAULT false,
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (correlation_id, definition, group_key, timestamp, reference, log_id)
);
CREATE INDEX correlation_events_by_expiry ON correlation_events (expires_at);
