"""structlog as JSON lines on stderr, with request and trace ids bound to the running task.

A field whose name says secret, password, token, authorization or cookie is masked whatever it holds.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

#: Exceptions as data: what and where, without local variables, which hold passwords, tokens and other people's logs.
TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class Place(Protocol):
    """Where in a trace the running task is."""

    def logged(self) -> Mapping[str, str]:
        """What each of its lines says of that."""


#: Of the running task: what `shared/telemetry.py` knows it by.
PLACE: ContextVar[Place | None] = ContextVar("aurora_place", default=None)
_SENSITIVE = ("secret", "password", "token", "authorization", "cookie", "private_key")


class _Process:
    """Who logs, and from which level on now: that may change while the process runs, and loggers are made once."""

    service = ""
    number = logging.INFO


def set_level(level: str) -> None:
    """From now on this process logs from `level` on: debug, info, warning or error."""
    _Process.number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(_Process.number, logging.WARNING))


def _line(logger: Any, name: str, event: MutableMapping[str, Any]) -> bytes:
    """The event as its line, in one step: a request writes one, and eight steps cost twice as much."""
    if _LEVELS.get(name, logging.ERROR) < _Process.number:
        raise structlog.DropEvent
    event = TRACEBACKS(logger, name, event)
    for key in event:
        if _is_sensitive(key):
            event[key] = "***"
    place = PLACE.get()
    line = {
        "message": event.pop("event"),
        "service": _Process.service,
        **(place.logged() if place is not None else {}),
        **event,
        "level": "error" if name == "exception" else name,
        "timestamp": datetime.now(UTC),
    }
    return orjson.dumps(line, default=repr, option=orjson.OPT_UTC_Z)


@functools.lru_cache(maxsize=1024)
def _is_sensitive(key: str) -> bool:
    return any(word in key.lower() for word in _SENSITIVE)


class _BytesLogger:
    """Writes one JSON line a call, straight to stderr's buffer."""

    def msg(self, line: bytes) -> None:
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()

    debug = info = warning = error = critical = exception = fatal = log = msg


class _ToStructlog(logging.Handler):
    """What libraries log through the standard library comes out as the same JSON lines."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def configure(service: str, level: str = "info") -> None:
    """Call once, first thing in a process. `level` is debug, info, warning or error."""
    structlog.configure(
        processors=[_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: _BytesLogger(),
        cache_logger_on_first_use=True,
    )
    _Process.service = service
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    set_level(level)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that adds `component=name` to each line."""
    logger: FilteringBoundLogger = structlog.get_logger(component=name)
    return logger
