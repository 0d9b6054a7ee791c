"""Static triage of stored bytes: pure facts, the two parsers of hostile files, and the process that they run in."""
