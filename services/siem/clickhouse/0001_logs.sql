-- Every event that was accepted. Sorted for "newest first"; partitioned by arrival, because the time inside an event is
-- the sender's word and could make any number of partitions. An insert is acknowledged, so it is fsynced.
-- The hoisted columns (host_name ... process_command_line) repeat fields of `ecs` that searches and pivots use most;
-- a list is kept as its JSON text, as in `ecs`. Rows of one receipt and part were parsed together, in the order of `row`.
CREATE TABLE IF NOT EXISTS logs
(
    id                       String CODEC(ZSTD(1)),
    batch                    UInt64 CODEC(Delta, ZSTD(1)),
    receipt                  String CODEC(ZSTD(1)),
    part                     UInt32,
    row                      UInt32,
    timestamp                DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ingested_at              DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    source                   LowCardinality(String),
    format                   LowCardinality(String),
    dataset                  LowCardinality(String),
    host_name                LowCardinality(String),
    user_name                LowCardinality(String),
    source_ip                String,
    process_name             LowCardinality(String),
    process_pid              String,
    process_parent_pid       String,
    process_entity_id        String,
    process_parent_entity_id String,
    process_command_line     String CODEC(ZSTD(1)),
    message                  String CODEC(ZSTD(1)),
    ecs                      String CODEC(ZSTD(1)),
    raw                      String CODEC(ZSTD(1)),
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_receipt receipt TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_batch batch TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (timestamp, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
