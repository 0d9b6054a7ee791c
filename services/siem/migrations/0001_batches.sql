-- The work list of detection: a row for each batch of events that is being stored, or is stored and not yet evaluated.
-- A batch belongs to a writer (one start of one process). When the writer stops telling that it is alive, whoever
-- notices takes the batch over.
CREATE TABLE writers (
    id           uuid        PRIMARY KEY,
    alive_until  timestamptz NOT NULL
);

CREATE TABLE batches (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner       uuid        NOT NULL,
    rows        integer     NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
