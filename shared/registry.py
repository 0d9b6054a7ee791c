"""The registry of agents: a bucket of NATS's key-value store with one entry a process, renewed once a second.

Whoever serves agents announces them and takes the entry back when it stops; whoever calls agents follows. An entry that
isn't renewed is gone, by the follower's own clock: clocks of two machines are never compared. Knows no socket of an
agent and no service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

import msgspec

from shared.bus import Bus
from shared.contracts.agent_cards import Registration
from shared.contracts.wire import decode, encode
from shared.errors import AuroraError
from shared.log import get_logger

BUCKET = "agents"
#: How often a process says that it is there.
BEAT_SECONDS = 1.0
#: Not heard of for so long, it is gone: two beats may be late or lost, and followers know within three seconds.
SILENT_SECONDS = 2.5
#: How long the bucket keeps an entry for those who look into it.
KEPT_SECONDS = 3.0
_LOOK_SECONDS = 0.2
_LEAVE_SECONDS = 2.0
_log = get_logger("registry")

Where = Mapping[str, Collection[str]]


async def announce(bus: Bus, registration: Registration) -> None:
    """Runs until cancelled; then the entry is taken back."""
    value, loop = encode(registration), asyncio.get_running_loop()
    told = True
    try:
        while True:
            began = loop.time()
            try:
                await bus.keep_briefly(BUCKET, registration.instance, value, KEPT_SECONDS)
                told = True
            except AuroraError as error:
                if told:
                    _log.warning("agents can't be announced", reason=error.code.code)
                told = False
            await asyncio.sleep(max(0.0, began + BEAT_SECONDS - loop.time()))
    finally:
        await _leave(bus, registration.instance)


async def _leave(bus: Bus, instance: str) -> None:
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await bus.keep_briefly(BUCKET, instance, b"", KEPT_SECONDS)
    except (AuroraError, TimeoutError):
        _log.info("the entry is left to run out", instance=instance)


class Directory:
    """Which processes there are, and what they serve. `changed` is told where each agent listens, whenever that
    changes."""

    def __init__(self, changed: Callable[[Where], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = changed
        self._clock = clock
        self._heard: dict[str, tuple[float, Registration]] = {}

    @property
    def registrations(self) -> list[Registration]:
        """Those that are there now, the longest running first."""
        there = [registration for _, registration in self._heard.values()]
        return sorted(there, key=lambda registration: (registration.started_at, registration.instance))

    async def follow(self, bus: Bus) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(bus), name="registry listener")
            tasks.create_task(self._look(bus), name="registry clock")

    async def _listen(self, bus: Bus) -> None:
        async for instance, value in bus.overhear(BUCKET):
            self.hear(instance, value)

    async def _look(self, bus: Bus) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # Who can't be heard isn't silent: while NATS is away the last that was known holds.
            if not bus.is_connected or (self.silent() and not await bus.answers(BEAT_SECONDS)):
                self.pardon()
            else:
                self.drop_silent()

    def hear(self, instance: str, value: bytes) -> None:
        """Takes what was said under a key: an entry, or nothing when it was taken back."""
        if not value:
            self._drop([instance])
            return
        try:
            registration = decode(value, Registration)
        except msgspec.DecodeError:
            _log.warning("an entry can't be read", instance=instance)
            return
        known = self._heard.get(instance)
        self._heard[instance] = (self._clock(), registration)
        if known is None or known[1] != registration:
            _log.info("agents are there", instance=instance, agents=[entry.agent for entry in registration.agents])
            self._changed(self._where())

    def silent(self) -> list[str]:
        """Those that weren't heard of for too long."""
        late = self._clock() - SILENT_SECONDS
        return [instance for instance, (heard, _) in self._heard.items() if heard < late]

    def drop_silent(self) -> None:
        """Forgets them."""
        self._drop(self.silent())

    def pardon(self) -> None:
        """Takes everyone for heard of just now."""
        now = self._clock()
        self._heard = {instance: (now, registration) for instance, (_, registration) in self._heard.items()}

    def _drop(self, instances: Collection[str]) -> None:
        gone = [instance for instance in instances if self._heard.pop(instance, None) is not None]
        if gone:
            _log.info("agents are gone", instances=gone)
            self._changed(self._where())

    def _where(self) -> dict[str, list[str]]:
        where: dict[str, list[str]] = {}
        for registration in self.registrations:
            for entry in registration.agents:
                where.setdefault(entry.agent, []).append(entry.url)
        return where
