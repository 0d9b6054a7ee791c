"""Where the request being handled comes from: set at the door, read by whoever keeps a record of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_address: ContextVar[str | None] = ContextVar("aurora_client_address", default=None)


def address() -> str | None:
    """The client's address, seen through trusted proxies; None outside a request."""
    return _address.get()


@contextmanager
def coming_from(client: str) -> Iterator[None]:
    """Runs the block as a part of a request from this address."""
    token = _address.set(client)
    try:
        yield
    finally:
        _address.reset(token)
