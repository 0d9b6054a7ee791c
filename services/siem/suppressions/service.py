"""The use-cases of suppressions: try, create, list, end, and decide on new matches.

Nothing that somebody called a true positive in the last 30 days can be hidden. A hidden match stays recorded: it is
counted, and listed under the suppression that hid it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec

from services.siem.compiling import Compile, without_lists
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.match import Match
from services.siem.suppressions import store
from services.siem.suppressions.domain import Filter, of_group
from services.siem.suppressions.store import Known
from shared.clock import new_id, utc_now
from shared.contracts.common import Page, PageQuery
from shared.contracts.suppressions import (
    SUPPRESSION_CHANGED,
    LabelledMatch,
    SuppressedMatch,
    Suppression,
    SuppressionChanged,
    SuppressionCreate,
    SuppressionPreview,
)
from shared.errors import CONFLICT, NOT_FOUND, AuroraError, field_error
from shared.outbox import Outbox
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database

PREVIEW_DAYS = 30
_EXAMINED = 10_000
_NAMED = 20


class Past(Protocol):
    """Stored events, read again."""

    async def matches(self, rule: CompiledRule, places: Sequence[tuple[datetime, str]]) -> list[Match]:
        """What the rule matches of the events at these places, (event time, log id)."""


class Suppressions:
    """Suppressions of the siem's schema; detection's port of the same purpose is `hidden`."""

    def __init__(self, database: Database, past: Past, outbox: Outbox, compiled: Compile = without_lists) -> None:
        """`compiled` knows the lists of placeholders."""
        self._database = database
        self._outbox = outbox
        self._compile = compiled
        self._past = past

    async def hidden(self, connection: Connection, matches: list[Match]) -> Mapping[tuple[str, str], UUID]:
        """(rule id, log id) of each match that is to raise nothing, and the oldest suppression that says so."""
        filters: dict[str, list[tuple[UUID, Filter]]] = {}
        for item in await store.in_force(connection, sorted({match.rule_id for match in matches}), utc_now()):
            filters.setdefault(item.rule_id, []).append((UUID(item.id), Filter.of(item)))
        found: dict[tuple[str, str], UUID] = {}
        for match in matches:
            for identifier, conditions in filters.get(match.rule_id, ()):
                if conditions.hides(match):
                    found[match.rule_id, match.log_id] = identifier
                    break
        return found

    async def preview(self, rule_id: str, wanted: SuppressionCreate) -> SuppressionPreview:
        """What it would have hidden in 30 days.

        Raises AURORA-4040 for an unknown rule, 4220 for one that matches nothing (a filter) and for fields that a
        correlation doesn't group by, 4090 naming the true positives among what it would hide.
        """
        wanted = _checked(wanted)
        rule = await self._rule(rule_id)
        _require_fields(rule, wanted)
        since = utc_now() - timedelta(days=PREVIEW_DAYS)
        total = await store.count_matches(self._database, rule_id, since)
        known = {item.log_id: item for item in await store.known_matches(self._database, rule_id, since, _EXAMINED)}
        examined = await self._examine(rule, list(known.values()))
        conditions = Filter(wanted.fields, wanted.active_from, wanted.active_to)
        hidden = [known[match.log_id] for match in examined if conditions.hides(match)]
        if labelled := [LabelledMatch(item.log_id, item.alert_id) for item in hidden if item.labelled]:
            detail = {"true_positives": msgspec.to_builtins(labelled[:_NAMED]), "count": len(labelled)}
            raise AuroraError(CONFLICT, detail, message="It would hide matches that were called true positives")
        return SuppressionPreview(
            since=since,
            matches=total,
            examined=len(examined),
            would_hide=len(hidden),
            complete=len(examined) == total,
            samples=[item.log_id for item in sorted(hidden, key=lambda item: item.timestamp, reverse=True)[:_NAMED]],
        )

    async def create(self, rule_id: str, wanted: SuppressionCreate, who: str) -> Suppression:
        """Puts it in force. Raises as `preview`, and 4220 when it could never hide anything."""
        wanted = _checked(wanted)
        if wanted.expires_at is not None and wanted.expires_at <= utc_now():
            raise field_error("body.expires_at", "is over")
        await self.preview(rule_id, wanted)
        async with self._database.transaction() as connection:
            created = await store.insert(connection, UUID(new_id()), rule_id, wanted, who, utc_now())
            await self._outbox.add(connection, SUPPRESSION_CHANGED, SuppressionChanged(created, who))
        return created

    async def list_of(self, rule_id: str, query: PageQuery) -> Page[Suppression]:
        """The suppressions of a rule, newest first. Raises AURORA-4040."""
        await self._text(rule_id)
        before = decode_position(query.cursor)
        rows = await store.page(self._database, rule_id, before, query.limit + 1, utc_now())
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([item for _, item in shown], encode_position(shown[-1][0]) if more else None)

    async def end(self, rule_id: str, identifier: str, who: str) -> Suppression:
        """Takes it out of force; what it hid stays listed. Raises AURORA-4040."""
        now = utc_now()
        async with self._database.transaction() as connection:
            if await store.end(connection, rule_id, _uuid(identifier), who, now):
                ended = await store.find(connection, rule_id, _uuid(identifier), now)
                if ended is not None:
                    await self._outbox.add(connection, SUPPRESSION_CHANGED, SuppressionChanged(ended, who))
        return await self._get(rule_id, identifier)

    async def hidden_by(self, rule_id: str, identifier: str, query: PageQuery) -> Page[SuppressedMatch]:
        """The matches it hid, newest event first. Raises AURORA-4040."""
        await self._get(rule_id, identifier)
        offset = decode_position(query.cursor) or 0
        found = await store.hidden(self._database, _uuid(identifier), offset, query.limit + 1)
        more = len(found) > query.limit
        return Page(found[: query.limit], encode_position(offset + query.limit) if more else None)

    async def _examine(self, rule: CompiledRule, known: Sequence[Known]) -> list[Match]:
        """Recorded matches with the fields that they are hidden by: those of their events, or of a group."""
        if rule.correlation is None:
            return await self._past.matches(rule, [(item.timestamp, item.log_id) for item in known])
        return [of_group(rule.id, item.log_id, item.timestamp, item.group_values or {}) for item in known]

    async def _get(self, rule_id: str, identifier: str) -> Suppression:
        found = await store.find(self._database, rule_id, _uuid(identifier), utc_now())
        if found is None:
            raise AuroraError(NOT_FOUND, {"rule_id": rule_id, "suppression_id": identifier})
        return found

    async def _text(self, rule_id: str) -> str:
        text = await store.rule_text(self._database, rule_id)
        if text is None:
            raise AuroraError(NOT_FOUND, {"rule_id": rule_id})
        return text

    async def _rule(self, rule_id: str) -> CompiledRule:
        return await self._compile(await self._text(rule_id))


def _require_fields(rule: CompiledRule, wanted: SuppressionCreate) -> None:
    if rule.filter is not None:
        raise field_error("path.rule_id", "this rule matches nothing itself, so there is nothing to hide")
    if rule.correlation is None:
        return
    grouped = {name.lower() for name in rule.correlation.group_by}
    for name in wanted.fields:
        if name.lower() not in grouped:
            known = ", ".join(rule.correlation.group_by) or "none"
            raise field_error(f"body.fields.{name}", f"a correlation is hidden by the fields it groups by: {known}")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise AuroraError(NOT_FOUND, {"suppression_id": text}) from None


def _checked(wanted: SuppressionCreate) -> SuppressionCreate:
    """With times in UTC; raises AURORA-4220 for a window that ends before it begins."""
    zoned = msgspec.structs.replace(
        wanted,
        active_from=_aware(wanted.active_from),
        active_to=_aware(wanted.active_to),
        expires_at=_aware(wanted.expires_at),
    )
    if zoned.active_from is not None and zoned.active_to is not None and zoned.active_to <= zoned.active_from:
        raise field_error("body.active_to", "must be later than active_from")
    return zoned


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
