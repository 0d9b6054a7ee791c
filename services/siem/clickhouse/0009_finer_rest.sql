-- Only in this process, where: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'logs' AND position(create_table_query, 'index_granularity = 1024') > 0
-- The old table; its parts live on in the new one.
DROP TABLE IF EXISTS logs_finer SYNC
