"""Sigma correlations over matches as they come, whenever their events happened.

Each match of a rule that a correlation refers to is kept by group and event time, in the transaction of its commit. The
windows it falls into are looked at again; what fires is cited once. A correlation that fires is itself a match for the
correlations that refer to it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from services.siem.correlations import domain, store
from services.siem.correlations.domain import Entry, Found
from services.siem.correlations.store import Group
from services.siem.detections.engine.compiled import CompiledRule, Correlation
from services.siem.detections.engine.correlation import MAX_WINDOW_EVENTS, TEMPORAL
from services.siem.detections.engine.ruleset import Ruleset, names_of
from services.siem.draft import MAX_EVIDENCE, MAX_OBSERVABLES, Draft
from services.siem.match import Match
from shared.clock import utc_now
from shared.contracts.alerts import AlertEvidence
from shared.errors import AuroraError
from shared.log import get_logger
from shared.postgres import Connection, Database

#: How late an event may come, beyond the timespan, and still find the events it belongs with.
LATENESS = timedelta(days=7)
_MAX_CHAIN = 8
_GROUPS_AT_ONCE = 50
_MESSAGE_LENGTH = 300
_PRUNE_SECONDS = 600.0
_log = get_logger("correlations")

DraftOf = Callable[[CompiledRule, Match, str], Draft]
"""The draft of a rule's alert that begins with a match, under an identity (the detections feature)."""


@dataclass(frozen=True, slots=True)
class _Fed:
    """A match on its way into correlations, with the evidence it stands for.

    `again` is a correlation that goes on firing: it is near in time, but no further occurrence.
    """

    match: Match
    evidence: Sequence[AlertEvidence]
    again: bool = False


@dataclass(slots=True)
class _Touched:
    """A group that new matches belong to."""

    rule: CompiledRule
    correlation: Correlation
    values: tuple[str, ...]
    new: dict[tuple[str, str], tuple[Entry, _Fed]] = field(default_factory=dict)

    @property
    def span(self) -> timedelta:
        return timedelta(seconds=self.correlation.seconds)

    @property
    def first(self) -> datetime:
        return min(entry.timestamp for entry, _ in self.new.values())

    @property
    def last(self) -> datetime:
        return max(entry.timestamp for entry, _ in self.new.values())


