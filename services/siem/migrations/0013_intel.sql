-- Imported intelligence. One value of one source is one row; `benign` rows are lists of values that prove nothing.
CREATE TABLE intel_sources (
    name         text        PRIMARY KEY,
    format       text        NOT NULL,
    entries      bigint      NOT NULL,
    imports      bigint      NOT NULL,
    first_import timestamptz NOT NULL,
    last_import  timestamptz NOT NULL,
    imported_by  text        NOT NULL,
    last_report  jsonb       NOT NULL
);

-- `network` is set for values that are networks, `host` for URLs: both are met by what lies inside.
CREATE TABLE intel_indicators (
    position    bigint      GENERATED ALWAYS AS IDENTITY,
    type        text        NOT NULL,
    value       text        NOT NULL,
    source      text        NOT NULL,
    benign      boolean     NOT NULL,
    network     inet,
    host        text,
    confidence  smallint,
    actionable  boolean     NOT NULL,
    revoked     boolean     NOT NULL,
    valid_from  timestamptz,
    valid_until timestamptz,
    detail      jsonb       NOT NULL,
    imported_at timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (type, value, source)
);
CREATE UNIQUE INDEX intel_indicators_by_position ON intel_indicators (position);
CREATE INDEX intel_indicators_by_source ON intel_indicators (source);
CREATE INDEX intel_indicators_by_network ON intel_indicators USING gist (network inet_ops) WHERE network IS NOT NULL;
CREATE INDEX intel_indicators_by_host ON intel_indicators (host) WHERE host IS NOT NULL;

CREATE TABLE intel_vulnerabilities (
    position    bigint      GENERATED ALWAYS AS IDENTITY,
    cve         text        NOT NULL,
    source      text        NOT NULL,
    vendor      text        NOT NULL,
    product     text        NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL,
    exploited   boolean     NOT NULL,
    ransomware  boolean     NOT NULL,
    added       date,
    due         date,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (cve, source)
);
CREATE UNIQUE INDEX intel_vulnerabilities_by_position ON intel_vulnerabilities (position);
CREATE INDEX intel_vulnerabilities_by_source ON intel_vulnerabilities (source);
