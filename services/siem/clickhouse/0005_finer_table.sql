-- Only in this process, where: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'logs' AND position(create_table_query, 'index_granularity = 1024') = 0
-- A hit reads a whole granule of each wide column. With 8,192 rows or 10 MB of them, a page of 100 scattered events read
-- a gigabyte; with 1,024 rows or 1 MB it reads a tenth, and inserts cost the same. A table keeps its granules for life,
-- so 0005 to 0009 make a new one around the same parts: nothing is copied, merges rewrite them by and by.
-- Only the engine in the process, which no other process writes to meanwhile. For a server see docs/operations.md.
CREATE TABLE IF NOT EXISTS logs_finer AS logs
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (timestamp, id)
TTL keep_until
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, index_granularity_bytes = 1048576
