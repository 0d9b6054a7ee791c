"""Sigma correlations over matches as they come, whenever their events happened.

Each match of a rule that a correlation refers to is kept by group and event time, in the transaction of its commit. The
windows it falls into are looked at again, or wait until they are complete; one that fires is a match of the
correlation, by the event at its end, and so may feed the correlations that refer to it. Its events are cited once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol
from uuid import UUID

import msgspec
from prometheus_client import Gauge

from services.siem.correlations import domain, store
from services.siem.correlations.domain import Found
from services.siem.correlations.firing import Fed, Firing, asked, evidence_of, finished
from services.siem.correlations.measures import Entry
from services.siem.correlations.store import Due, Group, Stretch
from services.siem.detections.engine.compiled import CompiledRule, Correlation
from services.siem.detections.engine.correlation import MAX_WINDOW_EVENTS, TEMPORAL
from services.siem.detections.engine.ruleset import Ruleset, names_of
from services.siem.draft import MAX_EVIDENCE, MAX_OBSERVABLES, Draft
from services.siem.hit import Correlated
from services.siem.match import Match
from shared.clock import utc_now
from shared.contracts.alerts import AlertEvidence
from shared.postgres import Connection
from shared.telemetry import REGISTRY

WATERMARK = Gauge(
    "aurora_correlation_watermark_seconds",
    "Event time before which nothing is expected any more, as seconds since 1970",
    registry=REGISTRY,
)
#: How late an event may come, beyond the timespan, and still find the events it belongs with.
KEPT = timedelta(days=7)
_MAX_CHAIN = 8
_GROUPS_AT_ONCE = 50

DraftOf = Callable[[CompiledRule, Match, str], Draft]
"""The draft of a rule's alert that begins with a match, under an identity (the detections feature)."""


class Suppressor(Protocol):
    """What analysts asked not to be told again (the suppressions feature)."""

    async def hidden(self, connection: Connection, matches: list[Match]) -> Mapping[tuple[str, str], UUID]:
        """(rule id, log id) of each match that is to raise nothing, and the suppression that says so."""


@dataclass(slots=True)
class _Touched:
    """A group that matches belong to. `new` are those that aren't known to be counted, by reference and log id."""

    rule: CompiledRule
    correlation: Correlation
    values: tuple[str, ...]
    new: dict[tuple[str, str], tuple[Entry, Fed]] = field(default_factory=dict)

    @property
    def span(self) -> timedelta:
        return timedelta(seconds=self.correlation.seconds)

    @property
    def group(self) -> dict[str, str]:
        return domain.group_fields(self.correlation, self.values)

    @property
    def first(self) -> datetime:
        return min(entry.timestamp for entry, _ in self.new.values())

    @property
    def last(self) -> datetime:
        return max(entry.timestamp for entry, _ in self.new.values())

    @property
    def run_id(self) -> UUID | None:
        """Matches of one commit are all live, or all of one run."""
        return next(fed.run_id for _, fed in self.new.values())

    def matches(self) -> list[Match]:
        """Those of `new`, in the order of time."""
        return sorted((fed.match for _, fed in self.new.values()), key=lambda match: (match.timestamp, match.log_id))


