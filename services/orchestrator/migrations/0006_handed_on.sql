-- By which handoff an agent asked another one (shared/contracts/fleet.py, HandedOn); NULL for every other call. Blocks no
-- one: a column without a default.
ALTER TABLE tool_calls ADD COLUMN handed_on jsonb;
