-- Every tool call of every agent, told by event or delivered with an answer. A handoff that ran twice may have called a
-- tool twice, with two results: `delivered` is the one that its answer rests on. Blocks no one.
CREATE TABLE tool_calls (
    handoff_id       text        NOT NULL,
    agent            text        NOT NULL,
    id               text        NOT NULL,
    position         bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    tool             text        NOT NULL,
    arguments        jsonb       NOT NULL,
    status           text        NOT NULL CHECK (status IN ('completed', 'refused')),
    result           jsonb,
    error            text,
    code             text,
    started_at       timestamptz,
    finished_at      timestamptz NOT NULL,
    caller           text        NOT NULL,
    investigation_id text,
    delivered        boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (handoff_id, agent, id)
);

CREATE INDEX tool_calls_of_agent ON tool_calls (agent, position);
CREATE INDEX tool_calls_of_investigation ON tool_calls (investigation_id, position) WHERE investigation_id IS NOT NULL;
CREATE INDEX tool_calls_of_address ON tool_calls (id);
CREATE INDEX tool_calls_by_age ON tool_calls (finished_at);

-- Which version of its agent answered a handoff, where it is known.
CREATE TABLE answered_by (
    handoff_id text PRIMARY KEY,
    version    text NOT NULL
);
