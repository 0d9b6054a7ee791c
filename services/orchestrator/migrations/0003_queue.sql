-- Investigations queue by priority, hold many alerts and go in rounds; a step belongs to a round and has its budget.
-- Blocks writers of investigations and dispatches for a moment.
ALTER TABLE investigations
    ADD COLUMN priority         smallint NOT NULL DEFAULT 0,
    -- The place in the queue as a time: when it began to wait, less what its priority is worth.
    ADD COLUMN due_at           timestamptz,
    -- What alerts must have in common to join, and the span of time that the alerts so far were seen in.
    ADD COLUMN group_key        text,
    ADD COLUMN seen_from        timestamptz,
    ADD COLUMN seen_until       timestamptz,
    ADD COLUMN round            smallint NOT NULL DEFAULT 0,
    ADD COLUMN round_open       boolean  NOT NULL DEFAULT false,
    -- When an ended one goes on by itself, since an alert of it was seen again.
    ADD COLUMN continue_at      timestamptz,
    ADD COLUMN claimed_at       timestamptz,
    ADD COLUMN worked_seconds   double precision,
    ADD COLUMN first_verdict_at timestamptz,
    ADD COLUMN parked_at        timestamptz,
    ADD COLUMN parked_by        text,
    ADD COLUMN decisions        jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN contradictions   jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN plan             jsonb,
    ADD COLUMN report           jsonb;

ALTER TABLE dispatches
    ADD COLUMN round  smallint NOT NULL DEFAULT 1,
    ADD COLUMN budget jsonb;

UPDATE investigations SET due_at = created_at, first_verdict_at = completed_at;
-- One that was under way goes on in its first round.
UPDATE investigations SET round = 1, round_open = completed_at IS NULL
WHERE EXISTS (SELECT 1 FROM dispatches WHERE investigation_id = investigations.id);
ALTER TABLE investigations ALTER COLUMN due_at SET NOT NULL;

-- The alerts of an investigation, as they were when they were last told of; `round` is the last that asked about one.
CREATE TABLE investigation_alerts (
    investigation_id text     NOT NULL REFERENCES investigations (id),
    alert_id         text     NOT NULL,
    position         bigint   GENERATED ALWAYS AS IDENTITY,
    subject          jsonb    NOT NULL,
    severity_rank    smallint NOT NULL DEFAULT 0,
    asked_count      bigint   NOT NULL DEFAULT 0,
    round            smallint,
    refired          boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (investigation_id, alert_id)
);
CREATE INDEX investigation_alerts_of_alert ON investigation_alerts (alert_id);

INSERT INTO investigation_alerts (investigation_id, alert_id, subject, round)
SELECT id, alert_ids->>0, jsonb_build_object('id', alert_ids->>0), nullif(round, 0) FROM investigations;

DROP INDEX investigations_waiting;
CREATE INDEX investigations_queue ON investigations (due_at, position) WHERE status IN ('queued', 'running');
CREATE INDEX investigations_joinable ON investigations (group_key, seen_until) WHERE automatic;
CREATE INDEX investigations_continuing ON investigations (continue_at) WHERE continue_at IS NOT NULL;
CREATE INDEX investigations_ended ON investigations (completed_at) WHERE worked_seconds IS NOT NULL;

DROP INDEX dispatches_of_investigation;
CREATE UNIQUE INDEX dispatches_of_investigation ON dispatches (investigation_id, round, agent, method)
    WHERE investigation_id IS NOT NULL;
