"""Follows a replay live: alerts and receipts as the gateway streams them, and every so often as it lists them.

The streams are for watching and resume where they broke off; what counts in the end is what the lists say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import click
import msgspec

from cli.investigate import ENDED
from cli.paging import every
from cli.session import Session
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.constants import Endpoint
from shared.contracts.investigations import LIST_INVESTIGATIONS, Investigation, InvestigationQuery
from shared.contracts.system import WS_ALERTS, WS_RECEIPTS, StreamFrame, StreamQuery
from shared.errors import AuroraError

StreamEndpoint = Endpoint[StreamQuery, None, StreamFrame]
_RECONNECT_SECONDS = 0.5
_POLL_SECONDS = 1.0
#: Nothing new for so long after the last line, in seconds, and detection has caught up.
_QUIET_SECONDS = 3.0


@dataclass
class Found:
    """What is known of the alerts and, by the alert's id, of their investigations."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    investigations: dict[str, Investigation] = field(default_factory=dict)
    changes: int = 0

    @property
    def matches(self) -> int:
        """How many events rules have matched."""
        return sum(alert.count for alert in self.alerts.values())

    @property
    def ended(self) -> int:
        """How many alerts have their verdict."""
        return sum(investigation.status in ENDED for investigation in self.investigations.values())

    @property
    def open(self) -> list[str]:
        """The alerts without one."""
        return [
            identifier
            for identifier in self.alerts
            if identifier not in self.investigations or self.investigations[identifier].status not in ENDED
        ]

    def see_alert(self, alert: Alert) -> bool:
        """Takes it over unless a newer state is known; whether it is a new alert."""
        known = self.alerts.get(alert.id)
        if known is None or (known.count, known.updated_at) < (alert.count, alert.updated_at):
            self.alerts[alert.id] = alert
            self.changes += 1
        return known is None

    def see_investigation(self, investigation: Investigation) -> bool:
        """Takes it over unless a newer state is known; whether it ended with this."""
        ended = investigation.status in ENDED
        news = False
        for identifier in investigation.alert_ids:
            if _is_news(self.investigations.get(identifier), investigation):
                self.investigations[identifier] = investigation
                self.changes += 1
                news = ended
        return news


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told of each new alert, and of each investigation at its end."""

    alert: Callable[[Alert], None]
    verdict: Callable[[Investigation], None]


def _is_news(known: Investigation | None, told: Investigation) -> bool:
    """Whether this is a newer state. One that has ended goes on when alerts join it, in a new round."""
    if known is None:
        return True
    if known.status not in ENDED:
        return (known.status, known.round) != (told.status, told.round)
    if told.status in ENDED:
        return told.round >= known.round and told.completed_at != known.completed_at
    return told.round > known.round or len(told.alert_ids) > len(known.alert_ids)


class Following:
    """Use `followed`. `found` is up to date while it runs."""

    def __init__(self, session: Session, audience: Audience) -> None:
        self.found = Found()
        self._session = session
        self._audience = audience

    def _see_alerts(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            if self.found.see_alert(alert):
                self._audience.alert(alert)

    def _see_investigations(self, investigations: Iterable[Investigation]) -> None:
        for investigation in investigations:
            if self.found.see_investigation(investigation):
                self._audience.verdict(investigation)

    async def watch_alerts(self) -> None:
        """Runs until cancelled."""
        await self._watch(WS_ALERTS, lambda data: self._see_alerts([msgspec.convert(data, Alert)]))

    async def watch_receipts(self) -> None:
        """Runs until cancelled."""
        await self._watch(WS_RECEIPTS, lambda data: self._see_investigations([msgspec.convert(data, Investigation)]))

    async def _watch(self, endpoint: StreamEndpoint, see: Callable[[Any], None]) -> None:
        since: int | None = None
        while True:
            try:
                async with aclosing(self._session.stream(endpoint, StreamQuery(since=since))) as frames:
                    async for frame in frames:
                        since = frame.sequence
                        if frame.type.startswith("aurora.stream."):
                            continue  # a gap: the lists fill it
                        see(frame.data)
            except AuroraError as error:
                if not error.code.retryable:
                    raise
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def look(self) -> None:
        """Asks the lists."""
        self._see_alerts(await every(self._session, LIST_ALERTS, AlertQuery()))
        self._see_investigations(await every(self._session, LIST_INVESTIGATIONS, InvestigationQuery()))

    async def settled(self) -> None:
        """Returns when every alert has its verdict and nothing new has come for a while. Set a time limit around it."""
        quiet_since, changes = asyncio.get_running_loop().time(), -1
        while True:
            await self.look()
            now = asyncio.get_running_loop().time()
            if self.found.changes != changes or self.found.open:
                quiet_since, changes = now, self.found.changes
            elif now - quiet_since >= _QUIET_SECONDS:
                return
            await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def followed(session: Session, audience: Audience) -> AsyncIterator[Following]:
    """Follows until the block ends. Raises the AuroraError with which a stream is refused."""
    following = Following(session, audience)
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(following.watch_alerts(), name="watch alerts"),
                group.create_task(following.watch_receipts(), name="watch receipts"),
            ]
            try:
                yield following
            finally:
                for task in tasks:
                    task.cancel()
    except* (AuroraError, click.ClickException) as group_error:
        failure = group_error.exceptions[0]
    if failure is not None:
        raise failure
