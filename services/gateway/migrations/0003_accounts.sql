-- Rewrites `users` once for the new column: it blocks sign-ins for as long as that takes, with 10,000 users some ms.
-- A deleted account stays as a row without its password, e-mail address and key: what it did still names it, and the
-- revocations of its sessions must stay known for as long as its access tokens live.
ALTER TABLE users ADD COLUMN deleted_at timestamptz;
-- The order of lists.
ALTER TABLE users ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY UNIQUE;

-- How a session began and from where, for its owner to recognise it.
ALTER TABLE sessions ADD COLUMN how text NOT NULL DEFAULT 'password';
ALTER TABLE sessions ADD COLUMN address text;
-- Of a browser's session only: the SHA-256 of its cookie.
ALTER TABLE sessions ADD COLUMN cookie_hash bytea UNIQUE;
