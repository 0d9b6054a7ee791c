-- A key that was given a new secret takes the one before as well, for the time that its owner asked for.
ALTER TABLE api_keys ADD COLUMN previous_hash bytea;
ALTER TABLE api_keys ADD COLUMN previous_until timestamptz;
ALTER TABLE api_keys ADD COLUMN rotated_at timestamptz;
