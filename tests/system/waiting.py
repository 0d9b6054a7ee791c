"""Waits on what the API says, each with its bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cli.investigate import ENDED
from cli.paging import every
from cli.session import Session
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.investigations import LIST_INVESTIGATIONS, Investigation, InvestigationQuery
from shared.errors import AuroraError

T = TypeVar("T")


async def found(ask: Callable[[], Awaitable[T | None]], what: str, seconds: float = 30.0) -> T:
    """What `ask` answers once it isn't None; a stack that is busy or away is asked again.

    Raises TimeoutError, naming `what`, after `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    answer = await ask()
                except AuroraError as error:
                    if not error.code.retryable:
                        raise
                    answer = None
                if answer is not None:
                    return answer
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"{what} did not happen within {seconds:g} s") from None


async def alert_of(api: Session, rule_id: str, *, count: int = 1) -> Alert:
    """The alert of a rule, once it counts so many matches."""

    async def ask() -> Alert | None:
        alerts = await every(api, LIST_ALERTS, AlertQuery(rule_id=rule_id))
        return next((alert for alert in alerts if alert.count >= count), None)

    return await found(ask, f"an alert of {rule_id} with {count} matches")


async def verdict_on(api: Session, alert_id: str) -> Investigation:
    """The alert's investigation at its end."""

    async def ask() -> Investigation | None:
        page = await every(api, LIST_INVESTIGATIONS, InvestigationQuery(alert_id=alert_id))
        return next((item for item in page if item.status in ENDED), None)

    return await found(ask, f"the end of the investigation of {alert_id}", 60.0)
