"""`python -m services siem soar` runs these services in one process; `all` runs every one."""

from __future__ import annotations

import importlib
import sys

import uvloop

from shared import config, log, runtime

SERVICES = ("siem", "agents", "orchestrator", "gateway")


def main(names: list[str]) -> int:
    """The exit code: 2 for a name that isn't a service, 1 for a setting that is missing or malformed."""
    chosen = list(SERVICES) if names == ["all"] else names
    unknown = [name for name in chosen if name not in SERVICES]
    if not chosen or unknown:
        sys.stderr.write(f"usage: python -m services {{all | {' | '.join(SERVICES)}}}...\n")
        return 2
    log.configure("+".join(chosen), config.load(config.LogSettings).log_level)
    starts = [(name, importlib.import_module(f"services.{name}.app").start) for name in chosen]
    problems: list[str] = []
    try:
        uvloop.run(runtime.run(starts))
    except* config.ConfigError as group:
        problems = [str(error) for error in group.exceptions]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
