-- The key that seals what is kept of writes with an Idempotency-Key. What it seals is in Redis, for a day: whoever reads
-- only one of the two reads nothing. A new table of one row, which the first gateway process writes; nothing waits.
CREATE TABLE idempotency_seal (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    name     text    NOT NULL,
    key      bytea   NOT NULL CHECK (length(key) = 32)
);
