"""The detection loop: takes stored batches in turn, evaluates every rule over every event, raises the alerts.

Alerts, their events and the batch's completion commit together: a crash at any point repeats the batch or finds it
done, so each match is counted once. Rules that were acknowledged before a batch are evaluated over it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from prometheus_client import Counter, Histogram

from services.siem.batch import Batch, StoredEvent
from services.siem.detections import domain, store
from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import COMPILER_VERSION, CompiledRule, decode
from services.siem.detections.engine.engine import Engine
from services.siem.detections.store import Changed
from services.siem.draft import Draft
from shared import telemetry
from shared.contracts.alerts import Alert
from shared.contracts.detections import DETECTION_FAILED, DETECTION_MATCHED, DetectionFailed, DetectionMatched
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Connection, Database
from shared.telemetry import REGISTRY

EVENTS = Counter("aurora_detection_events_total", "Events evaluated", registry=REGISTRY)
MATCHES = Counter("aurora_detection_matches_total", "Rule matches", registry=REGISTRY)
FAILURES = Counter("aurora_detection_failures_total", "Events that could not be evaluated", registry=REGISTRY)
SECONDS = Histogram("aurora_detection_batch_duration_seconds", "Time to evaluate a batch", registry=REGISTRY)
# Longer, and requests to the same process would feel it.
_SLICE_SECONDS = 0.005
_RETRY_SECONDS = 0.5
_LOG_IDS = 20
_log = get_logger("detection")


class Batches(Protocol):
    """Where stored batches come from (the logs feature)."""

    async def next(self) -> Batch:
        """Waits for the oldest batch that nobody works on."""

    async def complete(self, connection: Connection, batch: Batch) -> None:
        """Marks it done in the caller's transaction."""

    async def release(self, batch: Batch) -> None:
        """Gives it back, to be handed out again."""


class Alerts(Protocol):
    """Where drafts go (the alerts feature)."""

    async def raise_all(self, connection: Connection, drafts: Iterable[Draft]) -> list[Alert]:
        """Raises or counts each draft in the caller's transaction; the alerts in the drafts' order."""


class Detection:
    """One evaluation loop with its own engine."""

    def __init__(self, database: Database, batches: Batches, alerts: Alerts, outbox: Outbox, *, index: bool) -> None:
        self._database = database
        self._batches = batches
        self._alerts = alerts
        self._outbox = outbox
        self._engine = Engine(index=index)
        self._rules: dict[str, CompiledRule] = {}
        self._revision = 0

    async def refresh(self) -> None:
        """Takes over every rule that changed since the last call."""
        for changed in await store.changed_since(self._database, self._revision):
            await self._take_over(changed)
            self._revision = changed.revision

    async def _take_over(self, changed: Changed) -> None:
        if self._rules.pop(changed.id, None) is not None:
            self._engine.remove(changed.id)
        rule = (
            decode(changed.compiled)
            if changed.compiler_version == COMPILER_VERSION
            else await asyncio.to_thread(compile_rule, changed.sigma)
        )
        if changed.enabled and rule.problem is None:
            self._rules[rule.id] = rule
            self._engine.add(rule)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            batch = await self._batches.next()
            try:
                await self.evaluate(batch)
            except AuroraError as error:
                # A store is away: nothing was committed, the batch waits for it.
                _log.warning("batch waits", batch=batch.seq, reason=error.code.code, detail=error.detail)
                await self._give_back(batch)
            except Exception as error:  # noqa: BLE001 - a batch that breaks must not stop the others; it stays on the list
                FAILURES.inc(len(batch.events))
                _log.error("batch broke", batch=batch.seq, attempts=batch.attempts, exc_info=error)
                await self._give_back(batch)

    async def _give_back(self, batch: Batch) -> None:
        """It comes again after the others, later each time."""
        await self._batches.release(batch)
        await asyncio.sleep(_RETRY_SECONDS)

    async def evaluate(self, batch: Batch) -> None:
        """Evaluates one batch and commits what follows from it."""
        await self.refresh()
        started = time.perf_counter()
        failed: list[DetectionFailed] = []
        matches = [match async for match in self._matches(batch, failed)]
        drafts = domain.drafts(matches)
        async with self._database.transaction() as connection:
            alerts = await self._alerts.raise_all(connection, (draft for _, draft in drafts))
            for (rule, draft), alert in zip(drafts, alerts, strict=True):
                with telemetry.continued("detect", draft.trace):
                    await self._outbox.add(connection, DETECTION_MATCHED, _matched(rule, draft, alert))
            for failure in failed:
                await self._outbox.add(connection, DETECTION_FAILED, failure)
            await self._batches.complete(connection, batch)
        self._outbox.wake()
        EVENTS.inc(len(batch.events))
        MATCHES.inc(len(matches))
        SECONDS.observe(time.perf_counter() - started)

    async def _matches(
        self, batch: Batch, failed: list[DetectionFailed]
    ) -> AsyncIterator[tuple[CompiledRule, StoredEvent]]:
        yielded = time.perf_counter()
        for stored in batch.events:
            for rule in self._evaluate(stored, failed):
                yield rule, stored
            if time.perf_counter() - yielded > _SLICE_SECONDS:
                await asyncio.sleep(0)
                yielded = time.perf_counter()

    def _evaluate(self, stored: StoredEvent, failed: list[DetectionFailed]) -> list[CompiledRule]:
        try:
            return [self._rules[identifier] for identifier in self._engine.evaluate(stored.event)]
        except Exception as error:  # noqa: BLE001 - one event that breaks the engine must not hold up all that follow
            FAILURES.inc()
            _log.error("event not evaluated", log_id=stored.log_id, exc_info=error)
            failed.append(DetectionFailed(stored.log_id, type(error).__name__))
            return []


def _matched(rule: CompiledRule, draft: Draft, alert: Alert) -> DetectionMatched:
    log_ids = [item.log_id for item in draft.evidence[:_LOG_IDS]]
    return DetectionMatched(rule.id, rule.title, rule.level, alert.id, draft.count, log_ids, draft.last_seen)
