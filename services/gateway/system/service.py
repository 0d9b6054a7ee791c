"""Health of the installation: the gateway's own parts, and what each service behind it says of itself.

Anyone may ask, so the services are asked at most once a second, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from services.gateway.system import domain
from shared.client import Client
from shared.clock import utc_now
from shared.contracts.system import GET_HEALTH, Health, HealthCheck
from shared.errors import AuroraError

_ASK_SECONDS = 3.0
_KEEP_SECONDS = 1.0


class Installation:
    """`own` asks the gateway's own parts; `peers` maps a service to its base URL."""

    def __init__(self, own: Callable[[], Awaitable[Health]], peers: Mapping[str, str]) -> None:
        self._own = own
        self._peers = {name: Client(url, timeout_seconds=_ASK_SECONDS) for name, url in peers.items()}
        self._lock = asyncio.Lock()
        self._known: tuple[float, Health] | None = None

    async def health(self) -> Health:
        """Everything, at most a second old."""
        async with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > _KEEP_SECONDS:
                health = await self._ask_all()
                self._known = time.monotonic(), health
            return self._known[1]

    async def ready(self) -> bool:
        """Whether the gateway itself can serve."""
        return (await self._own()).overall_status != "unhealthy"

    async def _ask_all(self) -> Health:
        started = time.perf_counter()
        own, answers = await asyncio.gather(self._own(), asyncio.gather(*map(self._ask, self._peers)))
        checks = {**own.checks, **dict(zip(self._peers, answers, strict=True))}
        milliseconds = round((time.perf_counter() - started) * 1000, 2)
        status = domain.overall(own.overall_status, checks)
        return Health(status, utc_now(), milliseconds, checks, domain.degraded(checks))

    async def _ask(self, name: str) -> HealthCheck:
        try:
            answer = await self._peers[name].call(GET_HEALTH)
        except AuroraError:
            return domain.check_of(name, None)
        return domain.check_of(name, answer)

    async def close(self) -> None:
        """Closes the connections."""
        for client in self._peers.values():
            await client.close()
