-- What is known of each log source, items that intake refused, and how many it refused; new tables, blocks nobody.
-- `retention_days` null: the default of the log table. Dead letters are bounded by their number, size and age.
CREATE TABLE sources (
    name           text        PRIMARY KEY,
    first_seen     timestamptz,
    last_seen      timestamptz,
    retention_days int         CHECK (retention_days BETWEEN 1 AND 3650),
    changed_by     text,
    changed_at     timestamptz
);
CREATE INDEX sources_by_last_seen ON sources (last_seen);

CREATE TABLE rejections (
    source text   NOT NULL,
    day    date   NOT NULL,
    count  bigint NOT NULL,
    PRIMARY KEY (source, day)
);

CREATE TABLE dead_letters (
    id          text        PRIMARY KEY,
    position    bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    at          timestamptz NOT NULL,
    source      text        NOT NULL,
    format      text,
    receipt     text        NOT NULL,
    reason      text        NOT NULL,
    raw         bytea       NOT NULL,
    size        bigint      NOT NULL,
    is_document boolean     NOT NULL,
    is_whole    boolean     NOT NULL
);
CREATE INDEX dead_letters_by_time ON dead_letters (at);
