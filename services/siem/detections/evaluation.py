"""The detection loop: takes stored batches in turn, and raises the alerts for what their events match.

`Detection.commit` is the one way from matches to alerts, for the loop and for runs over the past alike. A match is
recorded by rule and event, and one that is recorded already is no news; alerts, their events and the batch's completion
commit with it. So a crash repeats a batch or finds it done, and live, late and backfilled evaluation count a match
once. Rules that were acknowledged before a batch are evaluated over it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from prometheus_client import Counter, Histogram

from services.siem.batch import Batch
from services.siem.detections import domain, store
from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import COMPILER_VERSION, CompiledRule, decode
from services.siem.detections.engine.ruleset import Ruleset
from services.siem.detections.store import Changed
from services.siem.draft import Draft
from services.siem.hit import Correlated
from services.siem.match import Failure, Found, Match
from shared import telemetry
from shared.clock import utc_now
from shared.contracts.alerts import Alert
from shared.contracts.detections import DETECTION_FAILED, DETECTION_MATCHED, DetectionFailed, DetectionMatched
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Connection, Database
from shared.telemetry import REGISTRY

EVENTS = Counter("aurora_detection_events_total", "Events evaluated", registry=REGISTRY)
FAILURES = Counter("aurora_detection_failures_total", "Events that could not be evaluated", registry=REGISTRY)
MATCHES = Counter("aurora_detection_matches_total", "Rule matches", registry=REGISTRY)
SECONDS = Histogram("aurora_detection_batch_duration_seconds", "From a batch's turn to its commit", registry=REGISTRY)
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

    async def again(self, batch: Batch) -> None:
        """Has its events read and evaluated again, with the rules of now."""


class Evaluator(Protocol):
    """Holds events against a changing set of rules. `version` is of the set as it is now (see Found)."""

    @property
    def version(self) -> int: ...

    def add(self, rule: CompiledRule) -> None:
        """Serve a rule for what comes from now on, in place of one with the same id."""

    def remove(self, rule_id: str) -> None:
        """Stop serving a rule; an unknown id is no error."""


class Alerts(Protocol):
    """Where drafts go (the alerts feature)."""

    async def raise_all(self, connection: Connection, drafts: Iterable[Draft]) -> list[Alert]:
        """Raises or counts each draft in the caller's transaction; the alerts in the drafts' order."""


class Correlator(Protocol):
    """Rules over several events (the correlations feature)."""

    def silent(self) -> Collection[str]:
        """The rules that only feed a correlation and raise no alert of their own."""

    async def take(self, connection: Connection, matches: list[Match], run_id: UUID | None) -> list[Correlated]:
        """Counts matches, each once, in the caller's transaction; what fires for them."""


class Suppressor(Protocol):
    """What analysts asked not to be told again (the suppressions feature)."""

    async def hidden(self, connection: Connection, matches: list[Match]) -> Mapping[tuple[str, str], UUID]:
        """(rule id, log id) of each match that is to raise nothing, and the suppression that says so."""


class Ledger(Protocol):
    """What each rule was evaluated over (the coverage feature)."""

    async def failed(self, connection: Connection, failures: Sequence[Failure]) -> None:
        """Events that no rule could be evaluated over as they came, in the caller's transaction."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of matches: how many are new, and the alerts that were raised or counted on."""

    new_matches: int
    alert_ids: list[str]


