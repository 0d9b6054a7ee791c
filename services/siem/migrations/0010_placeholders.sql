-- Named lists that rules refer to as %name%: every version there was, the newest is in force. A list that was deleted
-- ends with a version that says so.
CREATE TABLE placeholders (
    name        text        NOT NULL,
    version     int         NOT NULL CHECK (version > 0),
    description text        NOT NULL,
    "values"    jsonb       NOT NULL,
    deleted     boolean     NOT NULL,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    reason      text        NOT NULL,
    PRIMARY KEY (name, version)
);
