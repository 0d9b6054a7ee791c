-- Only in this process, where: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'logs' AND position(create_table_query, 'index_granularity = 1024') = 0
-- What an interrupted start attached already isn't attached twice. Blocks nobody: siem doesn't serve yet.
TRUNCATE TABLE logs_finer
