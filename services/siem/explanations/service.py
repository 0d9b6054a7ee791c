"""The use-case of explanations: one stored rule held against one stored event, with nothing left out.

Both are read as they are now, so the answer is about the rule's present text and the filters that apply to it today.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from services.siem.batch import StoredEvent
from services.siem.compiling import Compile, without_lists
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.explain import explain
from services.siem.detections.engine.ruleset import Ruleset
from shared.contracts.detections import DetectionRule
from shared.contracts.explanations import Explanation
from shared.errors import NOT_FOUND, AuroraError


class Rules(Protocol):
    """Where rules are stored (the detections feature)."""

    async def get(self, identifier: str) -> DetectionRule:
        """One rule; raises AURORA-4040."""


class Events(Protocol):
    """Stored events, read again."""

    async def event(self, log_id: str) -> StoredEvent | None:
        """One event, parsed as at intake."""


class Explanations:
    """Explains rules by events."""

    def __init__(self, rules: Rules, events: Events, ruleset: Ruleset, compiled: Compile = without_lists) -> None:
        """`ruleset` knows the filters, `compiled` the lists of placeholders."""
        self._compile = compiled
        self._rules = rules
        self._events = events
        self._ruleset = ruleset

    async def explain(self, rule_id: str, log_id: str) -> Explanation:
        """Why the rule matches the event, or doesn't. Raises AURORA-4040 where either isn't there."""
        stored = await self._rules.get(rule_id)
        event = await self._events.event(log_id)
        if event is None:
            raise AuroraError(NOT_FOUND, {"log_id": log_id})
        rule = self._ruleset.filtered(await self._compile(stored.sigma))
        views = await asyncio.to_thread(explain, rule, event.event)
        return Explanation(
            rule_id=stored.id,
            log_id=log_id,
            enabled=stored.enabled,
            matched=any(view.matched for view in views),
            reason=_reason(rule, any(view.routed for view in views)),
            views=views,
        )


def _reason(rule: CompiledRule, routed: bool) -> str | None:
    if rule.correlation is not None:
        return "a correlation counts what other rules match; ask about " + ", ".join(rule.correlation.rules)
    if rule.filter is not None:
        return "a filter changes other rules and matches nothing itself; ask about a rule that it applies to"
    if rule.problem is None and not routed:
        return "no view of the event has the rule's log source"
    return rule.problem