class Detection:
    """One evaluation loop. The loop keeps the evaluator's rules up to date."""

    def __init__(
        self,
        database: Database,
        batches: Batches,
        alerts: Alerts,
        outbox: Outbox,
        correlator: Correlator | None = None,
        suppressor: Suppressor | None = None,
        *,
        evaluator: Evaluator,
        ruleset: Ruleset | None = None,
        ledger: Ledger | None = None,
        compile: Callable[[str], Awaitable[CompiledRule]] | None = None,  # noqa: A002 - what it does
    ) -> None:
        """`ruleset` is what this loop keeps up to date, for others to read; one of its own where there is none.

        `compile` is for rules that another version of the compiler stored; without it placeholders stand for nothing.
        """
        self._database = database
        self._batches = batches
        self._alerts = alerts
        self._outbox = outbox
        self._correlator = correlator
        self._suppressor = suppressor
        self._ledger = ledger
        self._compile = compile or _compiled
        self._evaluator = evaluator
        self._rules = Ruleset() if ruleset is None else ruleset
        self._revision = 0
        self._refreshing = asyncio.Lock()

    async def refresh(self) -> None:
        """Takes over every rule that changed since the last call."""
        # Runs refresh too: one that was overtaken would put an older text in place of a newer.
        async with self._refreshing:
            for changed in await store.changed_since(self._database, self._revision):
                await self._take_over(changed)
                self._revision = changed.revision

    async def _take_over(self, changed: Changed) -> None:
        rule = (
            decode(changed.compiled)
            if changed.compiler_version == COMPILER_VERSION
            else await self._compile(changed.sigma)
        )
        for rule_id in self._rules.put(rule) if changed.enabled else self._rules.drop(changed.id):
            served = self._rules.get(rule_id)
            if served is None:
                self._evaluator.remove(rule_id)
            else:
                self._evaluator.add(served)

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
                FAILURES.inc(batch.size)
                _log.error("batch broke", batch=batch.seq, attempts=batch.attempts, exc_info=error)
                await self._give_back(batch)

    async def _give_back(self, batch: Batch) -> None:
        """It comes again after the others, later each time."""
        await self._batches.release(batch)
        await asyncio.sleep(_RETRY_SECONDS)

    async def evaluate(self, batch: Batch) -> None:
        """Waits until one batch is evaluated, and commits what follows from it."""
        await self.refresh()
        started = time.perf_counter()
        matches, failures = await self._found(batch)
        FAILURES.inc(len(failures))
        async with self._database.transaction() as connection:
            await self.commit(connection, matches, failures)
            await self._batches.complete(connection, batch)
        self._outbox.wake()
        EVENTS.inc(batch.size)
        SECONDS.observe(time.perf_counter() - started)

    async def _found(self, batch: Batch) -> tuple[list[Match], list[Failure]]:
        """What a batch matches. Rules that were acknowledged before its events came were there when they were tried:
        where one wasn't known yet, or nobody knows any more, the events are tried again."""
        needed = self._evaluator.version
        while True:
            found = await asyncio.gather(*batch.evaluations)
            if all(part is not None and part.version >= needed for part in found):
                return _joined(part for part in found if part is not None)
            await self._batches.again(batch)

    async def commit(
        self, connection: Connection, matches: list[Match], failures: Sequence[Failure], run_id: UUID | None = None
    ) -> Outcome:
        """What follows from matches, in the caller's transaction; the caller wakes the outbox after the commit."""
        for failure in failures:
            await self._outbox.add(connection, DETECTION_FAILED, DetectionFailed(failure.log_id, failure.reason))
        if failures and run_id is None and self._ledger is not None:
            await self._ledger.failed(connection, failures)
        if not matches:
            return Outcome(0, [])
        new = await store.record_matches(connection, matches, utc_now(), run_id)
        MATCHES.inc(len(new))
        # A run may find again what was matched before a correlation was there; the correlator knows what it counted.
        counting = new if run_id is None else matches
        correlated = [] if self._correlator is None else await self._correlator.take(connection, counting, run_id)
        visible = await self._visible(connection, new)
        drafts = domain.drafts((rule, match) for match in visible if (rule := self._rules.get(match.rule_id)))
        raised = await self._raise(connection, drafts)
        by_identity = {alert.source_ref: alert.id for (_, draft), alert in raised if draft.rule_id is not None}
        counted = {(match.rule_id, match.log_id): by_identity.get(domain.identity_of(match)) for match in visible}
        await store.assign_alerts(connection, counted)
        told = await self.tell(connection, correlated)
        return Outcome(len(new), [alert.id for _, alert in raised] + [alert.id for alert in told])

    async def tell(self, connection: Connection, correlated: Sequence[Correlated]) -> list[Alert]:
        """Records windows of correlations that fired, and raises their alerts, in the caller's transaction."""
        hits = [hit for item in correlated for hit in item.hits]
        new = await store.record_hits(connection, hits, utc_now()) if hits else set()
        MATCHES.inc(len(new))
        telling = [
            (item, rule, item.draft)
            for item in correlated
            if item.draft is not None and _is_news(item, new) and (rule := self._rules.get(item.rule_id)) is not None
        ]
        raised = await self._raise(connection, [(rule, draft) for _, rule, draft in telling])
        alerts = {
            (hit.rule_id, hit.log_id): alert.id
            for (item, _, _), (_, alert) in zip(telling, raised, strict=True)
            for hit in item.hits
            if hit.suppression_id is None and (hit.rule_id, hit.log_id) in new
        }
        await store.assign_alerts(connection, alerts)
        return [alert for _, alert in raised]

    async def _visible(self, connection: Connection, matches: list[Match]) -> list[Match]:
        """Those that raise an alert; the suppressed ones are noted as such."""
        silent = frozenset[str]() if self._correlator is None else self._correlator.silent()
        speaking = [match for match in matches if match.rule_id not in silent]
        if self._suppressor is None or not speaking:
            return speaking
        hidden = await self._suppressor.hidden(connection, speaking)
        await store.assign_suppressions(connection, hidden)
        return [match for match in speaking if (match.rule_id, match.log_id) not in hidden]

    async def _raise(
        self, connection: Connection, drafts: list[tuple[CompiledRule, Draft]]
    ) -> list[tuple[tuple[CompiledRule, Draft], Alert]]:
        alerts = await self._alerts.raise_all(connection, (draft for _, draft in drafts))
        raised = list(zip(drafts, alerts, strict=True))
        for (rule, draft), alert in raised:
            with telemetry.continued("detect", draft.trace):
                await self._outbox.add(connection, DETECTION_MATCHED, _matched(rule, draft, alert))
        return raised


async def _compiled(sigma: str) -> CompiledRule:
    return await asyncio.to_thread(compile_rule, sigma)


def _joined(parts: Iterable[Found]) -> tuple[list[Match], list[Failure]]:
    matches, failures = list[Match](), list[Failure]()
    for part in parts:
        matches += part.matches
        failures += part.failures
    return matches, failures


def _is_news(item: Correlated, new: Collection[tuple[str, str]]) -> bool:
    """A run over what was forgotten since may fire again for windows that are recorded: that is told already."""
    of_run = any(hit.run_id is not None for hit in item.hits)
    return not of_run or any((hit.rule_id, hit.log_id) in new for hit in item.hits)


def _matched(rule: CompiledRule, draft: Draft, alert: Alert) -> DetectionMatched:
    log_ids = [item.log_id for item in draft.evidence[:_LOG_IDS]]
    return DetectionMatched(rule.id, rule.title, rule.level, alert.id, draft.count, log_ids, draft.last_seen)
