"""Network reasoning: stored events as compact rows, and pure statistics over them. No tool, no I/O, no weights."""
