-- Detection rules. `revision` grows with each change, in commit order (writers hold one advisory lock), so that every
-- process can ask for what changed since it last looked.
CREATE SEQUENCE rule_revisions;

CREATE TABLE rules (
    id               text        PRIMARY KEY,
    position         bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    revision         bigint      NOT NULL UNIQUE DEFAULT nextval('rule_revisions'),
    title            text        NOT NULL,
    description      text        NOT NULL,
    level            text        NOT NULL,
    status           text        NOT NULL,
    enabled          boolean     NOT NULL DEFAULT true,
    product          text,
    category         text,
    service          text,
    tags             jsonb       NOT NULL,
    mitre_techniques jsonb       NOT NULL,
    author           text        NOT NULL,
    origin           text        NOT NULL CHECK (origin IN ('builtin', 'api', 'import')),
    problem          text,
    sigma            text        NOT NULL,
    compiled         bytea       NOT NULL,
    compiler_version int         NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);
