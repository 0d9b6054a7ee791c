-- Hunts and their runs; new tables, blocks nobody. A run is claimed by a worker for the time of a lease, so that one
-- whose process died is taken up again. `log_ids` are what it found, newest first, for the comparison with the next run.
CREATE TABLE hunts (
    id               text        PRIMARY KEY,
    position         bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    name             text        NOT NULL,
    description      text        NOT NULL,
    query            text,
    sigma            text,
    parameters       jsonb       NOT NULL,
    mitre_techniques jsonb       NOT NULL,
    range_hours      int         NOT NULL,
    schedule         text,
    next_run_at      timestamptz,
    created_by       text        NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((query IS NULL) <> (sigma IS NULL))
);
CREATE INDEX hunts_due ON hunts (next_run_at) WHERE next_run_at IS NOT NULL;

CREATE TABLE hunt_runs (
    id           text        PRIMARY KEY,
    position     bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    hunt_id      text        NOT NULL REFERENCES hunts (id) ON DELETE CASCADE,
    query        text,
    sigma        text,
    parameters   jsonb       NOT NULL,
    since        timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    status       text        NOT NULL DEFAULT 'queued' CHECK (status IN
                 ('queued', 'running', 'completed', 'failed', 'cancelled')),
    progress     real        NOT NULL DEFAULT 0,
    hits         int         NOT NULL DEFAULT 0,
    complete     boolean     NOT NULL DEFAULT false,
    found        jsonb       NOT NULL DEFAULT '[]',
    log_ids      text[]      NOT NULL DEFAULT '{}',
    compared_to  text,
    new_count    int,
    new_ids      text[],
    gone_count   int,
    error        text,
    created_by   text        NOT NULL,
    created_at   timestamptz NOT NULL,
    started_at   timestamptz,
    finished_at  timestamptz,
    owner        text,
    lease_until  timestamptz,
    attempts     int         NOT NULL DEFAULT 0
);
CREATE INDEX hunt_runs_of ON hunt_runs (hunt_id, position DESC);
CREATE INDEX hunt_runs_open ON hunt_runs (position) WHERE status IN ('queued', 'running');
