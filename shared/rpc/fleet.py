"""Agents wherever they run: finds the instances of one, spreads calls over them, and follows them when they move.

A handoff stays with the instance that has it, since only that one knows whether it ran: a lost connection is made
again. Only when the instance is gone, another does the work. Knows no registry: it is told where agents are, and has
fixed addresses for when nobody says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

from shared.contracts.agents import Handoff
from shared.contracts.constants import Method
from shared.errors import UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.rpc.limits import PeerLimits
from shared.rpc.peer import Peer

P = TypeVar("P")
R = TypeVar("R")

#: An agent whose last instance left is looked for at its fixed address so long: it may only be starting again.
_RETURN_SECONDS = 30.0
#: Pings that tell an instance that hangs from one that thinks.
_LIMITS = PeerLimits(ping_seconds=5.0)
_log = get_logger("rpc")


class _Instance:
    """One address of an agent: its peer, the calls under way, and how often it was chosen."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.under_way = 0
        self.chosen = 0


class Fleet:
    """The agents that one process calls. `token` makes a token for an agent; `addresses` are the fixed ones."""

    def __init__(
        self,
        token: Callable[[str], str],
        addresses: Mapping[str, str],
        limits: PeerLimits = _LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._fixed = {agent: _plain(url) for agent, url in addresses.items()}
        self._limits = limits
        self._clock = clock
        self._there: dict[str, list[str]] = {}
        self._left: dict[str, float] = {}
        self._instances: dict[tuple[str, str], _Instance] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def follow(self, there: Mapping[str, Collection[str]]) -> None:
        """Takes over which agents there are, and where: every one that is known of, each time."""
        now = self._clock()
        self._left.update((agent, now) for agent in self._there if agent not in there)
        self._there = {agent: [_plain(url) for url in urls] for agent, urls in there.items() if urls}
        for (agent, url), instance in list(self._instances.items()):
            if url not in self.places(agent):
                del self._instances[agent, url]
                instance.peer.retire()
                if instance.under_way == 0:
                    self._close(instance)

    def has(self, agent: str) -> bool:
        """Whether there is somewhere to call this agent."""
        return bool(self.places(agent))

    def names(self) -> list[str]:
        """Every agent that may be called now."""
        return sorted(agent for agent in self._fixed.keys() | self._there.keys() if self.has(agent))

    def places(self, agent: str) -> list[str]:
        """The addresses of its instances; the fixed one where none is known of."""
        if there := self._there.get(agent):
            return there
        fixed = self._fixed.get(agent)
        left = self._left.get(agent)
        returns = left is None or self._clock() - left < _RETURN_SECONDS
        return [fixed] if fixed is not None and returns else []

    def place(self, agent: str) -> str | None:
        """The instance for a new handoff: the one with the fewest calls under way, and of those the one that was
        chosen least often. None when there is none."""
        places = self.places(agent)
        if not places:
            return None
        url = min(places, key=partial(self._load, agent))
        self._instance(agent, url).chosen += 1
        return url

    def under_way(self, agent: str, url: str) -> int:
        """How many calls of this process an instance has now."""
        return self._load(agent, _plain(url))[0]

    async def call(self, agent: str, method: Method[P, R], params: P, *, handoff: Handoff, timeout: float) -> R:
        """Calls an instance: `handoff.address` as long as it is there, else one that the handoff's id decides.

        `timeout` is in seconds, over all instances. Raises what Peer.call raises, AURORA-5030 where nobody is."""
        until = time.monotonic() + timeout
        while True:
            instance = self._instance(agent, self._choice(agent, handoff))
            instance.under_way += 1
            try:
                return await instance.peer.call(method, params, handoff=handoff, timeout=until - time.monotonic())
            except AuroraError as error:
                if error.code is not UNAVAILABLE or not instance.peer.retired:
                    raise
                _log.warning("an instance is gone", agent=agent, url=instance.peer.url, handoff_id=handoff.handoff_id)
            finally:
                instance.under_way -= 1
                if instance.peer.retired and instance.under_way == 0:
                    self._close(instance)

    async def close(self) -> None:
        """Closes every connection; waiting calls raise AURORA-5030."""
        for instance in self._instances.values():
            self._close(instance)
        self._instances.clear()
        while self._closing:
            await asyncio.wait(self._closing)

    def _choice(self, agent: str, handoff: Handoff) -> str:
        places = self.places(agent)
        if not places:
            raise AuroraError(UNAVAILABLE, {"agent": agent, "reason": "no instance"})
        if handoff.address in places:
            return handoff.address
        # The same one again for every caller, also for one that started anew and knows nothing of the first time.
        return _highest(handoff.handoff_id, places)

    def _load(self, agent: str, url: str) -> tuple[int, int]:
        instance = self._instances.get((agent, url))
        return (0, 0) if instance is None else (instance.under_way, instance.chosen)

    def _instance(self, agent: str, url: str) -> _Instance:
        instance = self._instances.get((agent, url))
        if instance is None:
            instance = _Instance(Peer(url, partial(self._token, agent), self._limits))
            self._instances[agent, url] = instance
        return instance

    def _close(self, instance: _Instance) -> None:
        task = asyncio.create_task(instance.peer.close(), name="rpc instance close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _plain(url: str) -> str:
    return url.rstrip("/")


def _highest(handoff_id: str, places: Iterable[str]) -> str:
    """Rendezvous hashing: whoever leaves or joins moves only the handoffs of its own."""

    def score(url: str) -> Any:
        return blake2b(f"{handoff_id} {url}".encode(), digest_size=8).digest()

    return max(places, key=score)
