-- What detection over the past and pivots need. `logsource` lists the Sigma log sources of the event's views, each as
-- `|product|category|service|...|` and joined by a space. `derived` holds, case-folded, what views say that can't be
-- found in `raw` by its letters, so that a literal of a rule is in `raw`, `derived` or `message`, or nowhere.
ALTER TABLE logs
    ADD COLUMN IF NOT EXISTS logsource LowCardinality(String),
    ADD COLUMN IF NOT EXISTS derived String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS event_category LowCardinality(String),
    ADD COLUMN IF NOT EXISTS event_code LowCardinality(String),
    ADD COLUMN IF NOT EXISTS event_action LowCardinality(String),
    ADD COLUMN IF NOT EXISTS destination_ip String,
    ADD COLUMN IF NOT EXISTS auditd_session String,
    ADD COLUMN IF NOT EXISTS winlog_logon_id String,
    ADD COLUMN IF NOT EXISTS keep_until DateTime DEFAULT toDateTime(ingested_at) + toIntervalDay(365)
