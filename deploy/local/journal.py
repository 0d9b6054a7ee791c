"""The supervisor's own log: JSON lines in logs/supervisor.log, whether or not a terminal is attached.

Its own logger rather than the process-wide one of shared/log.py: the terminal belongs to the operator's progress.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import structlog
from structlog.typing import FilteringBoundLogger

from deploy.local.errors import explain
from deploy.local.process import rotate
from shared.log import TRACEBACKS


@contextmanager
def journal(file: Path) -> Iterator[FilteringBoundLogger]:
    """A logger that appends to `file`. Raises StackError when it can't be opened."""
    try:
        rotate(file)
        stream = file.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise explain(error) from error
    with stream:
        yield cast(
            FilteringBoundLogger,
            structlog.wrap_logger(
                structlog.WriteLogger(stream),
                wrapper_class=structlog.make_filtering_bound_logger("info"),
                processors=[
                    structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
                    TRACEBACKS,
                    structlog.processors.EventRenamer("message"),
                    structlog.processors.JSONRenderer(),
                ],
            ),
        )
