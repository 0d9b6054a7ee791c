-- Stored files: described here, their bytes in the object store under the same SHA-256. Doesn't block.
CREATE TABLE samples (
    sha256 text PRIMARY KEY,
    md5 text NOT NULL,
    sha1 text NOT NULL,
    size bigint NOT NULL,
    stored_at timestamptz NOT NULL,
    stored_by text NOT NULL,
    -- what the malware analyst said last; NULL until it did
    analysis jsonb,
    analysed_at timestamptz,
    analysis_error text,
    attempts integer NOT NULL DEFAULT 0,
    -- when it may be asked (again); NULL when it is done with, one way or the other
    due_at timestamptz
);
CREATE INDEX samples_due ON samples (due_at) WHERE due_at IS NOT NULL;
