"""The use-case of promotion: a stored event becomes a draft rule, disabled, with its rate on what is stored."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

from services.siem.batch import StoredEvent
from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.promotion import domain
from shared.clock import new_id, utc_now
from shared.contracts.detections import DetectionRule
from shared.contracts.promotion import ExpectedRate, PromotedLog, PromoteLog
from shared.errors import NOT_FOUND, AuroraError, field_error


class Rate(Protocol):
    """`matches` among `examined` events of [since, until)."""

    @property
    def since(self) -> datetime: ...
    @property
    def until(self) -> datetime: ...
    @property
    def examined(self) -> int: ...
    @property
    def matches(self) -> int: ...
    @property
    def complete(self) -> bool: ...


class Past(Protocol):
    """Stored events, read again."""

    async def event(self, log_id: str) -> StoredEvent | None:
        """One event, parsed as at intake."""

    async def rate(self, rule: CompiledRule, since: datetime, until: datetime) -> Rate:
        """How often the rule matches what is stored."""


class Drafts(Protocol):
    """Where the draft goes (the detections feature)."""

    async def add(self, sigma: str, who: str, reason: str) -> DetectionRule:
        """Stores a rule, disabled."""


class Promotion:
    """Drafts rules from stored events."""

    def __init__(self, past: Past, drafts: Drafts) -> None:
        self._past = past
        self._drafts = drafts

    async def promote(self, log_id: str, wanted: PromoteLog, who: str) -> PromotedLog:
        """The stored draft. Raises AURORA-4040 for an unknown event, 4220 for fields that no view of it has."""
        stored = await self._past.event(log_id)
        if stored is None:
            raise AuroraError(NOT_FOUND, {"log_id": log_id})
        view = domain.view_of(stored.event, wanted.fields)
        fields = {} if view is None else domain.chosen(view, wanted.fields)
        if not stored.event.views:
            raise field_error("path.log_id", "no Sigma rule sees anything of this event")
        if view is None or (wanted.fields is not None and len(fields) < len({name.lower() for name in wanted.fields})):
            known = sorted({name for view in stored.event.views for name in view.fields})
            raise field_error("body.fields", f"no view of this event has them all; it has {', '.join(known)[:2000]}")
        sigma = domain.draft(
            view,
            fields,
            stored.event.message,
            rule_id=new_id(),
            title=wanted.title or f"Like an event of {stored.event.dataset}",
            level=wanted.level,
            day=utc_now().date(),
        )
        compiled = await asyncio.to_thread(compile_rule, sigma)
        until = utc_now()
        rate = await self._past.rate(compiled, until - timedelta(days=wanted.days), until)
        rule = await self._drafts.add(sigma, who, f"drafted from log {log_id}")
        return PromotedLog(rule=rule, fields=list(fields), expected=_expected(rate))


def _expected(rate: Rate) -> ExpectedRate:
    days = (rate.until - rate.since) / timedelta(days=1)
    return ExpectedRate(
        since=rate.since,
        until=rate.until,
        examined=rate.examined,
        matches=rate.matches,
        per_day=rate.matches / days,
        complete=rate.complete,
    )
