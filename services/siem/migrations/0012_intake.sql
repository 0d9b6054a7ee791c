-- Audit records of one serial that came in several requests, and Splunk's acks; blocks writers of batches for a moment.
-- A batch is `apart` when it has records that others complete. Once what follows from it is committed, its number waits
-- in apart_batches until those have had time to arrive.
ALTER TABLE batches ADD COLUMN apart boolean NOT NULL DEFAULT false;
CREATE TABLE apart_batches (
    seq  bigint      PRIMARY KEY,
    rows int         NOT NULL,
    due  timestamptz NOT NULL
);
CREATE INDEX apart_batches_by_due ON apart_batches (due);

-- How many acks were given out on a channel of Splunk's HTTP Event Collector: each id below that is durable.
CREATE TABLE hec_channels (
    principal text        NOT NULL,
    channel   text        NOT NULL,
    given     bigint      NOT NULL,
    used_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, channel)
);
CREATE INDEX hec_channels_by_use ON hec_channels (used_at);
