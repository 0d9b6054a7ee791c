"""The use-cases of placeholders: lists that are put, listed and deleted, and rules compiled with them.

A change and the rules that are compiled again because of it commit together, so no process serves a rule with a list
that isn't in force. Knows no rules: they are asked through a port.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Protocol

from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.placeholders import NO_LISTS, Lists, may_have_placeholders
from services.siem.placeholders import store
from shared.clock import utc_now
from shared.contracts.common import Page, PageQuery
from shared.contracts.placeholders import (
    PLACEHOLDER_CHANGED,
    Placeholder,
    PlaceholderChange,
    PlaceholderChanged,
    PlaceholderUpdate,
)
from shared.errors import NOT_FOUND, AuroraError, field_error
from shared.outbox import Outbox
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database

#: What a rule may write between two percent signs, as far as a path can name it.
_NAME = re.compile(r"[A-Za-z0-9_.\- ]{1,64}")


class Rules(Protocol):
    """Where rules are stored (the detections feature)."""

    async def lock(self, connection: Connection) -> None:
        """Makes whoever stores a rule wait for the end of the caller's transaction."""

    async def compile_again(self, connection: Connection) -> list[str]:
        """Compiles what may have placeholders again; the ids of the rules that became others."""


class ConfiguredLists:
    """The lists that are in force, for whoever compiles rules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, connection: Connection | None = None) -> Lists:
        """All of them, in the caller's transaction if there is one."""
        return await store.lists(connection or self._database)

    async def compile(self, sigma: str) -> CompiledRule:
        """A rule with the lists of this moment. Raises AURORA-4222 as compile_rule."""
        lists = await self.read() if may_have_placeholders(sigma) else NO_LISTS
        return await asyncio.to_thread(compile_rule, sigma, lists)


class PlaceholdersService:
    """Placeholders of the siem's schema."""

    def __init__(self, database: Database, rules: Rules, outbox: Outbox) -> None:
        self._database = database
        self._rules = rules
        self._outbox = outbox

    async def list_of(self, query: PageQuery) -> Page[Placeholder]:
        """A page, by name."""
        offset = decode_position(query.cursor) or 0
        rows = await store.page(self._database, offset, query.limit + 1)
        more = len(rows) > query.limit
        return Page(rows[: query.limit], encode_position(offset + query.limit) if more else None)

    async def get(self, name: str) -> Placeholder:
        """One list. Raises AURORA-4040."""
        found = await store.versions(self._database, name, None, 1)
        if not found or found[0].deleted:
            raise AuroraError(NOT_FOUND, {"name": name})
        return found[0]

    async def versions(self, name: str, query: PageQuery) -> Page[Placeholder]:
        """The versions of a list, newest first, of a deleted one too. Raises AURORA-4040 for one that never was."""
        rows = await store.versions(self._database, name, decode_position(query.cursor), query.limit + 1)
        if not rows and query.cursor is None:
            raise AuroraError(NOT_FOUND, {"name": name})
        shown = rows[: query.limit]
        return Page(shown, encode_position(shown[-1].version) if len(rows) > query.limit else None)

    async def put(self, name: str, wanted: PlaceholderUpdate, who: str) -> PlaceholderChange:
        """Makes these the values of the list; rules that wait for it are served. Raises AURORA-4220."""
        if not _NAME.fullmatch(name):
            raise field_error("path.name", "has letters, digits, spaces and _ . - only, at most 64")
        if any("\x00" in text for text in (*wanted.values, wanted.description, wanted.reason)):
            raise field_error("body", "has a character U+0000")
        return await self._change(name, list(dict.fromkeys(wanted.values)), wanted.description, who, wanted.reason)

    async def delete(self, name: str, who: str) -> PlaceholderChange:
        """Rules that refer to it aren't served until there is one again. Raises AURORA-4040."""
        current = await self.get(name)
        return await self._change(name, [], current.description, who, "")

    async def _change(
        self, name: str, values: Sequence[str], description: str, who: str, reason: str
    ) -> PlaceholderChange:
        async with self._database.transaction() as connection:
            await self._rules.lock(connection)
            stored = await store.insert(connection, name, values, description, who, reason, utc_now())
            changed = await self._rules.compile_again(connection)
            told = PlaceholderChanged(
                name=name,
                version=stored.version,
                deleted=stored.deleted,
                values=len(stored.values),
                rules=changed,
                changed_by=who,
                reason=reason,
            )
            await self._outbox.add(connection, PLACEHOLDER_CHANGED, told)
            return PlaceholderChange(placeholder=stored, rules=changed)
