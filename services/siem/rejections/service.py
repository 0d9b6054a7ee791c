"""The use-cases of dead letters: keep what intake refused, within bounds; list it; hand it to intake again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import orjson

from services.siem.rejections import store
from services.siem.rejections.store import Letter
from shared.clock import new_id, utc_now
from shared.contracts.common import Page
from shared.contracts.dead_letters import DeadLetter, DeadLetterQuery, Replayed
from shared.errors import CONFLICT, NOT_FOUND, AuroraError, field_error
from shared.log import get_logger
from shared.pages import decode_position, encode_position
from shared.postgres import Database

MAX_RAW = 64 * 1024
MAX_LETTERS = 10_000
MAX_BYTES = 64 * 1024 * 1024
MAX_DAYS = 30
#: Of one request; the rest is counted only.
_OF_A_REQUEST = 1_000
_REASON = 1_000
_PRUNE_SECONDS = 15.0
_log = get_logger("dead-letters")


class Stored(Protocol):
    """What intake says of one item."""

    @property
    def receipt(self) -> str:
        """Under which it is found."""

    @property
    def ids(self) -> list[str | None]:
        """The log id, or None when it was refused."""

    @property
    def problems(self) -> dict[int, str]:
        """Why it was refused."""


class Intake(Protocol):
    """Where a dead letter is sent again."""

    async def store_items(
        self,
        items: Sequence[bytes | str | dict[str, Any]],
        *,
        source: str,
        format: str | None = None,  # noqa: A002 - the name it has in the API's query
        keep_rejected: bool = True,
    ) -> Stored:
        """Raises AURORA-4290, 5030, 5032."""


class RejectionsService:
    """Refused items of the siem's schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        items: Sequence[tuple[object, str]],
        *,
        source: str,
        format: str | None,  # noqa: A002 - the name it has in the API's query
        receipt: str,
    ) -> None:
        """Keeps refused items, each with its reason. Never fails the request that brought them: its sender is told."""
        now = utc_now()
        letters = [_letter(item, reason, source, format, receipt) for item, reason in items[:_OF_A_REQUEST]]
        try:
            async with self._database.transaction() as connection:
                await store.count(connection, source, now.date(), len(items))
                await store.insert(connection, letters)
        except AuroraError as error:
            _log.warning("refused items not kept", count=len(items), reason=error.code.code)

    async def run(self) -> None:
        """Keeps the store within its bounds, until cancelled."""
        while True:
            try:
                await self.prune()
            except AuroraError as error:
                _log.warning("dead letters not pruned", reason=error.code.code)
            await asyncio.sleep(_PRUNE_SECONDS)

    async def prune(self) -> None:
        """Drops what is over the bounds."""
        gone = await store.prune(self._database, number=MAX_LETTERS, size=MAX_BYTES, days=MAX_DAYS)
        if gone:
            _log.warning("dead letters dropped", count=gone)

    async def list_letters(self, query: DeadLetterQuery) -> Page[DeadLetter]:
        """A page, newest first."""
        rows = await store.page(self._database, query.source, query.limit + 1, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([letter for _, letter in shown], encode_position(shown[-1][0]) if more else None)

    async def replay(self, identifier: str, intake: Intake) -> Replayed:
        """Hands an item to intake again; once it is stored its dead letter is gone.

        Raises AURORA-4040, 4090 when it isn't whole, 4220 when it is refused again, and what intake raises.
        """
        async with self._database.transaction() as connection:
            letter = await store.lock(connection, identifier)
            if letter is None:
                raise AuroraError(NOT_FOUND)
            if not letter.is_whole:
                raise AuroraError(CONFLICT, {"size": letter.size}, message="The item was not kept whole")
            item = orjson.loads(letter.raw) if letter.is_document else letter.raw
            stored = await intake.store_items([item], source=letter.source, format=letter.format, keep_rejected=False)
            log_id = stored.ids[0]
            if log_id is None:
                raise field_error("body", f"refused again: {stored.problems.get(0, 'not stored')}")
            await store.delete(connection, identifier)
        return Replayed(log_id, stored.receipt)

    async def waiting(self) -> int:
        """How many dead letters there are."""
        return await store.waiting(self._database)

    async def counts(self, days: int) -> Mapping[str, int]:
        """Refused items by source, of the last days."""
        return await store.counts(self._database, utc_now().date() - timedelta(days=days))


def _letter(item: object, reason: str, source: str, format: str | None, receipt: str) -> Letter:  # noqa: A002
    is_document = isinstance(item, dict)
    raw = _raw(item)
    return Letter(
        id=new_id(),
        at=utc_now(),
        source=source,
        format=format,
        receipt=receipt,
        reason=reason.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_REASON],
        raw=raw[:MAX_RAW],
        size=len(raw),
        is_document=is_document,
        is_whole=0 < len(raw) <= MAX_RAW,
    )


def _raw(item: object) -> bytes:
    match item:
        case bytes():
            return item
        case str():
            return item.encode("utf-8", "surrogatepass")
        case dict():
            try:
                return orjson.dumps(item)
            except TypeError:  # nested too deeply, or text that isn't Unicode: which may be why it was refused
                return b""
        case _:
            kept: object = getattr(item, "raw", b"")
            return kept if isinstance(kept, bytes) else b""
