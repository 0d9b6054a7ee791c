-- Only in this process, where: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'logs' AND position(create_table_query, 'index_granularity = 1024') = 0
-- The same parts, as links.
ALTER TABLE logs_finer ATTACH PARTITION ALL FROM logs
