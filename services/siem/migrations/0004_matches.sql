-- Every match once, however it was found: live, late, read again after a crash, or by a run over the past. A match that
-- is here already is no news. `alert_id` is the alert that counts it; null when nothing was raised for it (its rule only
-- feeds a correlation, or `suppression_id` says which suppression hid it). `run_id` names the run that found it.
CREATE TABLE matches (
    rule_id        text        NOT NULL,
    log_id         text        NOT NULL,
    timestamp      timestamptz NOT NULL,
    found_at       timestamptz NOT NULL,
    latency_ms     bigint      NOT NULL,
    alert_id       text,
    suppression_id uuid,
    run_id         uuid,
    PRIMARY KEY (rule_id, log_id)
);
CREATE INDEX matches_by_time ON matches (rule_id, timestamp DESC);
CREATE INDEX matches_by_alert ON matches (alert_id) WHERE alert_id IS NOT NULL;
CREATE INDEX matches_by_suppression ON matches (suppression_id, timestamp DESC) WHERE suppression_id IS NOT NULL;
CREATE INDEX matches_by_found ON matches (found_at);
