"""Which ATT&CK techniques are covered in truth: by a rule that is enabled, tested, and has something to look at.

A rule counts when it is served, its log source was seen in the last 7 days, the fields it looks at were populated
there (in a random sample of events, parsed again), and the tests inside it pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.siem.attack_coverage import domain, store
from services.siem.attack_coverage.domain import Source
from services.siem.attack_coverage.store import SeenSource, TaggedRule
from services.siem.batch import StoredEvent
from services.siem.detections.engine import CompiledRule
from services.siem.detections.engine.document import load_document
from services.siem.logs.store import StoredRow
from shared.clickhouse import ClickHouse, LimitExceededError, unavailable
from shared.clock import utc_now
from shared.contracts.coverage import AttackCoverage, Technique, TechniqueRule
from shared.errors import AuroraError
from shared.postgres import Database

_DAYS = 7
_MAX_SOURCES = 200
#: What was seen is looked up again after so long.
_KEPT_SECONDS = 30.0

Check = Callable[[CompiledRule, str], None]
Parse = Callable[[Sequence[StoredRow]], Iterable[StoredEvent]]


class Rules(Protocol):
    """The rules that live detection serves."""

    def get(self, rule_id: str) -> CompiledRule | None:
        """The rule as it is served."""


class Rows(Protocol):
    """Where stored events come from (the logs feature)."""

    async def rows(
        self,
        since: datetime,
        until: datetime,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        condition: str = "1",
        values: Mapping[str, Any] | None = None,
    ) -> list[StoredRow]:
        """Rows of a range."""


class AttackCoverageService:
    """`parse` gives the events of stored rows; `check` raises AuroraError when a test inside a rule fails."""

    def __init__(
        self, database: Database, clickhouse: ClickHouse, rows: Rows, rules: Rules, parse: Parse, check: Check
    ) -> None:
        self._database = database
        self._clickhouse = clickhouse
        self._rows = rows
        self._rules = rules
        self._parse = parse
        self._check = check
        self._looking = asyncio.Lock()
        self._seen: dict[Source, frozenset[str]] = {}
        self._since = utc_now()
        self._look_at = 0.0
        self._tested: dict[str, tuple[int, list[str]]] = {}

    async def report(self, technique: str | None) -> AttackCoverage:
        """All techniques that rules name, or one with those below it. Raises AURORA-5032."""
        async with self._looking:
            if time.monotonic() >= self._look_at:
                await self._look()
            rules = await store.tagged_rules(self._database, technique)
            missing = await asyncio.to_thread(self._missing, rules)
        return _report(self._since, rules, missing, technique)

    async def _look(self) -> None:
        since = utc_now() - timedelta(days=_DAYS)
        try:
            sources = await store.seen_sources(self._clickhouse, since, _MAX_SOURCES)
            samples = [row for source in sources for row in await self._sample(source)]
        except LimitExceededError as error:
            raise unavailable() from error
        found: dict[Source, set[str]] = {key: set() for seen in sources for key in domain.sources_of(seen.logsource)}
        for event in await asyncio.to_thread(lambda: list(self._parse(samples))):
            for view in event.event.views:
                found.setdefault(domain.source_of(view), set()).update(domain.populated(view))
        self._seen = {source: frozenset(fields) for source, fields in found.items()}
        self._since = since
        self._look_at = time.monotonic() + _KEPT_SECONDS

    async def _sample(self, source: SeenSource) -> list[StoredRow]:
        return await self._rows.rows(
            source.first,
            source.last + timedelta(milliseconds=1),
            None,
            len(source.ids),
            condition="id IN {wanted:Array(String)}",
            values={"wanted": source.ids},
        )

    def _missing(self, rules: Sequence[TaggedRule]) -> dict[str, list[str]]:
        return {rule.id: self._reasons(rule) for rule in rules}

    def _reasons(self, rule: TaggedRule) -> list[str]:
        if rule.problem is not None:
            return [f"can't be served: {rule.problem}"]
        if not rule.enabled:
            return ["not enabled"]
        served = self._rules.get(rule.id)
        if served is None:
            return ["not served yet"]
        return [*domain.missing(served, self._seen, self._seen), *self._test(rule, served)]

    def _test(self, rule: TaggedRule, served: CompiledRule) -> list[str]:
        if rule.sigma is None:
            return ["untested"]
        known = self._tested.get(rule.id)
        if known is None or known[0] != rule.revision:
            known = self._tested[rule.id] = rule.revision, self._run_tests(rule.sigma, served)
        return known[1]

    def _run_tests(self, sigma: str, served: CompiledRule) -> list[str]:
        try:
            tests = load_document(sigma).get("tests")
            if not isinstance(tests, dict) or not tests.get("match"):
                return ["untested"]
            self._check(served, sigma)
        except AuroraError:
            return ["test failed"]
        return []


def _report(
    since: datetime, rules: Sequence[TaggedRule], missing: Mapping[str, list[str]], technique: str | None
) -> AttackCoverage:
    grouped: dict[str, list[TechniqueRule]] = {}
    for rule in rules:
        for name in rule.mitre_techniques:
            if technique is None or name == technique or name.startswith(f"{technique}."):
                shown = TechniqueRule(rule.id, rule.title, rule.enabled, missing[rule.id])
                grouped.setdefault(name, []).append(shown)
    techniques = []
    for name, named in sorted(grouped.items()):
        counting = sum(not rule.missing for rule in named)
        enabled = sum(rule.enabled for rule in named)
        techniques.append(Technique(name, counting > 0, enabled, counting, named))
    return AttackCoverage(since, sum(item.counts for item in techniques), techniques)
