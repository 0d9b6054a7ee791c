-- Every handoff there was, in or outside an investigation. `handoff` is the metadata as it was sent: the same handoff
-- sent again is the same request for the agent.
CREATE TABLE dispatches (
    id               text        PRIMARY KEY,
    position         bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    investigation_id text,
    agent            text        NOT NULL,
    method           text        NOT NULL,
    params           jsonb       NOT NULL,
    reason           text        NOT NULL,
    capabilities     jsonb       NOT NULL,
    status           text        NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'skipped')),
    requested_by     text        NOT NULL,
    handoff          jsonb,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    finished_at      timestamptz,
    result           jsonb,
    error            text
);

CREATE UNIQUE INDEX dispatches_of_investigation ON dispatches (investigation_id, agent, method)
    WHERE investigation_id IS NOT NULL;
