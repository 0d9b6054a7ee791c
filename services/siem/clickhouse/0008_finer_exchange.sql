-- Only in this process, where: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'logs' AND position(create_table_query, 'index_granularity = 1024') = 0
-- In one step, so that a start that ends here finds either the old table or the new one.
EXCHANGE TABLES logs AND logs_finer
