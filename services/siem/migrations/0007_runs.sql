-- Runs over the past, and what each rule was evaluated over. Blocks writers of rules for a moment (a trigger is added).
-- A run belongs to the process that holds its lease. It has read everything up to (position, position_id) in the order
-- of (timestamp, id), and what follows from that is committed with the position. `rules` are the rules it evaluates,
-- written down when it starts.
CREATE TABLE runs (
    id           uuid        PRIMARY KEY,
    number       bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    rule_id      text,
    since        timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    status       text        NOT NULL DEFAULT 'queued' CHECK (status IN
                 ('queued', 'running', 'completed', 'failed', 'cancelled')),
    requested_by text        NOT NULL,
    created_at   timestamptz NOT NULL,
    started_at   timestamptz,
    finished_at  timestamptz,
    position     timestamptz NOT NULL,
    position_id  text        NOT NULL DEFAULT '',
    rules        text[],
    events_read  bigint      NOT NULL DEFAULT 0,
    matches      bigint      NOT NULL DEFAULT 0,
    new_matches  bigint      NOT NULL DEFAULT 0,
    alerts       bigint      NOT NULL DEFAULT 0,
    failures     bigint      NOT NULL DEFAULT 0,
    failed_times tstzmultirange NOT NULL DEFAULT '{}',
    error        text,
    owner        uuid,
    lease_until  timestamptz
);
CREATE INDEX runs_open ON runs (number) WHERE status IN ('queued', 'running');
CREATE INDEX runs_by_rule ON runs (rule_id, number DESC);
CREATE INDEX matches_by_run ON matches (run_id) WHERE run_id IS NOT NULL;

-- `covered` are the closed stretches of event time that a rule was evaluated over; since `live_since` it is evaluated
-- over all that arrives. `holes` are the times of events that could not be evaluated while it was live.
CREATE TABLE coverage (
    rule_id        text           PRIMARY KEY,
    covered        tstzmultirange NOT NULL DEFAULT '{}',
    holes          tstzmultirange NOT NULL DEFAULT '{}',
    live_since     timestamptz,
    unserved_since timestamptz
);

-- A stretch that was missed and has ended. `rule_id` is null when an event could be evaluated by no rule. A row waits
-- for its alert until `alert_id` is set, and for a run until `closed_at` is.
CREATE TABLE coverage_gaps (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id   text,
    since     timestamptz NOT NULL,
    until     timestamptz NOT NULL,
    reason    text        NOT NULL,
    alert_id  text,
    closed_at timestamptz
);
CREATE INDEX coverage_gaps_open ON coverage_gaps (rule_id, since) WHERE closed_at IS NULL;

-- A trigger, because whether a rule is served changes in several places, and no change may go unseen between two looks.
-- Batches that wait will be evaluated without a rule that is no longer served: its stretch ends where they begin.
CREATE FUNCTION follow_rule() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was    boolean := false;
    served boolean := false;
    moment timestamptz := date_trunc('milliseconds', clock_timestamp());
    missed coverage%ROWTYPE;
BEGIN
    IF TG_OP <> 'INSERT' THEN was := OLD.enabled AND OLD.problem IS NULL; END IF;
    IF TG_OP <> 'DELETE' THEN served := NEW.enabled AND NEW.problem IS NULL; END IF;
    IF was = served THEN RETURN NULL; END IF;
    IF served THEN
        SELECT * INTO missed FROM coverage WHERE rule_id = NEW.id AND unserved_since < moment FOR UPDATE;
        IF FOUND AND NOT missed.covered @> tstzrange(missed.unserved_since, moment) THEN
            INSERT INTO coverage_gaps (rule_id, since, until, reason)
            VALUES (NEW.id, missed.unserved_since, moment, 'not served');
        END IF;
        INSERT INTO coverage (rule_id, live_since) VALUES (NEW.id, moment)
        ON CONFLICT (rule_id) DO UPDATE SET live_since = moment, unserved_since = NULL;
    ELSE
        moment := least(moment, (SELECT date_trunc('milliseconds', min(created_at)) FROM batches));
        UPDATE coverage SET
            covered = covered + tstzmultirange(tstzrange(live_since, greatest(live_since, moment))),
            live_since = NULL, unserved_since = greatest(live_since, moment)
        WHERE rule_id = OLD.id AND live_since IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER follow_rule AFTER INSERT OR UPDATE OR DELETE ON rules FOR EACH ROW EXECUTE FUNCTION follow_rule();

-- Rules from before: they were served since they were last written, as far as is known.
INSERT INTO coverage (rule_id, live_since)
SELECT id, date_trunc('milliseconds', updated_at) FROM rules WHERE enabled AND problem IS NULL;
