"""Lists of the API as one list: follows the cursors up to a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from cli.session import Session
from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import Endpoint

Q = TypeVar("Q", bound=PageQuery)
T = TypeVar("T")
_PAGE = 200


async def every(
    session: Session,
    endpoint: Endpoint[Q, None, Page[T]],
    query: Q,
    *,
    limit: int | None = None,
    path: Mapping[str, str] | None = None,
) -> list[T]:
    """The items, in the API's order, at most `limit` of them (None: all)."""
    items: list[T] = []
    cursor: str | None = None
    while True:
        size = _PAGE if limit is None else min(_PAGE, limit - len(items))
        page = await session.call(endpoint, path=path, query=msgspec.structs.replace(query, limit=size, cursor=cursor))
        items += page.items
        cursor = page.next_cursor
        if cursor is None or (limit is not None and len(items) >= limit):
            return items
