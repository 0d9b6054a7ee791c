-- Correlations match as any rule does. Adds columns without rewriting; blocks writers of matches for a moment.
-- `group_values` is set on a match of a correlation: what its group-by fields are, under their names. Its `log_id` is
-- the event at the end of the window that fired.
ALTER TABLE matches ADD COLUMN group_values jsonb;
-- `hit` once the window that ends with the event is a match.
ALTER TABLE correlation_events ADD COLUMN hit boolean NOT NULL DEFAULT false;

-- Stretches of time whose windows are read when they are complete, one row for each group that has an event in it.
-- A row waits (`pending`) until the watermark passes `ends_at`; `touched_at` is when its last event was evaluated, and
-- `run_id` the run over the past that counts into it. A row that waits no more says that the stretch was read, so that
-- what comes later is known to be late. `draft` is what the alert says of the first event, `fields` what correlations
-- that refer to this one look at in it.
CREATE TABLE correlation_windows (
    correlation_id text        NOT NULL,
    definition     text        NOT NULL,
    group_key      text        NOT NULL,
    ends_at        timestamptz NOT NULL,
    group_values   jsonb       NOT NULL,
    draft          jsonb       NOT NULL,
    fields         jsonb       NOT NULL,
    seconds        int         NOT NULL,
    pending        boolean     NOT NULL DEFAULT true,
    opened_at      timestamptz NOT NULL,
    touched_at     timestamptz NOT NULL,
    run_id         uuid,
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (correlation_id, definition, group_key, ends_at)
);
CREATE INDEX correlation_windows_pending ON correlation_windows (ends_at) WHERE pending;
CREATE INDEX correlation_windows_by_expiry ON correlation_windows (expires_at);

-- What correlations could not count, by the hour: events that came after their window was read (`late`), and looks at
-- a group that had more events than are read at once (`capped`).
CREATE TABLE correlation_losses (
    rule_id text        NOT NULL,
    hour    timestamptz NOT NULL,
    late    bigint      NOT NULL DEFAULT 0,
    capped  bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (rule_id, hour)
);
CREATE INDEX correlation_losses_by_hour ON correlation_losses (hour);