class Correlations:
    """Counts matches for the correlations of a ruleset that somebody else keeps up to date.

    `lateness` is how many seconds late events may come for windows that are read once.
    """

    def __init__(self, ruleset: Ruleset, draft_of: DraftOf, suppressor: Suppressor, *, lateness: float) -> None:
        self._ruleset = ruleset
        self._draft_of = draft_of
        self._suppressor = suppressor
        self._lateness = lateness

    def silent(self) -> frozenset[str]:
        """The rules that feed correlations only, and raise no alert of their own."""
        return self._ruleset.silent()

    async def take(self, connection: Connection, matches: list[Match], run_id: UUID | None) -> list[Correlated]:
        """Counts matches, each once, in the caller's transaction; what fires for them.

        `run_id` names the run over the past that found them; it may find again what was counted.
        """
        return await self._follow(connection, [Fed(match, [evidence_of(match)], run_id) for match in matches])

    async def settle(self, connection: Connection) -> tuple[list[Correlated], bool]:
        """Reads stretches that are complete, in the caller's transaction; what fires, and whether more may wait."""
        await store.lock(connection)
        watermark = await store.watermark(connection, self._lateness)
        WATERMARK.set(watermark.timestamp())
        due = await store.due(connection, watermark, _GROUPS_AT_ONCE)
        correlated, fed = await self._complete(connection, due) if due else ([], [])
        await store.done(connection, due)
        return correlated + await self._follow(connection, fed), len(due) == _GROUPS_AT_ONCE

    async def _follow(self, connection: Connection, fed: Sequence[Fed]) -> list[Correlated]:
        """What fires for matches, and for what fires for them."""
        correlated: list[Correlated] = []
        for _length in range(_MAX_CHAIN):
            touched = self._touched(fed)
            if not touched:
                break
            await store.lock(connection)
            above: list[Fed] = []
            groups = list(touched)
            for start in range(0, len(groups), _GROUPS_AT_ONCE):
                piece = {group: touched[group] for group in groups[start : start + _GROUPS_AT_ONCE]}
                waiting = {group: item for group, item in piece.items() if domain.settles(item.correlation)}
                await self._wait(connection, waiting)
                firing, onward = await self._look(connection, {g: i for g, i in piece.items() if g not in waiting})
                correlated += firing
                above += onward
            fed = above
        return correlated

    def _touched(self, fed: Sequence[Fed]) -> dict[Group, _Touched]:
        touched: dict[Group, _Touched] = {}
        for item in fed:
            base = self._ruleset.get(item.match.rule_id)
            for rule, reference in self._ruleset.feeds(item.match.rule_id) if base else ():
                if base is None or rule.correlation is None or (item.again and rule.correlation.kind not in TEMPORAL):
                    continue
                names = (reference, *names_of(base))
                values = domain.group_of(rule.correlation, names, item.match)
                counted = domain.values_of(rule.correlation, names, item.match)
                if values is None or counted is None:
                    continue
                group = Group(rule.id, _definition(rule.correlation), domain.group_key(values))
                entry = Entry(reference, item.match.log_id, item.match.timestamp, counted)
                into = touched.setdefault(group, _Touched(rule, rule.correlation, values))
                into.new[reference, item.match.log_id] = (entry, item)
        return touched

    async def _look(
        self, connection: Connection, touched: Mapping[Group, _Touched]
    ) -> tuple[list[Correlated], list[Fed]]:
        """What the sliding windows of groups come to now, and hits for the correlations above. Keeps what is new."""
        looked = await self._slide(connection, touched)
        firings = await self._firings(connection, [(item.rule, item.group, found) for _, item, found in looked])
        now = utc_now()
        correlated: list[Correlated] = []
        fed: list[Fed] = []
        rows: list[tuple[Group, Entry, Sequence[AlertEvidence], datetime]] = []
        for (group, item, _), firing in zip(looked, firings, strict=True):
            changed = firing.changed()
            rows += [
                (group, changed.get(key, entry), one.evidence, max(now, item.last) + item.span + KEPT)
                for key, (entry, one) in item.new.items()
            ]
            if firing.found.windows:
                evidence = await self._evidence(connection, group, item, firing)
                matches = item.matches()
                known_at = max(match.ingested_at for match in matches)
                draft = self._draft(item, firing.shown(), matches, evidence)
                correlated.append(Correlated(item.rule.id, draft, firing.hits(known_at, item.run_id)))
                fed += firing.onward(matches, evidence, item.run_id)
                await store.mark(connection, [(group, entry) for key, entry in changed.items() if key not in item.new])
        await store.add(connection, rows)
        return correlated, fed

    async def _slide(
        self, connection: Connection, touched: Mapping[Group, _Touched]
    ) -> list[tuple[Group, _Touched, Found]]:
        """The windows of groups in which something is new."""
        ranges = [(group, item.first - item.span, item.last + item.span) for group, item in touched.items()]
        stored = await self._entries(connection, ranges)
        looked = []
        for group, item in touched.items():
            for known in stored[group]:
                item.new.pop((known.reference, known.log_id), None)
            if item.new:
                new = [entry for entry, _ in item.new.values()]
                looked.append((group, item, domain.windows(item.correlation, [*stored[group], *new], item.first)))
        return looked

    async def _wait(self, connection: Connection, touched: Mapping[Group, _Touched]) -> None:
        """Keeps events until their stretches are complete, and counts those that come too late."""
        now = utc_now()
        stretches: dict[tuple[Group, datetime], Stretch] = {}
        events: Counter[tuple[Group, datetime]] = Counter()
        rows: list[tuple[Group, Entry, Sequence[AlertEvidence], datetime]] = []
        for group, item in touched.items():
            above = [rule.correlation for rule, _ in self._ruleset.feeds(item.rule.id) if rule.correlation]
            for entry, fed in item.new.values():
                end = domain.stretch_end(item.correlation, entry.timestamp)
                expires_at = max(now, end) + 2 * item.span + KEPT
                events[group, end] += 1
                rows.append((group, entry, fed.evidence, expires_at))
                if (group, end) not in stretches:
                    draft = self._draft_of(item.rule, fed.match, domain.identity(item.rule, item.values))
                    seconds = item.correlation.seconds
                    fields = domain.fields_for(above, fed.match)
                    stretch = Stretch(group, end, seconds, item.group, draft, fields, fed.run_id, expires_at)
                    stretches[group, end] = stretch
        if stretches:
            late = Counter[str]()
            for group, end in await store.touch(connection, list(stretches.values()), now):
                late[group.correlation_id] += events[group, end]
            await store.lose(connection, late=late, capped={}, now=now)
            await store.add(connection, rows)

    async def _complete(self, connection: Connection, due: Sequence[Due]) -> tuple[list[Correlated], list[Fed]]:
        """What the windows of complete stretches come to. A correlation that was changed or is gone has none."""
        served = [(item, rule) for item in due if (rule := self._ruleset.get(item.group.correlation_id)) is not None]
        read = [
            (item, rule, rule.correlation)
            for item, rule in served
            if rule.correlation is not None and _definition(rule.correlation) == item.group.definition
        ]
        ranges = [(item.group, *domain.reach(correlation, item.ends_at)) for item, _, correlation in read]
        found: list[tuple[CompiledRule, dict[str, str], Found]] = []
        for (item, rule, correlation), wanted in zip(read, ranges, strict=True):
            # One at a time: several stretches of a group may be due at once.
            stored = await self._entries(connection, [wanted])
            found.append((rule, item.values, domain.complete(correlation, stored[item.group], item.ends_at)))
        correlated: list[Correlated] = []
        fed: list[Fed] = []
        for (item, rule, _), firing in zip(read, await self._firings(connection, found), strict=True):
            if not firing.found.windows:
                continue
            evidence = await store.evidence(connection, item.group, firing.marked(), MAX_EVIDENCE)
            await store.mark(connection, [(item.group, entry) for entry in firing.changed().values()])
            known_at = max(item.ends_at, item.touched_at)
            shown = firing.shown()
            draft = finished(item.draft, shown, evidence) if shown and rule.id not in self.silent() else None
            correlated.append(Correlated(rule.id, draft, firing.hits(known_at, item.run_id)))
            fed += firing.onward(
                asked(rule, {**item.fields, **item.values}, firing.found, known_at), evidence, item.run_id
            )
        return correlated, fed

    async def _entries(
        self, connection: Connection, ranges: Sequence[tuple[Group, datetime, datetime]]
    ) -> dict[Group, list[Entry]]:
        """The stored entries of groups; where there are more than are read at once, that is counted."""
        stored = await store.entries(connection, ranges, MAX_WINDOW_EVENTS)
        capped = Counter(group.correlation_id for group, found in stored.items() if len(found) >= MAX_WINDOW_EVENTS)
        await store.lose(connection, late={}, capped=capped, now=utc_now())
        return stored

    async def _firings(
        self, connection: Connection, found: Sequence[tuple[CompiledRule, dict[str, str], Found]]
    ) -> list[Firing]:
        now = utc_now()
        questions = [match for rule, group, part in found for match in asked(rule, group, part, now)]
        hidden = await self._suppressor.hidden(connection, questions) if questions else {}
        return [Firing(rule, group, part, hidden) for rule, group, part in found]

    async def _evidence(
        self, connection: Connection, group: Group, item: _Touched, firing: Firing
    ) -> list[AlertEvidence]:
        """What is known of the events that are in a window that fires for the first time, in the order of time."""
        marked = {(entry.reference, entry.log_id): entry for entry in firing.marked()}
        evidence = [part for key in marked if key in item.new for part in item.new[key][1].evidence]
        old = [entry for key, entry in marked.items() if key not in item.new]
        evidence += await store.evidence(connection, group, old, MAX_EVIDENCE)
        evidence.sort(key=lambda part: (part.timestamp, part.log_id))
        return evidence

    def _draft(
        self, item: _Touched, shown: Sequence[Entry], matches: Sequence[Match], evidence: Sequence[AlertEvidence]
    ) -> Draft | None:
        """The alert of what is shown of a group; None when nothing is, or its rule feeds other correlations only."""
        if not shown or item.rule.id in self.silent():
            return None
        identity = domain.identity(item.rule, item.values)
        draft = self._draft_of(item.rule, matches[0], identity)
        for match in matches[1:MAX_EVIDENCE]:
            more = self._draft_of(item.rule, match, identity)
            draft.observables += [seen for seen in more.observables if seen not in draft.observables]
        draft.observables = draft.observables[:MAX_OBSERVABLES]
        return finished(draft, shown, evidence)


def _definition(correlation: Correlation) -> str:
    return sha256(msgspec.msgpack.encode(correlation)).hexdigest()[:32]
