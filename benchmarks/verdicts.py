"""How right the verdicts are: on recorded attacks and on recorded administration, by a whole stack.

Each labelled recording (benchmarks/labelled.py) is a world of its own, sent through the gateway; every rule there is is
loaded. A world is called an attack when one of its investigations ends as malicious or suspicious (`flagged`), or as
malicious (`malicious`). Its probability is the highest that any of its investigations gave. What a specialist added is
what is missing when the same answers are merged without its own. There is no floor: the labels are the measure.
Single events of SigmaHQ's regression sets stand apart, by the level of the rule that they are a test of: an event alone
has no process tree, no session and no past.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from benchmarks.corpus import sigma_rules
from benchmarks.labelled import World, single_events, worlds
from cli import session
from cli.investigate import ENDED
from cli.paging import every
from cli.session import Session
from services.orchestrator.handoffs import Stored
from services.orchestrator.investigations import merging
from shared.contracts.agents import AGENT_IDS
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.common import SEVERITIES
from shared.contracts.detections import IMPORT_RULES
from shared.contracts.investigations import (
    LIST_DISPATCHES,
    LIST_INVESTIGATIONS,
    DispatchQuery,
    Investigation,
    InvestigationQuery,
)
from shared.contracts.logs import INGEST_LOGS, IngestQuery
from tests.stack import data_folder, running_stack

#: Seconds after which an investigation goes on for an alert that was seen again: before it is thought to be over.
CONTINUE_SECONDS = "0.05"
_RULES_A_REQUEST = 500
_LOOK_SECONDS = 5.0
#: Nothing new for so long, and nothing under way: it is over.
_QUIET_SECONDS = 10.0
_LIMIT_SECONDS = 2400.0
#: The probability of an attack where no alert was raised at all, and where a verdict leaves it open.
_SILENT, _OPEN = 0.02, 0.45
#: What Sigma calls a level that has another name here.
_SIGMA_WORDS = {"info": "informational"}
_BUCKETS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0001)


@dataclass
class Judged:
    """One world and what came of it."""

    world: World
    alerts: int = 0
    investigations: list[Investigation] = field(default_factory=list)

    @property
    def probability(self) -> float:
        """How sure the product is that this is an attack, 0..1."""
        return max((malice(item.verdict, item.confidence) for item in self.investigations), default=_SILENT)

    def called(self, *verdicts: str) -> bool:
        """Whether an investigation ended with one of these verdicts."""
        return any(item.verdict in verdicts for item in self.investigations)


def malice(verdict: str | None, confidence: float | None) -> float:
    """The probability of an attack that a verdict and its confidence say."""
    if verdict in ("malicious", "suspicious"):
        return confidence or 0.0
    return 1.0 - (confidence or 0.0) if verdict == "benign" else _OPEN


async def run() -> dict[str, Any]:
    """Precision, recall, Brier score, calibration, and what each specialist added."""
    recordings = worlds()
    known = [*recordings, *single_events(len(recordings))]
    with data_folder() as folder, running_stack(folder, AURORA_CONTINUE_SECONDS=CONTINUE_SECONDS) as stack:
        async with AsyncExitStack() as opened:
            api = await opened.enter_async_context(session.opened(session.find(stack.data_dir, None)))
            started = time.monotonic()
            everything, dispatches = await _judge(api, known)
            seconds = time.monotonic() - started
    judged = [item for item in everything if item.world.level is None]
    return {
        "name": "verdicts on labelled recordings",
        "unit": "share of worlds",
        "worlds": len(judged),
        "attacks": sum(item.world.attack for item in judged),
        "seconds": round(seconds),
        **scores(judged),
        "calibration": calibration(judged),
        "added": _added(judged, dispatches),
        "missed": [item.world.name for item in judged if item.world.attack and not item.called("malicious")],
        "false": [
            item.world.name for item in judged if not item.world.attack and item.called("malicious", "suspicious")
        ],
        "single_events": by_level([item for item in everything if item.world.level is not None]),
    }


async def judged_worlds(api: Session, known: Sequence[World]) -> list[Judged]:
    """Sends every world and waits until all its alerts are investigated."""
    return (await _judge(api, known))[0]


async def load_rules(api: Session) -> None:
    """Every outside rule, where there are any."""
    rules = sigma_rules()
    for start in range(0, len(rules), _RULES_A_REQUEST):
        body = "\n---\n".join(rules[start : start + _RULES_A_REQUEST]).encode()
        await api.call(IMPORT_RULES, body=body, headers={"Content-Type": "application/yaml"})


async def _judge(api: Session, known: Sequence[World]) -> tuple[list[Judged], Mapping[str, list[Stored]]]:
    await load_rules(api)
    for number, world in enumerate(known, 1):
        for request in world.requests:
            query = IngestQuery(source=request.source) if request.source else IngestQuery()
            await api.call(INGEST_LOGS, query=query, body=request.body, headers={"Content-Type": request.media_type})
        print(f"sent {number} of {len(known)}: {world.name}", flush=True)
    alerts, investigations = await _at_rest(api)
    judged = [Judged(world) for world in known]
    by_day = {world.day: place for place, world in enumerate(known)}
    of_alert = {alert.id: place for alert in alerts if (place := _place(alert, by_day)) is not None}
    for place in of_alert.values():
        judged[place].alerts += 1
    for item in investigations:
        places = {of_alert[alert_id] for alert_id in item.alert_ids if alert_id in of_alert}
        for place in places:
            judged[place].investigations.append(item)
    return judged, await _dispatches(api)


def _place(alert: Alert, by_day: Mapping[date, int]) -> int | None:
    day = alert.first_seen.date()
    days = (day, day + timedelta(days=1), day - timedelta(days=1))
    return next((by_day[near] for near in days if near in by_day), None)


async def _at_rest(api: Session) -> tuple[list[Alert], list[Investigation]]:
    """Alerts and investigations once nothing new came for a while and none is under way."""
    seen: tuple[int, int, int] = (0, 0, 0)
    since = time.monotonic()
    async with asyncio.timeout(_LIMIT_SECONDS):
        while True:
            alerts = await every(api, LIST_ALERTS, AlertQuery(limit=200))
            investigations = await every(api, LIST_INVESTIGATIONS, InvestigationQuery(limit=50))
            ended = sum(item.status in ENDED for item in investigations)
            now = (sum(alert.count for alert in alerts), len(investigations), ended)
            if now != seen:
                seen, since = now, time.monotonic()
                print(f"{len(alerts)} alerts, {ended} of {len(investigations)} investigations ended", flush=True)
            elif ended == len(investigations) and time.monotonic() - since > _QUIET_SECONDS:
                return alerts, investigations
            await asyncio.sleep(_LOOK_SECONDS)


async def _dispatches(api: Session) -> dict[str, list[Stored]]:
    found: dict[str, list[Stored]] = {}
    for record in await every(api, LIST_DISPATCHES, DispatchQuery(limit=50)):
        if record.investigation_id is not None:
            found.setdefault(record.investigation_id, []).insert(0, Stored(record, None, []))
    return found


def scores(judged: Sequence[Judged]) -> dict[str, float]:
    """Precision and recall of both ways to call an attack, and the Brier score of the probabilities."""
    brier = sum((item.probability - item.world.attack) ** 2 for item in judged) / max(len(judged), 1)
    return {
        **_precision_recall("flagged", judged, "malicious", "suspicious"),
        **_precision_recall("malicious", judged, "malicious"),
        "brier": round(brier, 4),
    }


def _precision_recall(name: str, judged: Sequence[Judged], *verdicts: str) -> dict[str, float]:
    called = [item for item in judged if item.called(*verdicts)]
    right = sum(item.world.attack for item in called)
    attacks = sum(item.world.attack for item in judged)
    return {
        f"{name}_precision": round(right / max(len(called), 1), 4),
        f"{name}_recall": round(right / max(attacks, 1), 4),
    }


def calibration(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """For each range of probabilities: how many worlds, what was said on average, what was true."""
    rows = []
    for low, high in pairwise(_BUCKETS):
        inside = [item for item in judged if low <= item.probability < high]
        if inside:
            said = sum(item.probability for item in inside) / len(inside)
            true = sum(item.world.attack for item in inside) / len(inside)
            rows.append({"from": low, "worlds": len(inside), "said": round(said, 3), "attacks": round(true, 3)})
    return rows


def by_level(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """For each level of rule: how many single events, and how many of them are said to be what."""
    return {
        level: {
            "events": len(alike),
            "malicious": sum(item.called("malicious") for item in alike),
            "flagged": sum(item.called("malicious", "suspicious") for item in alike),
        }
        for level in SEVERITIES
        if (alike := [item for item in judged if item.world.level in (level, _SIGMA_WORDS.get(level))])
    }


def _added(judged: Sequence[Judged], dispatches: Mapping[str, list[Stored]]) -> dict[str, dict[str, Any]]:
    """For each specialist: how often it was asked, its own words, and the scores that are missing without it."""
    whole = scores(judged)
    added: dict[str, dict[str, Any]] = {}
    for agent in AGENT_IDS:
        asked = [step for steps in dispatches.values() for step in steps if step.record.agent == agent]
        without = [_without(item, agent, dispatches) for item in judged]
        rest = scores(without)
        added[agent] = {
            "asked": len(asked),
            **{name: round(whole[name] - rest[name], 4) for name in whole if whole[name] != rest[name]},
        }
    return added


def _without(item: Judged, agent: str, dispatches: Mapping[str, list[Stored]]) -> Judged:
    return Judged(item.world, item.alerts, [_merged(one, agent, dispatches) for one in item.investigations])


def _merged(one: Investigation, agent: str, dispatches: Mapping[str, list[Stored]]) -> Investigation:
    steps = [step for step in dispatches.get(one.id, []) if step.record.agent != agent]
    outcome = merging.outcome_of(steps)
    return replace(one, verdict=outcome.verdict, confidence=outcome.confidence)