class Correlations:
    """Counts matches for the correlations of a ruleset that somebody else keeps up to date."""

    def __init__(self, ruleset: Ruleset, draft_of: DraftOf) -> None:
        self._ruleset = ruleset
        self._draft_of = draft_of

    def silent(self) -> frozenset[str]:
        """The rules that feed correlations only, and raise no alert of their own."""
        return self._ruleset.silent()

    async def take(self, connection: Connection, matches: list[Match]) -> list[tuple[CompiledRule, Draft]]:
        """Counts new matches, in the caller's transaction; the alerts to raise, or to count on, for them."""
        raised: list[tuple[CompiledRule, Draft]] = []
        fed = [_Fed(match, [_evidence(match)]) for match in matches]
        for _length in range(_MAX_CHAIN):
            touched = self._touched(fed)
            if not touched:
                break
            await store.lock(connection)
            fed = []
            groups = list(touched)
            for start in range(0, len(groups), _GROUPS_AT_ONCE):
                piece = {group: touched[group] for group in groups[start : start + _GROUPS_AT_ONCE]}
                for rule, draft, hits in await self._look(connection, piece):
                    raised.append((rule, draft))
                    fed += hits
        silent = self.silent()
        return [(rule, draft) for rule, draft in raised if rule.id not in silent]

    def _touched(self, fed: Sequence[_Fed]) -> dict[Group, _Touched]:
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
        self, connection: Connection, touched: dict[Group, _Touched]
    ) -> list[tuple[CompiledRule, Draft, list[_Fed]]]:
        """What the windows of groups come to now: alerts, and hits for the correlations above. Keeps what is new."""
        ranges = [(group, item.first - item.span, item.last + item.span) for group, item in touched.items()]
        stored = await store.entries(connection, ranges, MAX_WINDOW_EVENTS)
        now = utc_now()
        rows: list[tuple[Group, Entry, Sequence[AlertEvidence], datetime]] = []
        results = []
        for group, item in touched.items():
            for known in stored[group]:
                item.new.pop((known.reference, known.log_id), None)
            if not item.new:
                continue
            new = {key: entry for key, (entry, _) in item.new.items()}
            found = domain.windows(item.correlation, [*stored[group], *new.values()], item.first)
            cited = {(entry.reference, entry.log_id) for entry in found.entries}
            expires_at = max(now, item.last) + item.span + LATENESS
            rows += [
                (group, with_changes(entry, cited=key in cited), fed.evidence, expires_at)
                for key, (entry, fed) in item.new.items()
            ]
            if found.entries:
                results.append((item.rule, *await self._raise(connection, group, item, found, cited)))
        await store.add(connection, rows)
        return results

    async def _raise(
        self, connection: Connection, group: Group, item: _Touched, found: Found, cited: set[tuple[str, str]]
    ) -> tuple[Draft, list[_Fed]]:
        """The alert of what was found in a group, and the hits for the correlations above."""
        new = [fed for key, (_, fed) in item.new.items() if key in cited]
        old = [entry for entry in found.entries if (entry.reference, entry.log_id) not in item.new]
        evidence = [part for fed in new for part in fed.evidence]
        if old:
            evidence += await store.cite(connection, group, old, MAX_EVIDENCE)
        evidence.sort(key=lambda part: (part.timestamp, part.log_id))
        fresh = [fed.match for fed in new or [fed for _, fed in item.new.values()]]
        matches = sorted(fresh, key=lambda match: (match.timestamp, match.log_id))
        draft = self._draft(item, matches, found.entries, evidence)
        return draft, list(_hits(item.rule, matches, found, draft.evidence))

    def _draft(
        self, item: _Touched, matches: Sequence[Match], cited: Sequence[Entry], evidence: list[AlertEvidence]
    ) -> Draft:
        identity = domain.identity(item.rule, item.values)
        draft = self._draft_of(item.rule, matches[0], identity)
        for match in matches[1:MAX_EVIDENCE]:
            more = self._draft_of(item.rule, match, identity)
            draft.observables += [seen for seen in more.observables if seen not in draft.observables]
        draft.observables = draft.observables[:MAX_OBSERVABLES]
        draft.count = len({entry.log_id for entry in cited})
        draft.first_seen, draft.last_seen = cited[0].timestamp, cited[-1].timestamp
        draft.evidence = evidence[:MAX_EVIDENCE]
        return draft

    async def prune(self, database: Database) -> None:
        """Drops what has expired, again and again, until cancelled."""
        while True:
            try:
                await store.prune(database, utc_now())
            except AuroraError as error:
                _log.warning("expired events stay", reason=error.code.code)
            await asyncio.sleep(_PRUNE_SECONDS)


def _definition(correlation: Correlation) -> str:
    return sha256(msgspec.msgpack.encode(correlation)).hexdigest()[:32]


def _evidence(match: Match) -> AlertEvidence:
    message = domain.plain(match.message)[:_MESSAGE_LENGTH]
    return AlertEvidence(log_id=match.log_id, rule_id=match.rule_id, timestamp=match.timestamp, message=message)


def _hits(
    rule: CompiledRule, matches: Sequence[Match], found: Found, evidence: Sequence[AlertEvidence]
) -> Iterator[_Fed]:
    """A correlation that fired, as matches: each of the newest event up to the end of a window that fired."""
    for moment, begins in found.fired:
        place = bisect_right(matches, moment, key=lambda match: match.timestamp)
        newest = matches[max(0, place - 1)]
        hit = replace(newest, rule_id=rule.id, timestamp=moment)
        yield _Fed(hit, evidence if begins else [_evidence(newest)], again=not begins)
