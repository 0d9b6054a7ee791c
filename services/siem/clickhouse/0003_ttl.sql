-- Rows go when the time of their source's policy is over, as parts are merged: within some hours.
ALTER TABLE logs MODIFY TTL keep_until
